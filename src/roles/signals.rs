//! SIGTERM and SIGINT: the first one requests a graceful stop, the second one ends the process immediately.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit status that a shell reports for a process ended by SIGTERM or SIGINT.
const KILLED_BY_TERM: i32 = 128 + 15;
const KILLED_BY_INT: i32 = 128 + 2;

/// A token that fires at the first SIGTERM or SIGINT. At the second one, the process exits whatever it is doing.
pub fn stop_token() -> anyhow::Result<CancellationToken> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let fired = stop.clone();
    tokio::spawn(async move {
        next(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; a second signal ends the process at once");
        fired.cancel();
        let status = next(&mut terminate, &mut interrupt).await;
        std::process::exit(status);
    });
    Ok(stop)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => KILLED_BY_TERM,
        _ = interrupt.recv() => KILLED_BY_INT,
    }
}
