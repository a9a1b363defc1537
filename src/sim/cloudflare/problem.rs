//! The errors of the API, in its envelope. The actual code of a failed validation is often only in the chain.

use serde_json::{Value, json};

use crate::sim::wire::put;

/// An error answer.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    code: u32,
    message: String,
    chain: Vec<(u32, String)>,
}

impl Problem {
    pub(super) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), chain: Vec::new() }
    }

    /// A failed validation: a general code outside, the actual one in the chain.
    pub(super) fn invalid(code: u32, message: impl Into<String>) -> Self {
        Self { chain: vec![(code, message.into())], ..Self::new(400, 1004, "DNS Validation Error") }
    }

    /// A header that cannot be read.
    pub(super) fn headers(code: u32, message: &str) -> Self {
        Self { chain: vec![(code, message.to_owned())], ..Self::new(400, 6003, "Invalid request headers") }
    }

    /// An id in the path that is not an id.
    pub(super) fn no_route(path: &str) -> Self {
        let message = format!("Could not route to {path}, perhaps your object identifier is invalid?");
        Self { chain: vec![(7000, "No route for that URI".to_owned())], ..Self::new(400, 7003, message) }
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(403, 10_000, "Authentication error")
    }

    pub(super) fn no_record() -> Self {
        Self::new(404, 81_044, "Record does not exist.")
    }

    /// The document of the answer.
    pub(super) fn document(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if !self.chain.is_empty() {
            let chain = self.chain.iter().map(|(code, message)| json!({"code": code, "message": message}));
            put(&mut error, "error_chain", chain.collect());
        }
        json!({"success": false, "errors": [error], "messages": [], "result": null})
    }
}
