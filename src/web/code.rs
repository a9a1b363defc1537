//! Every public error code with its status, in one table. Append-only, because clients match on the codes.

use actix_web::http::StatusCode;

use crate::kernel::text_enum;

text_enum! {
    /// What a client may do after a failure.
    pub enum Retry {
        /// The same request would fail again.
        No = "no",
        /// The same request may succeed at once.
        Now = "now",
        /// The same request may succeed after `Retry-After`.
        After = "after",
        /// The same request may succeed once the operation named in the answer has ended.
        AfterOperation = "after_operation",
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $status:ident, $retry:ident, $title:literal;)+) => {
        text_enum! {
            /// A public error code.
            pub enum Code { $($(#[doc = $doc])+ $variant = $text),+ }
        }

        impl Code {
            /// The HTTP status it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// What a client may do about it.
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry),+ }
            }

            /// Its title.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// The situation in which it is answered.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

codes! {
    /// The request line, the path or the encoding of the request cannot be understood.
    MalformedRequest = "malformed_request", BAD_REQUEST, No, "Malformed request";
    /// The body is not one JSON object, or a key appears twice in it.
    MalformedJson = "malformed_json", BAD_REQUEST, No, "Malformed JSON";
    /// A query parameter is unknown, repeated or has no meaning here; `errors` points at it as `?name`.
    InvalidQuery = "invalid_query", BAD_REQUEST, No, "Invalid query parameter";
    /// A header that changes the meaning of the request, such as `Idempotency-Key`, is not well formed.
    InvalidHeader = "invalid_header", BAD_REQUEST, No, "Invalid header";
    /// No credential was sent, or it is unknown, expired or revoked.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, No, "Not authenticated";
    /// The account does not exist or the password is wrong; which of the two is not disclosed.
    InvalidCredentials = "invalid_credentials", UNAUTHORIZED, No, "Wrong identifier or password";
    /// A payment is late; new servers wait for it.
    BillingPastDue = "billing_past_due", PAYMENT_REQUIRED, No, "Payment is past due";
    /// A payment is late; changes to backups wait for it.
    BillingBackupBlocked = "billing_backup_blocked", PAYMENT_REQUIRED, No, "Backups are blocked";
    /// The account is suspended until it is paid.
    BillingSuspended = "billing_suspended", PAYMENT_REQUIRED, No, "Account suspended";
    /// The account is suspended and its data is kept for a limited time.
    BillingRetained = "billing_retained", PAYMENT_REQUIRED, No, "Account suspended, data retained";
    /// The account is suspended and its data is about to be deleted.
    BillingPendingDeletion = "billing_pending_deletion", PAYMENT_REQUIRED, No, "Account pending deletion";
    /// A subscription is needed before the first server.
    BillingSetupRequired = "billing_setup_required", PAYMENT_REQUIRED, No, "Subscription required";
    /// A disputed payment blocks what costs money.
    BillingDisputeOpen = "billing_dispute_open", PAYMENT_REQUIRED, No, "Payment disputed";
    /// The caller is known and may not do this.
    Forbidden = "forbidden", FORBIDDEN, No, "Not allowed";
    /// An operator holds the account; paying does not lift it.
    AccountHold = "account_hold", FORBIDDEN, No, "Account on hold";
    /// The request would exceed a limit of the account, named in `detail`.
    QuotaExceeded = "quota_exceeded", FORBIDDEN, No, "Quota exceeded";
    /// No such route, or no such resource that the caller may see.
    NotFound = "not_found", NOT_FOUND, No, "Not found";
    /// The path exists, the method does not; `Allow` lists those that do.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, No, "Method not allowed";
    /// The client sent its request too slowly.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, Now, "Request timeout";
    /// The resource is not in a state that allows this.
    StateConflict = "state_conflict", CONFLICT, No, "State conflict";
    /// Another operation is changing the resource; `operation` names it.
    OperationInProgress = "operation_in_progress", CONFLICT, AfterOperation, "Operation in progress";
    /// Another host power operation is running for the server; `operation` names it.
    HostOperationInProgress = "host_operation_in_progress", CONFLICT, AfterOperation, "Host operation in progress";
    /// An account with this email or this username exists; which of the two is not disclosed.
    AccountExists = "account_exists", CONFLICT, No, "Account exists";
    /// The resource has changed since the client read it.
    RevisionMismatch = "revision_mismatch", PRECONDITION_FAILED, No, "Revision mismatch";
    /// The body is larger than this route takes.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, No, "Body too large";
    /// The path and query are longer than 8 KiB.
    UriTooLong = "uri_too_long", URI_TOO_LONG, No, "URI too long";
    /// The body is not of the type this route takes.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, No, "Unsupported media type";
    /// The body is JSON, but fields are missing, unknown or out of range; `errors` points at each.
    ValidationFailed = "validation_failed", UNPROCESSABLE_ENTITY, No, "Validation failed";
    /// The `Idempotency-Key` was used before with another body.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, No, "Idempotency key reused";
    /// Too many requests; `Retry-After` is the time to wait.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, After, "Rate limited";
    /// The headers are larger than 32 KiB together.
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, No, "Headers too large";
    /// An unforeseen failure; the log has it under the request id in `instance`.
    Internal = "internal", INTERNAL_SERVER_ERROR, No, "Internal error";
    /// A system behind zpack answered with an error.
    UpstreamFailed = "upstream_failed", BAD_GATEWAY, After, "Upstream failed";
    /// The agent of the server answered with an error, quoted in `detail`.
    AgentFailed = "agent_failed", BAD_GATEWAY, After, "Agent failed";
    /// Something zpack needs, such as its database, is unavailable.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, After, "Unavailable";
    /// The disk of the database is full, and nothing was written.
    StorageFull = "storage_full", SERVICE_UNAVAILABLE, After, "Storage full";
    /// More work of this kind is running than zpack accepts at a time.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, After, "Overloaded";
    /// A newer release of zpack wrote the resource, and this process cannot read it; another one may.
    Unreadable = "unreadable", SERVICE_UNAVAILABLE, After, "Not readable yet";
    /// The catalog of games and runtimes cannot be read, and there is no recent copy of it.
    CatalogUnavailable = "catalog_unavailable", SERVICE_UNAVAILABLE, After, "Catalog unavailable";
    /// This installation has no payment provider.
    BillingNotConfigured = "billing_not_configured", SERVICE_UNAVAILABLE, No, "Billing not configured";
    /// A system behind zpack did not answer in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, After, "Upstream timeout";
}

impl Code {
    /// The code for a failure of which only the status is known.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::CONFLICT => Self::StateConflict,
            StatusCode::PRECONDITION_FAILED => Self::RevisionMismatch,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::URI_TOO_LONG => Self::UriTooLong,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::ValidationFailed,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::HeadersTooLarge,
            StatusCode::BAD_GATEWAY => Self::UpstreamFailed,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => Self::UpstreamTimeout,
            other if other.is_client_error() => Self::MalformedRequest,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status_and_a_meaning() {
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code}");
            assert!(code.meaning().ends_with('.'), "{code}: {}", code.meaning());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        }
    }

    #[test]
    fn a_status_maps_to_a_code_of_the_same_status_where_one_exists() {
        // Only the gate answers 402, and it names its own code.
        for code in Code::ALL.iter().filter(|code| code.status() != StatusCode::PAYMENT_REQUIRED) {
            assert_eq!(Code::of_status(code.status()).status(), code.status(), "{code}");
        }
        assert_eq!(Code::of_status(StatusCode::IM_A_TEAPOT), Code::MalformedRequest);
        assert_eq!(Code::of_status(StatusCode::LOOP_DETECTED), Code::Internal);
    }
}
