//! Answers in Proxmox's envelope.

use std::time::Duration;

use hyper::header::{CACHE_CONTROL, SERVER};
use serde_json::{Map, Value, json};

use super::profile::PveProfile;
use super::validate::Problems;
use crate::sim::wire::Reply;

const CONTENT_TYPE: &str = "application/json;charset=UTF-8";
const AGENT: &str = "pve-api-daemon/3.0";

/// What a method returns.
#[derive(Debug)]
pub struct Answer {
    /// The value under `data`.
    pub data: Value,
    /// Lists of tasks and log lines carry their total.
    pub total: Option<usize>,
}

impl From<Value> for Answer {
    fn from(data: Value) -> Self {
        Self { data, total: None }
    }
}

/// Why a request gets no data.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// 400: wrong parameters.
    #[error("Parameter verification failed.")]
    Parameters(Problems),
    /// 401: no or wrong credentials.
    #[error("{0}")]
    Unauthorized(String),
    /// 403: not permitted. Without detail when the rule has alternatives.
    #[error("Permission check failed{}", detail(.0))]
    Forbidden(String),
    /// 500: the method died with this text.
    #[error("{0}")]
    Died(String),
    /// 501: no such method.
    #[error("{0}")]
    NotImplemented(String),
    /// The HTTP server refuses the request before the API gets it: no body.
    #[error("{1}")]
    Transport(u16, String),
    /// 595, 596: the owner node cannot be reached: no body.
    #[error("{1}")]
    Gateway(u16, String),
}

fn detail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

impl Refusal {
    /// The method died.
    pub fn died(text: impl Into<String>) -> Self {
        Self::Died(text.into())
    }

    /// One parameter is wrong.
    pub fn parameter(field: &str, text: impl Into<String>) -> Self {
        Self::Parameters(Problems::of(field, text))
    }

    fn status(&self) -> u16 {
        match self {
            Self::Parameters(_) => 400,
            Self::Unauthorized(_) => 401,
            Self::Forbidden(_) => 403,
            Self::Died(_) => 500,
            Self::NotImplemented(_) => 501,
            Self::Transport(status, _) | Self::Gateway(status, _) => *status,
        }
    }
}

/// The HTTP answer to a request.
pub fn reply(outcome: Result<Answer, Refusal>, profile: PveProfile, auth_delay: Duration) -> Reply {
    match outcome {
        Ok(Answer { data, total }) => {
            let mut body = json!({"data": data});
            if let (Some(total), Some(fields)) = (total, body.as_object_mut()) {
                fields.insert("total".to_owned(), json!(total));
            }
            with_common_headers(Reply::new(200).with_body(CONTENT_TYPE, body.to_string()))
        }
        Err(refusal) => with_common_headers(refuse(&refusal, profile, auth_delay)).closing(),
    }
}

fn refuse(refusal: &Refusal, profile: PveProfile, auth_delay: Duration) -> Reply {
    let text = refusal.to_string();
    let reason = text.lines().next().unwrap_or_default();
    let bare = Reply::new(refusal.status()).with_reason(reason);
    match refusal {
        Refusal::Unauthorized(_) => bare.after(auth_delay),
        Refusal::Transport(..) | Refusal::Gateway(..) => bare,
        Refusal::Parameters(Problems(errors)) => {
            let mut body = Map::from_iter([("data".to_owned(), Value::Null), ("errors".to_owned(), json!(errors))]);
            if profile.error_text_in_body() {
                body.insert("message".to_owned(), json!(format!("{text}\n")));
            }
            bare.with_body(CONTENT_TYPE, Value::Object(body).to_string())
        }
        Refusal::Forbidden(_) | Refusal::Died(_) | Refusal::NotImplemented(_) => {
            let body = if profile.error_text_in_body() {
                json!({"data": null, "message": format!("{text}\n")})
            } else {
                json!({"data": null})
            };
            bare.with_body(CONTENT_TYPE, body.to_string())
        }
    }
}

fn with_common_headers(reply: Reply) -> Reply {
    reply.with_header(SERVER, AGENT).with_header(CACHE_CONTROL, "max-age=0")
}
