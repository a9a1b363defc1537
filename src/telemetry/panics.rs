//! Logs each panic as one line: by the code that catches it and knows its context, or else by the panic hook.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::pin::pin;

/// The most characters of a panic message that are kept: it may quote data of customers.
const LONGEST: usize = 300;

thread_local! {
    /// Whether [`caught`] would catch a panic on this thread now; its caller then reports it.
    static REPORTED: Cell<bool> = const { Cell::new(false) };
    /// The place of the last such panic.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    /// Its message, in one line of bounded length. For logs; it is never shown to users.
    pub message: String,
    /// The file and the line, if the panic hook of zpack is installed.
    pub place: Option<String>,
}

impl Panicked {
    fn of(payload: &(dyn Any + Send)) -> Self {
        Self { message: message_of(payload), place: PLACE.take() }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} ({place})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Runs `work` and returns its panic instead of propagating it. The caller has to report the panic; `work` is dropped.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        let outer = REPORTED.replace(true);
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        REPORTED.set(outer);
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(payload) => std::task::Poll::Ready(Err(Panicked::of(&*payload))),
        }
    })
    .await
}

/// Logs every panic that [`caught`] does not catch, in place of the text that Rust prints.
pub(super) fn install_hook() {
    set_hook(Box::new(note));
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    if REPORTED.get() {
        PLACE.set(place);
        return;
    }
    let message = message_of(info.payload());
    tracing::error!(place, "panicked: {message}");
}

/// The text of a panic, in one line.
fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&'static str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message");
    text.chars().take(LONGEST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_returned_with_its_message() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let text = caught(async { panic!("no {} here\nat all", "number") }).await.map(|(): ()| ());
        assert_eq!(text.unwrap_err().message, "no number here at all");
        let fixed = caught(async { panic!("fixed") }).await.map(|(): ()| ());
        assert_eq!(fixed.unwrap_err().message, "fixed");
        let odd = caught(async { std::panic::panic_any(7) }).await.map(|(): ()| ());
        assert_eq!(odd.unwrap_err().message, "without a message");
    }

    #[tokio::test]
    async fn a_panic_after_an_await_is_caught_and_its_message_is_bounded() {
        let later = caught(async {
            tokio::task::yield_now().await;
            panic!("{}", "x".repeat(10_000))
        });
        assert_eq!(later.await.map(|(): ()| ()).unwrap_err().message.len(), LONGEST);
        assert!(!REPORTED.get(), "the panic hook reports the next panic of this thread");
    }
}
