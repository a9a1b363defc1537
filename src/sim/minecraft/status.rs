//! The status of a server in the three forms of the protocol.

use serde_json::Value;

/// What a listener does with a status request.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusAnswer {
    /// It answers with this document.
    Status(Value),
    /// It keeps the connection open and sends nothing, as with `enable-status=false`.
    Silent,
    /// It breaks the connection: no server is running.
    Reset,
}

/// The protocol number of a version of the game; 0 for versions that are not needed here.
pub fn protocol_of(version: &str) -> i32 {
    match version {
        "1.8.8" => 47,
        "1.12.2" => 340,
        "1.16.5" => 754,
        "1.20.1" => 763,
        "1.20.4" => 765,
        "1.21.1" => 767,
        "1.21.4" => 769,
        _ => 0,
    }
}

/// The answer of 1.4 to 1.6: a kick whose reason has fields separated by NUL.
pub fn legacy_answer(status: &Value) -> Vec<u8> {
    let (version, protocol) = (text(status, "/version/name"), number(status, "/version/protocol"));
    let (motd, online, max) = summary(status);
    kick(&format!("§1\0{protocol}\0{version}\0{motd}\0{online}\0{max}"))
}

/// The answer before 1.4: three fields separated by a section sign.
pub fn oldest_answer(status: &Value) -> Vec<u8> {
    let (motd, online, max) = summary(status);
    kick(&format!("{motd}§{online}§{max}"))
}

fn summary(status: &Value) -> (String, i64, i64) {
    let description = status.get("description");
    let words = description.and_then(Value::as_str).or_else(|| description?.get("text")?.as_str());
    let motd = words.unwrap_or_default().replace(['§', '\0'], "");
    (motd, number(status, "/players/online"), number(status, "/players/max"))
}

fn text(status: &Value, at: &str) -> String {
    status.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(status: &Value, at: &str) -> i64 {
    status.pointer(at).and_then(Value::as_i64).unwrap_or_default()
}

fn kick(reason: &str) -> Vec<u8> {
    let units: Vec<u16> = reason.encode_utf16().collect();
    let mut bytes = vec![0xff];
    bytes.extend(u16::try_from(units.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(units.into_iter().flat_map(u16::to_be_bytes));
    bytes
}
