//! With `PEER_ADDRESSES=loopback` no client calls an address outside this machine, whatever a simulated peer reports.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::adapters::http::{Call, ClientSettings, HttpClient, Method, TransportError};
use zpack::adapters::slp::{PingSettings, ServerListPing};
use zpack::adapters::tls::TlsVerify;
use zpack::kernel::{Clock, Reach};
use zpack::ports::{Agent, AgentError, Ping, PingTarget, StatusPing};

use super::scripted::Scripted;

/// Addresses for documentation (RFC 5737, RFC 3849), which no machine has.
const STRANGERS: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

fn client(reach: Reach) -> HttpClient {
    HttpClient::new(ClientSettings {
        peer: "test",
        connect_timeout: Duration::from_secs(1),
        keep_idle: None,
        tls: TlsVerify::Plain,
        reach,
    })
    .unwrap()
}

async fn get(client: &HttpClient, url: &str) -> Result<u16, String> {
    match client.send(Call::new("test", Method::Get, url.parse().unwrap())).await {
        Ok(answer) => Ok(answer.status),
        Err(TransportError::NotSent { detail }) => Err(detail),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_http_call_outside_this_machine_is_refused() {
    let server = Scripted::always("200 OK", "{}").await;
    let client = client(Reach::Loopback);
    let port = server.address.port();
    assert_eq!(get(&client, &format!("http://127.0.0.1:{port}/")).await, Ok(200));
    assert_eq!(get(&client, &format!("http://localhost:{port}/")).await, Ok(200), "a name of this machine");
    // A number in another notation is an address too.
    for host in ["192.0.2.1", "[2001:db8::1]", "0xc0000201", "0.0.0.0"] {
        let refused = get(&client, &format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(refused.ends_with("is not on this machine (PEER_ADDRESSES)"), "{host}: {refused}");
    }
}

#[tokio::test]
async fn an_agent_at_a_strange_address_is_not_called() {
    let settings = AgentSettings {
        port: 9,
        token: None,
        timeout: Duration::from_secs(2),
        cool_down: Duration::ZERO,
        reach: Reach::Loopback,
    };
    let agents = Agents::new(settings, Clock::System).unwrap();
    for agents in [agents.within(Duration::from_secs(1)).unwrap(), agents] {
        for stranger in STRANGERS {
            let refused = agents.status(stranger.parse().unwrap()).await.unwrap_err();
            let AgentError::Unreachable { detail, .. } = &refused else { panic!("{refused}") };
            assert!(detail.contains("PEER_ADDRESSES"), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_server_at_a_strange_address_is_not_pinged() {
    let ping = ServerListPing::new(PingSettings { limit: Duration::from_secs(1), reach: Reach::Loopback });
    for stranger in STRANGERS {
        let address = SocketAddr::new(stranger.parse::<IpAddr>().unwrap(), 25565);
        let Ping::Unreachable { detail } = ping.ping(&PingTarget { address, host: "mc.example.com".to_owned() }).await
        else {
            panic!("a stranger answered")
        };
        assert!(detail.contains("PEER_ADDRESSES"), "{detail}");
    }
}
