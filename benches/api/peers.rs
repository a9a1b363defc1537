//! The peers of the poller in one process: agents, game servers, the hypervisor's listing and the proxy's.
//!
//! They do as little as a client accepts, so that the figures are those of the poller. Every server has an address of its
//! own in 127.0.0.0/8, and all agents one port, as in production.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// What the peers have counted.
#[derive(Default)]
struct Counts {
    requests: Cell<u64>,
    connections: Cell<u64>,
    open: Cell<u64>,
    pings: Cell<u64>,
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

/// The address of server `number`.
pub fn address_of(number: usize) -> Ipv4Addr {
    let octet = |value: usize| u8::try_from(value).unwrap();
    Ipv4Addr::new(127, 1, octet(number / 250), octet(1 + number % 250))
}

/// Serves until it is killed: the port of the agents, of the game servers and of both listings, and the file with the
/// bodies of the listings by path. Prints "ready" when all ports are open.
pub async fn run(arguments: &[String]) {
    let [ports @ .., file] = arguments else { panic!("peers <agents> <games> <listings> <file>") };
    let ports: [u16; 3] = std::array::from_fn(|index| ports[index].parse().unwrap());
    let bodies: BTreeMap<String, Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let bodies = Rc::new(bodies.into_iter().map(|(path, body)| (path, body.to_string())).collect::<BTreeMap<_, _>>());
    let [agents, games, listings] = ports.map(listener);
    let counts = Rc::new(Counts::default());
    println!("ready");
    let local = LocalSet::new();
    local.spawn_local(accept(agents, counts.clone(), |stream, counts| async move {
        add(&counts.connections);
        counts.open.set(counts.open.get() + 1);
        agent(stream, &counts).await;
        counts.open.set(counts.open.get() - 1);
    }));
    local.spawn_local(accept(games, counts.clone(), |stream, counts| async move {
        add(&counts.pings);
        game(stream).await;
    }));
    local.spawn_local(accept(listings, counts, move |stream, counts| list(stream, counts, bodies.clone())));
    local.await;
}

fn listener(port: u16) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    socket.listen(4096).unwrap()
}

async fn accept<F: Future<Output = ()> + 'static>(
    listener: TcpListener,
    counts: Rc<Counts>,
    serve: impl Fn(TcpStream, Rc<Counts>) -> F + 'static,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        spawn_local(serve(stream, counts.clone()));
    }
}

/// The target of the next request; `None` at the end of the connection.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => head.extend_from_slice(&buffer[..count]),
            Ok(0) | Err(_) => return None,
        }
    }
    String::from_utf8(head).ok()?.split(' ').nth(1).map(str::to_owned)
}

async fn answer(stream: &mut TcpStream, body: &str) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
    let _ = stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await;
}

async fn agent(mut stream: TcpStream, counts: &Counts) {
    while let Some(target) = target(&mut stream).await {
        add(&counts.requests);
        let body = if target == "/status" { r#"{"state":"running","crashCount":0,"generation":1}"# } else { "{}" };
        answer(&mut stream, body).await;
    }
}

/// Answers a status ping and waits for the end.
async fn game(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    if !matches!(stream.read(&mut buffer).await, Ok(1..)) {
        return;
    }
    let status = r#"{"version":{"name":"1.21.1","protocol":767},"players":{"max":20,"online":1}}"#;
    let length = u8::try_from(status.len()).unwrap();
    assert!(length < 0x7e, "each length is one byte");
    let mut packet = vec![length + 2, 0, length];
    packet.extend_from_slice(status.as_bytes());
    let _ = stream.write_all(&packet).await;
    let _ = stream.read(&mut buffer).await;
}

async fn list(mut stream: TcpStream, counts: Rc<Counts>, bodies: Rc<BTreeMap<String, String>>) {
    while let Some(target) = target(&mut stream).await {
        let path = target.split('?').next().unwrap_or_default();
        if path == "/counts" {
            let Counts { requests, connections, open, pings } = &*counts;
            let counts = json!({ "requests": requests.get(), "connections": connections.get(), "open": open.get(),
                "pings": pings.get() });
            answer(&mut stream, &counts.to_string()).await;
        } else if let Some(body) = bodies.get(path) {
            answer(&mut stream, body).await;
        } else {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        }
    }
}
