//! What systemd is told: ready, stopping, and a sign of life while the runtime turns. Silent outside systemd.

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Says that the role is ready, and that it is stopping once `stop` fires. While the runtime turns, it gives the signs
/// of life that `WatchdogSec=` asks for, during the drain too.
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
        tracing::warn!(%error, "cannot tell systemd");
    }
}
