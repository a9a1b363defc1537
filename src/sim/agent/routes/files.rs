//! Files of the data root.

use hyper::header::{ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, ETAG, HeaderName};
use serde::Deserialize;
use serde_json::json;

use super::super::disk::{Condition, etag, is_text, parse_path, sha256, tar_gz};
use super::super::instance::Agent;
use super::super::problem::{Code, Problem};
use super::input::{flag, json_body, required};
use super::range::{self, Range};
use crate::kernel::Timestamp;
use crate::sim::wire::{Reply, SimRequest};

/// The longest text that an editor gets or may save.
const MAX_TEXT: usize = 2 * 1024 * 1024;
const X_SIZE: HeaderName = HeaderName::from_static("x-size");
const OCTETS: &str = "application/octet-stream";

#[derive(Deserialize)]
struct Rename {
    from: String,
    to: String,
    #[serde(default)]
    overwrite: bool,
}

#[derive(Deserialize)]
struct MakeDir {
    path: String,
    #[serde(default)]
    parents: bool,
}

/// `GET /files`
pub fn list(agent: &Agent, request: &SimRequest) -> Result<Reply, Problem> {
    Ok(Reply::json(200, &agent.disk.list(request.query_value("path").unwrap_or_default())?))
}

/// `GET /files/content`
pub fn read(agent: &Agent, request: &SimRequest) -> Result<Reply, Problem> {
    let bytes = agent.disk.read(required(request, "path")?)?;
    if bytes.len() > MAX_TEXT {
        return Err(Problem::new(Code::TooLarge, "the file is longer than 2 MiB; download it instead"));
    }
    if !is_text(bytes) {
        return Err(Problem::new(Code::Unsupported, "the file is not text; download it instead").with_status(415));
    }
    let reply = Reply::new(200).with_body("text/plain; charset=utf-8", bytes.clone());
    Ok(reply.with_header(ETAG, &etag(bytes)).with_header(X_SIZE, &bytes.len().to_string()))
}

/// `PUT /files/content`
pub fn write(agent: &mut Agent, request: &SimRequest, now: Timestamp) -> Result<Reply, Problem> {
    if request.body.len() > MAX_TEXT {
        return Err(Problem::new(Code::TooLarge, "a text may be 2 MiB long; upload the file instead"));
    }
    let condition = match (request.header("if-match"), request.header("if-none-match")) {
        (None, None) => Condition::Any,
        (Some(tag), None) => Condition::Match(tag.to_owned()),
        (None, Some("*")) => Condition::Absent(Code::PreconditionFailed),
        (_, Some(_)) => return Err(Problem::new(Code::BadRequest, "If-None-Match must be *, without If-Match")),
    };
    store(agent, request, &condition, now)?;
    let tag = etag(&request.body);
    Ok(Reply::json(200, &json!({"etag": tag, "size": request.body.len()})).with_header(ETAG, &tag))
}

/// `POST /files/upload`
pub fn upload(agent: &mut Agent, request: &SimRequest, now: Timestamp) -> Result<Reply, Problem> {
    let condition = if flag(request, "overwrite")? { Condition::Any } else { Condition::Absent(Code::Exists) };
    let sum = sha256(&request.body);
    if request.header("x-content-sha256").is_some_and(|expected| !expected.eq_ignore_ascii_case(&sum)) {
        return Err(Problem::new(Code::Invalid, "the checksum of the body is not the one in X-Content-Sha256"));
    }
    store(agent, request, &condition, now)?;
    Ok(Reply::json(201, &json!({"size": request.body.len(), "sha256": sum})))
}

/// `GET /files/download`
pub fn download(agent: &Agent, request: &SimRequest) -> Result<Reply, Problem> {
    let path = required(request, "path")?;
    let parsed = parse_path(path)?;
    let name = parsed.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("data");
    if let Some(entries) = agent.disk.subtree(path)? {
        let archive = tar_gz(name, &entries);
        let reply = Reply::new(200).with_body("application/gzip", archive);
        return Ok(reply.with_header(CONTENT_DISPOSITION, &attachment(&format!("{name}.tar.gz"))));
    }
    let bytes = agent.disk.read(path)?;
    let tag = etag(bytes);
    let unchanged = request.header("if-range").is_none_or(|expected| expected == tag);
    let range = if unchanged { range::parse(request.header("range"), bytes.len()) } else { Range::Whole };
    let reply = match range {
        Range::Whole => Reply::new(200).with_body(OCTETS, bytes.clone()),
        Range::Part { first, last } => {
            let part = Reply::new(206).with_body(OCTETS, bytes.slice(first..=last));
            part.with_header(CONTENT_RANGE, &format!("bytes {first}-{last}/{}", bytes.len()))
        }
        Range::Unsatisfiable => {
            let mut problem = Problem::new(Code::BadRequest, "the range is outside the file").with_status(416);
            problem.details = Some(json!({"size": bytes.len()}));
            return Err(problem);
        }
    };
    let reply = reply.with_header(CONTENT_DISPOSITION, &attachment(name)).with_header(ETAG, &tag);
    Ok(reply.with_header(ACCEPT_RANGES, "bytes").with_header(X_SIZE, &bytes.len().to_string()))
}

/// `POST /files/rename`
pub fn rename(agent: &mut Agent, request: &SimRequest) -> Result<Reply, Problem> {
    let Rename { from, to, overwrite } = json_body(request)?;
    agent.disk.rename(&from, &to, overwrite)?;
    Ok(Reply::new(204))
}

/// `DELETE /files`
pub fn delete(agent: &mut Agent, request: &SimRequest) -> Result<Reply, Problem> {
    agent.disk.delete(required(request, "path")?, flag(request, "recursive")?)?;
    Ok(Reply::new(204))
}

/// `POST /files/mkdir`
pub fn make_dir(agent: &mut Agent, request: &SimRequest, now: Timestamp) -> Result<Reply, Problem> {
    let MakeDir { path, parents } = json_body(request)?;
    let made = agent.disk.make_dir(&path, parents, now)?;
    Ok(Reply::json(if made { 201 } else { 200 }, &json!({"path": parse_path(&path)?})))
}

fn store(agent: &mut Agent, request: &SimRequest, condition: &Condition, now: Timestamp) -> Result<(), Problem> {
    let limit = agent.disk_bytes.saturating_sub(agent.backups.used());
    agent.disk.write(required(request, "path")?, request.body.clone(), condition, limit, now)
}

/// A `Content-Disposition` that keeps any name (RFC 6266).
fn attachment(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) { c } else { '_' }).collect();
    let encoded: String = name
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}
