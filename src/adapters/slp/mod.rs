//! The Server List Ping of Minecraft, as a client (docs/contracts/edge.md C5).
//!
//! Sends the ping of 1.7 and later first; if that gets no status, the legacy ping on a new connection. Time and size
//! are bounded whatever the server does. [`codec`] handles bytes, [`loose`] reads documents, and [`report`] makes
//! reports of them; all are pure.

mod codec;
mod loose;
mod report;

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::report::Timed;
use crate::kernel::Reach;
use crate::ports::{Ping, PingReport, PingTarget, StatusPing};

/// The share of the time that the first ping may take; the rest is for the legacy ping.
const MODERN_SHARE: f64 = 0.6;

/// Settings of the ping.
#[derive(Clone, Copy, Debug)]
pub struct PingSettings {
    /// The timeout of a ping altogether.
    pub limit: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

/// The ping.
#[derive(Clone, Copy, Debug)]
pub struct ServerListPing {
    settings: PingSettings,
}

impl ServerListPing {
    /// A ping with these settings.
    pub fn new(settings: PingSettings) -> Self {
        Self { settings }
    }
}

/// Why one kind of ping got no status.
enum Missed {
    NotConnected(String),
    Silent,
    Unusable(String),
}

impl From<Missed> for Ping {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::NotConnected(detail) => Self::Unreachable { detail },
            Missed::Silent => Self::Silent,
            Missed::Unusable(detail) => Self::Unusable { detail },
        }
    }
}

#[async_trait]
impl StatusPing for ServerListPing {
    async fn ping(&self, target: &PingTarget) -> Ping {
        let PingSettings { limit, reach } = self.settings;
        if let Err(refused) = reach.check(target.address.ip()) {
            return Ping::Unreachable { detail: refused.to_string() };
        }
        let begun = Instant::now();
        let missed = match modern(target, begun + limit.mul_f64(MODERN_SHARE)).await {
            Ok(report) => return Ping::Answered(report),
            Err(missed @ Missed::NotConnected(_)) => return missed.into(),
            Err(missed) => missed,
        };
        // If both pings fail, the result of the first one says more.
        legacy(target, begun + limit).await.map_or_else(|_| missed.into(), Ping::Answered)
    }
}

async fn modern(target: &PingTarget, deadline: Instant) -> Result<PingReport, Missed> {
    let request = codec::status_request(&target.host, target.address.port());
    let answer = exchange(target, deadline, &request, codec::status_answer).await?;
    report::modern(&answer).map_err(|error| Missed::Unusable(error.to_string()))
}

async fn legacy(target: &PingTarget, deadline: Instant) -> Result<PingReport, Missed> {
    let request = codec::legacy_request(&target.host, target.address.port());
    let answer = exchange(target, deadline, &request, codec::legacy_answer).await?;
    report::legacy(&answer).map_err(|error| Missed::Unusable(error.to_string()))
}

/// One connection: sends `request` and reads until `parse` has a complete answer.
async fn exchange<T>(
    target: &PingTarget,
    deadline: Instant,
    request: &[u8],
    parse: impl Fn(&[u8]) -> Result<Option<T>, codec::Malformed>,
) -> Result<Timed<T>, Missed> {
    let lost = |error: io::Error| Missed::Unusable(format!("the connection broke: {error}"));
    let connected = timeout_at(deadline, TcpStream::connect(target.address)).await;
    let connected = connected.map_err(|_| Missed::NotConnected("timed out".to_owned()))?;
    let mut stream = connected.map_err(|error| Missed::NotConnected(error.to_string()))?;
    let begun = Instant::now();
    let mut bytes = Vec::new();
    let talk = async {
        stream.write_all(request).await.map_err(lost)?;
        loop {
            if let Some(answer) = parse(&bytes).map_err(|error| Missed::Unusable(error.to_string()))? {
                return Ok(Timed { answer, latency: begun.elapsed() });
            }
            // `parse` refuses anything longer than an answer can be, so the loop ends.
            if stream.read_buf(&mut bytes).await.map_err(lost)? == 0 {
                return Err(Missed::Unusable("closed without a complete answer".to_owned()));
            }
        }
    };
    match timeout_at(deadline, talk).await {
        Ok(outcome) => outcome,
        Err(_) if bytes.is_empty() => Err(Missed::Silent),
        Err(_) => Err(Missed::Unusable("the answer was not complete in time".to_owned())),
    }
}
