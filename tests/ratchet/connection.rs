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

Generated from `src/instances/readiness.rs` by `UPDATE_EXPECTED=1 cargo test ratchet`.

Four observations decide, never what zpack requested.

- **server**: what the agent and the hypervisor report about the workload (`/health`, `/ready`, `/status`); `deleting` once the server
  is being deleted, whatever they report.
- **address**: the state of the publication, over all targets together.
- **proxy**: whether players are routed to the server. The game proxy has it registered, by the newer of its callbacks and its
  listing; for a game with public ports, Traefik has asked for its routes since it was published. Both count for two minutes.
- **ping**: the result of the last Server List Ping of the server, by the proxy or by zpack, for two minutes. An answer of the
  proxy itself does not count.

`not_needed` means that the game has no proxy or no such ping. The states, best first:
{states}.

| reason | text for the customer |
|---|---|
";
