//! The statements that zpack sends to a database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::Statement;

use crate::support::TestDb;

/// The statements that were sent since the start, or since [`Self::forget`].
#[derive(Clone, Default)]
pub struct Recorded(Arc<Mutex<BTreeMap<String, Statement>>>);

impl Recorded {
    /// Records what is sent through the pool of `test`, and through its clones from now on.
    pub fn from(test: &mut TestDb) -> Self {
        let recorded = Self::default();
        let statements = recorded.clone();
        test.db.set_metric_callback(move |info| {
            let mut statements = statements.0.lock().unwrap_or_else(PoisonError::into_inner);
            statements.insert(info.statement.sql.clone(), info.statement.clone());
        });
        recorded
    }

    /// Forgets what was recorded so far.
    pub fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    /// One statement of each text, as it was sent last.
    pub fn statements(&self) -> Vec<Statement> {
        self.0.lock().unwrap().values().cloned().collect()
    }
}
