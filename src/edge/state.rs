//! The states of a server at the edge.

use crate::kernel::text_enum;

text_enum! {
    /// Whether a server shall be published.
    pub enum Intent {
        /// It shall have its publication at every target.
        Published = "published",
        /// It shall have nothing at any target.
        Unpublished = "withdrawn",
    }
}

text_enum! {
    /// How far a target is.
    pub enum TargetState {
        /// Nothing was tried for this generation yet.
        Pending = "pending",
        /// It has what it should have, as was read back.
        Published = "published",
        /// It failed and is retried.
        Retrying = "retrying",
        /// It failed in a way that an operator has to fix; it is retried rarely.
        Blocked = "blocked",
        /// It no longer has anything of ours, as was read back.
        Unpublished = "withdrawn",
    }
}

text_enum! {
    /// Whether a server is published, over all targets together.
    pub enum EdgeState {
        /// It has nothing at any target.
        NotPublished = "not_published",
        /// It is being published.
        Publishing = "publishing",
        /// Every target has what it should have.
        Published = "published",
        /// Some targets have it, the others are retried.
        Degraded = "degraded",
        /// Every target needs an operator.
        Failed = "failed",
        /// It is being unpublished.
        Unpublishing = "unpublishing",
    }
}

text_enum! {
    /// Whether the game proxy knows a server.
    pub enum ProxyPresence {
        /// It is registered.
        Registered = "registered",
        /// It is not.
        NotRegistered = "not_registered",
        /// There is no recent report.
        Unknown = "unknown",
        /// Its game has no proxy.
        NotNeeded = "not_needed",
    }
}

text_enum! {
    /// How the last ping of a server went.
    pub enum PingState {
        /// It answered.
        Answered = "answered",
        /// It accepts connections and hides its status.
        Silent = "silent",
        /// It did not answer.
        Failed = "failed",
        /// It was not pinged recently, or something else answered in its place.
        Unknown = "unknown",
        /// Its game has no such ping.
        NotNeeded = "not_needed",
    }
}
