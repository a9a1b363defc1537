//! The queues, and the names of their keys in Redis.

use crate::kernel::{WorkerId, text_enum};

text_enum! {
    /// A line of work that is handed out in order. Each has its own workers, slots and pause switch.
    pub enum Queue {
        /// Making servers.
        Provision = "provision",
        /// Everything else that is done to one server: power, publishing, teardown. It never waits behind a clone.
        Host = "host",
    }
}

impl Queue {
    /// The list of ids that wait: pushed left, taken right.
    pub fn ready_key(self) -> String {
        format!("{{zpack:{self}}}:ready")
    }

    /// The list of ids that `worker` has received and not finished.
    pub fn processing_key(self, worker: WorkerId) -> String {
        format!("{}{worker}", self.processing_prefix())
    }

    /// What every processing list of this queue starts with.
    pub fn processing_prefix(self) -> String {
        format!("{{zpack:{self}}}:proc:")
    }

    /// The sorted set of workers by the Redis time at which they count as dead.
    pub fn workers_key(self) -> String {
        format!("{{zpack:{self}}}:inst")
    }
}
