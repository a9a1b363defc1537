//! The error type of all handlers, and its problem document (RFC 9457).
//!
//! Features implement `From<TheirError> for ApiError` beside their error enum: one arm per variant, with a code and a
//! public text. Details that must not be public are logged here, once, when the error becomes an [`ApiError`].

use std::error::Error;
use std::fmt;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use sea_orm::DbErr;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::code::{Code, Retry};
use super::sentence::{about_field, sentence};
use crate::db::{ReadError, StoreFailure};
use crate::kernel::OperationId;

/// How many fields the detail of a failure explains.
const MOST_SENTENCES: usize = 3;

/// The result of a handler.
pub type ApiResult<T> = Result<T, ApiError>;

/// One field that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// What it must be, or what is wrong with it.
    pub message: String,
}

/// A failure as it is shown to the client.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    code: Code,
    detail: String,
    retry: Retry,
    operation: Option<OperationId>,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem<'a> {
    /// A link to the description of the code.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: String,
    /// The title of the code.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened, as a sentence.
    detail: &'a str,
    /// The id of the request, as in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    /// The code, for programs.
    code: &'a str,
    /// What the client may do: `no`, `now`, `after` (see `Retry-After`) or `after_operation`.
    retryable: &'a str,
    /// The operation that prevents the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    operation: Option<OperationId>,
    /// The fields that were not accepted.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// The same text as `detail`.
    error: &'a str,
    #[serde(flatten)]
    #[schema(ignore)]
    members: &'a Map<String, Value>,
}

impl ApiError {
    /// A failure of kind `code`, explained to the client by `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        // What an agent says is passed on unchanged (the contract of its routes).
        let detail = if code == Code::AgentFailed { detail } else { sentence(&detail) };
        Self(Box::new(Facts {
            code,
            detail,
            retry: code.retry(),
            operation: None,
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
        }))
    }

    /// There is no such resource, or none that this caller may see.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}."))
    }

    /// The path exists, the method does not.
    pub fn method_not_allowed(method: &Method, allow: &str) -> Self {
        Self::new(Code::MethodNotAllowed, format!("{method} is not among the methods of this path: {allow}."))
            .header(header::ALLOW, allow)
    }

    /// A failure without public details. Logs `error` with its sources; call it where the error is handled.
    pub fn internal(error: impl Error) -> Self {
        tracing::error!(error = %Chain(&error), "a request failed: {}", Chain(&error));
        Self::new(Code::Internal, "Something went wrong on our side.")
    }

    /// Something zpack needs cannot be reached; logs `error` with its sources.
    pub fn unavailable(error: impl Error) -> Self {
        tracing::warn!(error = %Chain(&error), "a request failed because a dependency is unreachable: {}", Chain(&error));
        Self::new(Code::Unavailable, "A part of the system cannot be reached. Please try again shortly.")
            .retry_after(Duration::from_secs(2))
    }

    /// Fields of the body that were not accepted.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        Self::with_errors(Code::ValidationFailed, errors)
    }

    /// A failure with `code` whose detail says for people what is wrong with the first of `errors`.
    pub fn with_errors(code: Code, errors: Vec<FieldError>) -> Self {
        let shown = errors.iter().take(MOST_SENTENCES).map(|error| about_field(&error.pointer, &error.message));
        let mut detail = shown.collect::<Vec<_>>().join(" ");
        match errors.len().saturating_sub(MOST_SENTENCES) {
            _ if errors.is_empty() => code.title().clone_into(&mut detail),
            0 => {}
            1 => detail.push_str(" There is one more problem."),
            more => detail.push_str(&format!(" There are {more} more problems.")),
        }
        let mut error = Self::new(code, detail);
        error.0.errors = errors;
        error
    }

    /// Names the operation that prevents the request.
    #[must_use]
    pub fn operation(mut self, id: OperationId) -> Self {
        self.0.operation = Some(id);
        self
    }

    /// Sets `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.0.retry = Retry::After;
        self.header(header::RETRY_AFTER, &seconds.max(1).to_string())
    }

    /// Adds an extension member to the document.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header to the answer; a value that is not valid in a header is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The fields that were not accepted.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The document, with the request id as `instance`.
    pub fn document(&self, instance: Option<&str>) -> String {
        let Facts { code, detail, retry, operation, errors, members, .. } = &*self.0;
        let problem = Problem {
            kind: format!("/docs#{code}"),
            title: code.title(),
            status: code.status().as_u16(),
            detail,
            instance,
            code: code.as_str(),
            retryable: retry.as_str(),
            operation: *operation,
            errors,
            error: detail,
            members,
        };
        // Strings, numbers and maps with string keys: serializing them cannot fail.
        serde_json::to_string(&problem).unwrap_or_default()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        for (name, value) in &self.0.headers {
            response.append_header((name.clone(), value.clone()));
        }
        response.content_type(PROBLEM).body(self.document(None))
    }
}

impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        match StoreFailure::of(&error) {
            StoreFailure::Away | StoreFailure::Busy => Self::unavailable(error),
            StoreFailure::Full => {
                tracing::error!(error = %Chain(&error), "a request failed because the disk is full: {}", Chain(&error));
                Self::new(Code::StorageFull, "The disk of the database is full. Nothing was changed; try again later.")
                    .retry_after(Duration::from_secs(30))
            }
            StoreFailure::Refused => Self::internal(error),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => error.into(),
            ReadError::Unreadable { .. } => {
                let detail = "This was written by a newer version of zpack, which is being rolled out. Please try again shortly.";
                Self::new(Code::Unreadable, detail).retry_after(Duration::from_secs(30))
            }
        }
    }
}

/// The content type of a problem document.
pub const PROBLEM: &str = "application/problem+json";

/// An error and its sources in one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_every_member_of_the_contract() {
        let id = OperationId::generate();
        let error = ApiError::new(Code::HostOperationInProgress, "The server is being started.").operation(id);
        let document: Value = serde_json::from_str(&error.document(Some("req-1"))).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "/docs#host_operation_in_progress",
                "title": "Host operation in progress",
                "status": 409,
                "detail": "The server is being started.",
                "instance": "req-1",
                "code": "host_operation_in_progress",
                "retryable": "after_operation",
                "operation": id.to_string(),
                "error": "The server is being started.",
            })
        );
    }

    #[test]
    fn retry_after_rounds_up_to_whole_seconds() {
        let error = ApiError::new(Code::Internal, "x").retry_after(Duration::from_millis(1200));
        assert_eq!(error.error_response().headers().get(header::RETRY_AFTER).unwrap(), "2");
        assert!(error.document(None).contains("\"retryable\":\"after\""));
    }
}
