//! Notifies systemd that the role is ready or stopping, and pings its watchdog. Does nothing outside systemd.

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Reports that the role is ready, and that it is stopping once `stop` fires. Pings the watchdog (`WatchdogSec=`) as
/// long as the async runtime makes progress, also during the drain.
pub fn ready(stop: &CancellationToken) {
    tell(NotifyState::Ready);
    let stop = stop.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        tell(NotifyState::Stopping);
    });
    if let Some(limit) = sd_notify::watchdog_enabled() {
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(limit / 3);
            loop {
                beat.tick().await;
                tell(NotifyState::Watchdog);
            }
        });
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}
