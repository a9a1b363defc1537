//! Whether a callback was sent by the bridge.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::adapters::held_secret::HeldSecret;
use crate::adapters::stopwatch::Stopwatch;
use crate::kernel::{Clock, StoredSecret};
use crate::ports::BridgeSecret;

/// The minimum time between two reads of the file, since anyone who sends a wrong secret can cause one.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// The secret that callbacks of the bridge carry. If it is in a file, the file is read again when a callback carries
/// another value, and the new value counts only if it is that one; so a wrong secret changes nothing.
#[derive(Debug)]
pub struct BridgeProof {
    secret: Arc<HeldSecret>,
    watch: Stopwatch,
    /// When the file was read last; locked while it is read.
    read_at: Mutex<Option<Instant>>,
}

impl BridgeProof {
    /// The proof for a bridge whose callbacks are checked without a client.
    pub fn new(secret: StoredSecret, clock: Clock) -> Self {
        Self::of(Arc::new(HeldSecret::new(secret)), clock)
    }

    pub(super) fn of(secret: Arc<HeldSecret>, clock: Clock) -> Self {
        Self { secret, watch: Stopwatch::of(clock), read_at: Mutex::new(None) }
    }

    fn is_current(&self, sent: &str) -> bool {
        self.secret.current().digest().matches(sent)
    }
}

#[async_trait]
impl BridgeSecret for BridgeProof {
    async fn proves(&self, sent: &str) -> bool {
        if self.is_current(sent) {
            return true;
        }
        let mut read_at = self.read_at.lock().await;
        if self.is_current(sent) {
            return true;
        }
        let now = self.watch.now();
        if read_at.is_some_and(|at| now < at + READ_AGAIN) {
            return false;
        }
        let read = self.secret.in_file().await;
        *read_at = Some(now);
        match read {
            Ok(Some(secret)) if secret.digest().matches(sent) => {
                tracing::info!("the bridge of Velocity uses the new secret of the file; zpack uses it from now on");
                self.secret.replace(secret);
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::debug!(%error, "the secret of a callback is wrong and cannot be read again: {error}");
                false
            }
        }
    }
}
