//! The progress of the operations that clients follow, read once for all who follow.
//!
//! While there are followers, one task of the process looks at their operations: one query for all of them, and one more for
//! each that has new events.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use tokio::sync::{Notify, watch};

use super::events;
use super::store::{self, Head};
use crate::db::entities::operation_event;
use crate::kernel::OperationId;

/// How often operations are looked at.
const LOOK: Duration = Duration::from_millis(300);
/// The most operations of one query.
const PAGE: usize = 500;
/// The most events that are kept of one operation: its last ones.
const MOST_EVENTS: usize = 2000;

/// What is known of an operation.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Its events, in order.
    pub events: Vec<Arc<operation_event::Model>>,
    /// Its row, once it has ended.
    pub end: Option<Head>,
}

/// The operations that are followed.
#[derive(Clone)]
pub struct Feeds(Arc<Inner>);

struct Inner {
    db: DatabaseConnection,
    followed: Mutex<Followed>,
    begun: Notify,
}

#[derive(Default)]
struct Followed {
    feeds: HashMap<OperationId, watch::Sender<Progress>>,
    is_read: bool,
}

impl Feeds {
    /// Operations in `db`.
    pub fn new(db: DatabaseConnection) -> Self {
        Self(Arc::new(Inner { db, followed: Mutex::default(), begun: Notify::new() }))
    }

    /// The progress of an operation, from its beginning. The channel closes when the operation is not there any more.
    pub fn follow(&self, id: OperationId) -> watch::Receiver<Progress> {
        let mut followed = self.0.followed();
        let progress = match followed.feeds.entry(id) {
            Entry::Occupied(feed) => feed.get().subscribe(),
            Entry::Vacant(place) => {
                let (sender, progress) = watch::channel(Progress::default());
                place.insert(sender);
                self.0.begun.notify_one();
                progress
            }
        };
        if !std::mem::replace(&mut followed.is_read, true) {
            tokio::spawn(read(Reading { inner: self.0.clone(), is_over: false }));
        }
        progress
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeds").finish_non_exhaustive()
    }
}

impl Inner {
    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operations to look at, with the last event that is known of each. Feeds without followers are dropped; `None` when
    /// no feed is left.
    fn to_read(&self) -> Option<Vec<(OperationId, i32)>> {
        let mut followed = self.followed();
        followed.feeds.retain(|_, feed| feed.receiver_count() > 0);
        if followed.feeds.is_empty() {
            followed.is_read = false;
            return None;
        }
        let open = followed.feeds.iter().filter(|(_, feed)| feed.borrow().end.is_none());
        Some(open.map(|(id, feed)| (*id, feed.borrow().events.last().map_or(0, |event| event.seq))).collect())
    }

    async fn look(&self, known: &[(OperationId, i32)]) -> Result<(), DbErr> {
        let heads = store::heads(&self.db, known.iter().map(|(id, _)| *id)).await?;
        for (id, seq) in known {
            let Some(head) = heads.get(id) else {
                self.followed().feeds.remove(id);
                continue;
            };
            let news = if head.event_seq > *seq { events::after(&self.db, *id, *seq).await? } else { Vec::new() };
            let is_complete = news.last().map_or(*seq, |event| event.seq) >= head.event_seq;
            let end = Some(head.clone()).filter(|head| head.state.is_ended() && (is_complete || news.is_empty()));
            if news.is_empty() && end.is_none() {
                continue;
            }
            if let Some(feed) = self.followed().feeds.get(id) {
                feed.send_modify(|progress| {
                    progress.events.extend(news.into_iter().map(Arc::new));
                    let surplus = progress.events.len().saturating_sub(MOST_EVENTS);
                    progress.events.drain(..surplus);
                    progress.end = end;
                });
            }
        }
        Ok(())
    }
}

/// The reading task. When it is dropped before its end, all feeds close, and another one may begin.
struct Reading {
    inner: Arc<Inner>,
    is_over: bool,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.is_over {
            *self.inner.followed() = Followed::default();
        }
    }
}

async fn read(mut reading: Reading) {
    while let Some(known) = reading.inner.to_read() {
        for page in known.chunks(PAGE) {
            if let Err(error) = reading.inner.look(page).await {
                tracing::debug!(%error, "the progress of operations could not be read: {error}");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = reading.inner.begun.notified() => {}
        }
    }
    reading.is_over = true;
}
