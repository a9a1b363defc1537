//! The load on a server: connections that are kept open, each with one request at a time.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::figures::percentile;

/// How long the server is warmed up before anything is counted.
const WARM_UP: Duration = Duration::from_millis(1500);

/// The load of one process; its arguments are those of the process.
pub struct Load {
    port: u16,
    connections: usize,
    seconds: f64,
    requests: Vec<Vec<u8>>,
}

impl Load {
    /// The port, the number of connections, the seconds, and the file with a path and a token a line.
    pub fn parse(arguments: &[String]) -> Self {
        let [port, connections, seconds, file] = arguments else {
            panic!("load <port> <connections> <seconds> <file>")
        };
        let text = std::fs::read_to_string(file).unwrap();
        let request = |line: &str| {
            let (path, token) = line.split_once(' ').unwrap();
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n");
            head.into_bytes()
        };
        Self {
            port: port.parse().unwrap(),
            connections: connections.parse().unwrap(),
            seconds: seconds.parse().unwrap(),
            requests: text.lines().map(request).collect(),
        }
    }

    /// Runs it, prints "begin" after the warm-up, and its result as JSON on the last line.
    pub async fn run(self) {
        let load = Rc::new(self);
        let begin = Instant::now() + WARM_UP;
        let end = begin + Duration::from_secs_f64(load.seconds);
        let local = LocalSet::new();
        let connections: Vec<_> = (0..load.connections)
            .map(|number| {
                let load = load.clone();
                local.spawn_local(async move { load.connection(number, begin, end).await })
            })
            .collect();
        local.spawn_local(async move {
            tokio::time::sleep_until(begin.into()).await;
            println!("begin");
        });
        let samples = local.run_until(async {
            let mut samples = Vec::new();
            for connection in connections {
                samples.extend(connection.await.unwrap());
            }
            samples
        });
        let mut samples = samples.await;
        println!(
            "{}",
            json!({
                "requests": samples.len(),
                "p50": percentile(&mut samples, 0.5),
                "p99": percentile(&mut samples, 0.99),
            })
        );
    }

    /// Milliseconds of every request that began and ended between `begin` and `end`.
    async fn connection(&self, number: usize, begin: Instant, end: Instant) -> Vec<f64> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (mut samples, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        let mut turn = number * self.requests.len() / self.connections;
        loop {
            let sent = Instant::now();
            if sent >= end {
                return samples;
            }
            socket.write_all(&self.requests[turn % self.requests.len()]).await.unwrap();
            turn += 1;
            answer(&mut socket, &mut buffer).await;
            let answered = Instant::now();
            if sent >= begin && answered <= end {
                samples.push((answered - sent).as_secs_f64() * 1e3);
            }
        }
    }
}

/// Reads one answer, which has to be a 200 with a length.
async fn answer(socket: &mut TcpStream, buffer: &mut [u8]) {
    let mut read = 0;
    loop {
        let more = socket.read(&mut buffer[read..]).await.unwrap();
        assert!(more > 0, "the server closed the connection after {}", String::from_utf8_lossy(&buffer[..read]));
        read += more;
        let Some(head) = buffer[..read].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if read == head + 4 + length.expect("a length") {
            return;
        }
    }
}
