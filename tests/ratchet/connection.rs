//! `docs/connection-state.md` is the whole table of the code.

use std::fmt::Write;

use zpack::edge::{EdgeState, PingState, ProxyPresence};
use zpack::instances::readiness::{Connection, ConnectionReason, ConnectionState, Readiness, connection};

/// The one outcome of all these rows, when it is one.
fn all_the_same(mut outcomes: impl Iterator<Item = Connection>) -> Option<Connection> {
    let first = outcomes.next().unwrap();
    outcomes.all(|other| other == first).then_some(first)
}

fn row(text: &mut String, cells: [&str; 4], found: &Connection) {
    let reasons: Vec<_> = found.reasons.iter().map(|reason| format!("`{reason}`")).collect();
    let [readiness, edge, proxy, ping] = cells;
    writeln!(text, "| {readiness} | {edge} | {proxy} | {ping} | **{}** | {} |", found.state, reasons.join(" "))
        .unwrap();
}

/// Every row, those that differ in nothing written as one.
fn table() -> String {
    let mut text = String::new();
    let pings =
        |readiness, edge, proxy| PingState::ALL.iter().map(move |ping| connection(readiness, edge, proxy, *ping));
    let proxies = |readiness, edge| ProxyPresence::ALL.iter().flat_map(move |proxy| pings(readiness, edge, *proxy));
    for &readiness in Readiness::ALL {
        let server = readiness.as_str();
        if let Some(same) = all_the_same(EdgeState::ALL.iter().flat_map(|edge| proxies(readiness, *edge))) {
            row(&mut text, [server, "any", "any", "any"], &same);
            continue;
        }
        for &edge in EdgeState::ALL {
            let address = edge.as_str();
            if let Some(same) = all_the_same(proxies(readiness, edge)) {
                row(&mut text, [server, address, "any", "any"], &same);
                continue;
            }
            for &proxy in ProxyPresence::ALL {
                if let Some(same) = all_the_same(pings(readiness, edge, proxy)) {
                    row(&mut text, [server, address, proxy.as_str(), "any"], &same);
                    continue;
                }
                for &ping in PingState::ALL {
                    let found = connection(readiness, edge, proxy, ping);
                    row(&mut text, [server, address, proxy.as_str(), ping.as_str()], &found);
                }
            }
        }
    }
    text
}

#[test]
fn the_table_of_connection_states_is_up_to_date() {
    let states: Vec<_> = ConnectionState::ALL.iter().map(|state| format!("`{state}`")).collect();
    let mut text = HEAD.replace("{states}", &states.join(", "));
    for reason in ConnectionReason::ALL {
        writeln!(text, "| `{reason}` | {} |", reason.message()).unwrap();
    }
    text.push_str(
        "\n## The table\n\n| server | address | proxy | ping | connection | reasons |\n|---|---|---|---|---|---|\n",
    );
    text.push_str(&table());
    super::compare("docs/connection-state.md", &text);
}

const HEAD: &str = "\
# Whether players can connect

Made from `src/instances/readiness.rs` by `UPDATE_EXPECTED=1 cargo test ratchet`.

Four observations decide. None of them is what zpack asked for; each is what somebody saw.

- **server**: what the agent and the hypervisor say of the workload (`/health`, `/ready`, `/status`); `deleting` once it is
  being deleted, whatever they say.
- **address**: how far the public names are, over all targets together.
- **proxy**: whether the game proxy knows the server: the newer of its callbacks and its listing, for two minutes.
- **ping**: how the last Server List Ping of the server went, the proxy's or our own, for two minutes. An answer that the
  proxy gave in place of the server is none.

`not_needed` stands where a game has no proxy or no such ping. The states, the best first:
{states}.

| reason | what the customer reads |
|---|---|
";
