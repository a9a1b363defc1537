//! How far the public side of a server is, in the words everything else decides by.

use crate::kernel::text_enum;

text_enum! {
    /// Whether the public names of a server are out, over all targets together.
    pub enum EdgeState {
        /// Nothing was published yet.
        NotPublished = "not_published",
        /// Publishing is under way.
        Publishing = "publishing",
        /// Every target has what it should have.
        Published = "published",
        /// Some targets have it, the others are retried.
        Degraded = "degraded",
        /// No target could be given it without a person.
        Failed = "failed",
        /// It is being taken back.
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
        /// Nothing was heard of it lately.
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
        /// It takes connections and hides its status.
        Silent = "silent",
        /// It did not answer.
        Failed = "failed",
        /// Nobody pinged it lately, or something else answered in its place.
        Unknown = "unknown",
        /// Its game has no such ping.
        NotNeeded = "not_needed",
    }
}
