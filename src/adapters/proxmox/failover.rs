//! Which endpoint answers for the cluster: after what an endpoint did, the next is asked or not. Pure.
//!
//! | what the endpoint did | a read | a write |
//! |---|---|---|
//! | no connection, or a certificate that is not accepted | ask another | ask another |
//! | no answer, or one that breaks off | ask another | look first |
//! | 595: it could not connect to the node in the path | ask another | ask another |
//! | 596 to 599, 502 to 504: the answer was lost behind it | ask another | look first |
//! | 401 | ask another | ask another |
//! | its cluster file system does not answer | ask another | ask another |
//! | no quorum, `/etc/pve` is read-only | ask another | ask another |
//! | it does not know the node in the path | ask another | ask another |
//! | a redirect or a 404: it is not the API | ask another | ask another |
//! | a success that is not the API's | ask another | look first |
//! | anything else: the verdict of the cluster | keep | keep |
//!
//! *Ask another*: the endpoint did not execute the request, or it may be executed twice. *Look first*: the write may have
//! been executed. No endpoint is asked again for it; the caller reads the state first, and that read goes to another
//! endpoint.

use super::answer::NoData;
use super::label::Access;
use super::refusal::{Refusal, is_cluster_files_down, is_no_quorum};
use crate::adapters::http::TransportError;

/// What an endpoint did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// No connection was made.
    NoConnection,
    /// A connection, and no complete answer.
    NoAnswer,
    /// It could not connect to the node in the path.
    NodeNotReached,
    /// It passed the request on and lost the answer.
    AnswerLost,
    /// It does not accept the token.
    TokenRefused,
    /// Its cluster file system does not answer.
    NoClusterFiles,
    /// It has no quorum.
    NoQuorum,
    /// It does not know the node in the path.
    NodeUnknown,
    /// It is not the API of a hypervisor.
    NotTheApi,
    /// It reports success in a form that the API does not have.
    Unreadable,
    /// It gave the answer of the cluster, good or bad.
    Verdict,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The answer counts.
    Keep,
    /// The request is sent to the next endpoint.
    AskAnother,
    /// The request may have been executed, so that nothing is sent before the caller has looked.
    LookFirst,
}

impl Met {
    /// What an exchange with an endpoint shows.
    pub(super) fn of<T>(result: &Result<Result<T, NoData>, TransportError>) -> Self {
        match result {
            Err(TransportError::NotSent { .. }) => Self::NoConnection,
            // Another endpoint would give the same answer.
            Err(TransportError::Incomplete { too_large: true, .. }) => Self::Verdict,
            Err(TransportError::NoAnswer { .. } | TransportError::Incomplete { .. }) => Self::NoAnswer,
            Ok(Ok(_)) => Self::Verdict,
            Ok(Err(NoData::Unreadable(_))) => Self::Unreadable,
            Ok(Err(NoData::Refused(refusal))) => Self::of_refusal(refusal),
        }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        match refusal.status {
            401 => Self::TokenRefused,
            595 => Self::NodeNotReached,
            502..=504 | 596..=599 => Self::AnswerLost,
            300..=399 | 404 => Self::NotTheApi,
            500 | 501 if is_no_quorum(refusal) => Self::NoQuorum,
            500 | 501 if is_cluster_files_down(refusal) => Self::NoClusterFiles,
            500 | 501 if refusal.text.contains("hostname lookup '") => Self::NodeUnknown,
            _ => Self::Verdict,
        }
    }

    /// How much a result says when no endpoint gave the verdict of the cluster: an answer of an endpoint that accepted the
    /// token says more than a refusal of the token, and any answer more than none.
    pub(super) const fn weight(self) -> u8 {
        match self {
            Self::NoConnection => 0,
            Self::NoAnswer | Self::NotTheApi | Self::Unreadable => 1,
            Self::TokenRefused => 2,
            Self::NoClusterFiles => 3,
            Self::NodeNotReached | Self::AnswerLost | Self::NoQuorum | Self::NodeUnknown | Self::Verdict => 4,
        }
    }
}

/// The table above.
pub(super) const fn decide(met: Met, access: Access) -> Decision {
    match (met, access) {
        (Met::Verdict, Access::Read | Access::Write) => Decision::Keep,
        (
            Met::NoConnection
            | Met::NodeNotReached
            | Met::TokenRefused
            | Met::NoClusterFiles
            | Met::NoQuorum
            | Met::NodeUnknown
            | Met::NotTheApi,
            Access::Read | Access::Write,
        )
        | (Met::NoAnswer | Met::AnswerLost | Met::Unreadable, Access::Read) => Decision::AskAnother,
        (Met::NoAnswer | Met::AnswerLost | Met::Unreadable, Access::Write) => Decision::LookFirst,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn met(status: u16, text: &str) -> Met {
        let refusal = Refusal { status, text: text.to_owned(), fields: Vec::new() };
        Met::of::<Value>(&Ok(Err(NoData::Refused(refusal))))
    }

    #[test]
    fn a_write_that_may_have_been_executed_is_never_sent_to_another() {
        for met in [Met::NoAnswer, Met::AnswerLost, Met::Unreadable] {
            assert_eq!(decide(met, Access::Write), Decision::LookFirst, "{met:?}");
            assert_eq!(decide(met, Access::Read), Decision::AskAnother, "{met:?}");
        }
        for access in [Access::Read, Access::Write] {
            assert_eq!(decide(Met::Verdict, access), Decision::Keep);
        }
    }

    #[test]
    fn statuses_and_texts_are_told_apart() {
        for (status, text, expected) in [
            (595, "No route to host", Met::NodeNotReached),
            (596, "Connection timed out", Met::AnswerLost),
            (599, "Too many redirections", Met::AnswerLost),
            (503, "", Met::AnswerLost),
            (401, "No ticket", Met::TokenRefused),
            (308, "", Met::NotTheApi),
            (404, "", Met::NotTheApi),
            (500, "cluster not ready - no quorum?", Met::NoQuorum),
            (500, "update pools failed: error with cfs lock 'file-user_cfg': no quorum!", Met::NoQuorum),
            (500, "unable to open file '/etc/pve/nodes/a/lxc/1.conf.tmp.7' - Permission denied", Met::NoQuorum),
            (500, "unable to open file '/etc/pve/user.cfg' - Transport endpoint is not connected", Met::NoClusterFiles),
            (500, "RPCEnvironment init request failed: x", Met::NoClusterFiles),
            (500, "ipcc_send_rec[2] failed: Connection refused", Met::NoClusterFiles),
            (500, "hostname lookup 'x' failed - failed to get address info for: x", Met::NodeUnknown),
            (500, "unable to open file '/var/lib/x' - Permission denied", Met::Verdict),
            (500, "CT is locked (disk)", Met::Verdict),
            (403, "Permission check failed", Met::Verdict),
            (400, "Parameter verification failed.", Met::Verdict),
            (506, "", Met::Verdict),
        ] {
            assert_eq!(met(status, text), expected, "{status} {text}");
        }
        assert_eq!(Met::of::<Value>(&Ok(Ok(Value::Null))), Met::Verdict);
    }
}
