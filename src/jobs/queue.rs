//! The queues and their keys in Redis.

use crate::kernel::{WorkerId, text_enum};

text_enum! {
    /// The name under which operations wait. Each queue has its own workers, slots and pause switch.
    pub enum Queue {
        /// Provisioning of servers.
        Provision = "provision",
        /// All other operations on a server: power, publishing, teardown. They never wait for a clone.
        Host = "host",
    }
}

impl Queue {
    /// The ready list: ids are pushed on the left and taken from the right.
    pub fn ready_key(self) -> String {
        format!("{{zpack:{self}}}:ready")
    }

    /// The processing list of `worker`: ids that it has received and not acknowledged.
    pub fn processing_key(self, worker: WorkerId) -> String {
        format!("{}{worker}", self.processing_prefix())
    }

    /// The common prefix of all processing lists of this queue.
    pub fn processing_prefix(self) -> String {
        format!("{{zpack:{self}}}:proc:")
    }

    /// The sorted set of workers; the score is the Redis time at which a worker counts as dead.
    pub fn workers_key(self) -> String {
        format!("{{zpack:{self}}}:inst")
    }
}
