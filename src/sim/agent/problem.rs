//! Errors of the full agent: a code, a status, a message for people.

use serde_json::{Value, json};

use super::job::Refusal;
use crate::kernel::text_enum;
use crate::sim::wire::Reply;

text_enum! {
    /// The error codes of the wire.
    pub enum Code {
        /// No token, or a wrong one.
        Unauthorized = "unauthorized",
        /// The request cannot be understood.
        BadRequest = "bad_request",
        /// The path leaves the data root or is not a path.
        BadPath = "bad_path",
        /// There is no such file, directory or backup.
        NotFound = "not_found",
        /// The target is already there.
        Exists = "exists",
        /// A file was expected.
        IsDirectory = "is_directory",
        /// A directory was expected.
        NotDirectory = "not_directory",
        /// The directory holds something.
        NotEmpty = "not_empty",
        /// More bytes than the agent reads or shows at once.
        TooLarge = "too_large",
        /// The disk is full.
        NoSpace = "no_space",
        /// Another exclusive job is running.
        Busy = "busy",
        /// The workload is not running.
        NotRunning = "not_running",
        /// There is nothing to start.
        NotInstalled = "not_installed",
        /// The request contradicts what the agent has.
        Conflict = "conflict",
        /// `If-Match` or `If-None-Match` does not hold.
        PreconditionFailed = "precondition_failed",
        /// This agent has no such feature.
        Unsupported = "unsupported",
        /// The document is well-formed, but its content is wrong.
        Invalid = "invalid",
    }
}

impl Code {
    /// The HTTP status that goes with the code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::BadPath | Self::IsDirectory | Self::NotDirectory => 400,
            Self::Unauthorized => 401,
            Self::NotFound | Self::Unsupported => 404,
            Self::Exists | Self::NotEmpty | Self::Busy | Self::NotRunning | Self::NotInstalled | Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::Invalid => 422,
            Self::NoSpace => 507,
        }
    }
}

/// Why the agent refuses a request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    /// What kind of error.
    pub code: Code,
    /// The HTTP status: that of the code, unless it was replaced.
    pub status: u16,
    /// For people.
    pub message: String,
    /// For programs.
    pub details: Option<Value>,
}

impl Problem {
    /// An error of kind `code`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, status: code.status(), message: message.into(), details: None }
    }

    /// Replaces the status of the code.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The answer on the wire.
    pub fn reply(&self, request_id: &str) -> Reply {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(details), Some(fields)) = (&self.details, error.as_object_mut()) {
            fields.insert("details".to_owned(), details.clone());
        }
        Reply::json(self.status, &json!({"error": error, "request_id": request_id}))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy(job) => {
                let mut problem = Self::new(Code::Busy, refusal.to_string());
                problem.details = Some(json!(job));
                problem
            }
            Refusal::NotInstalled => Self::new(Code::NotInstalled, refusal.to_string()),
        }
    }
}
