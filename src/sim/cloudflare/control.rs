//! What a test, or a person at the dashboard, changes in the zone without the API.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::input::Place;
use super::model::{MAX_RECORDS, MAX_TOKENS, Model, Plan, SrvData, Token};
use super::store::Store;
use crate::kernel::Timestamp;
use crate::sim::peer::{ControlError, ControlRequest};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewToken {
    read: Option<bool>,
    write: Option<bool>,
    zone: Option<bool>,
    status: Option<String>,
    expires_on: Option<Timestamp>,
    #[serde(default)]
    of_account: bool,
}

/// Executes a control request about the zone.
pub(super) fn control(request: &ControlRequest, model: &mut Model, now: Timestamp) -> Result<Value, ControlError> {
    match request.route() {
        ("POST", path) if path == ["records"] => plant(&request.body, model, now),
        ("POST", path) if path.first() == Some(&"records") && path.len() == 2 => {
            let id = path.get(1).copied().unwrap_or_default();
            let mut store = Store::of(model, now);
            let edited = store.update(id, &request.body, false);
            let edited = edited.map_err(|problem| ControlError::Invalid(problem.document().to_string()))?;
            model.records = store.records;
            Ok(edited)
        }
        ("DELETE", path) if path == ["records"] => {
            let removed = std::mem::take(&mut model.records).len();
            Ok(json!({"removed": removed}))
        }
        ("DELETE", path) if path.first() == Some(&"records") && path.len() == 2 => {
            let before = model.records.len();
            model.records.retain(|record| path.get(1) != Some(&record.id.as_str()));
            removed(before - model.records.len(), "the record")
        }
        ("POST", path) if path == ["plan"] => {
            model.plan = request.parse::<Plan>()?;
            Ok(json!(model.plan))
        }
        ("POST", path) if path == ["tokens"] => {
            demand_room(model.tokens.len(), MAX_TOKENS, "tokens")?;
            let wanted: NewToken = request.parse()?;
            let mut token = Token::new(wanted.of_account);
            (token.read, token.write) = (wanted.read.unwrap_or(true), wanted.write.unwrap_or(true));
            token.zone = wanted.zone.unwrap_or(true);
            token.status = wanted.status.unwrap_or(token.status);
            token.expires_on = wanted.expires_on;
            let answer = json!({"id": token.id, "token": token.value});
            model.tokens.push(token);
            Ok(answer)
        }
        ("DELETE", path) if path == ["tokens"] => {
            let removed = std::mem::take(&mut model.tokens).len();
            Ok(json!({"removed": removed}))
        }
        _ => Err(request.no_route()),
    }
}

/// Adds the record in the body without checking it against the others. `view` changes how it is shown.
fn plant(body: &Value, model: &mut Model, now: Timestamp) -> Result<Value, ControlError> {
    demand_room(model.records.len(), MAX_RECORDS, "records")?;
    let invalid = |error: String| ControlError::Invalid(error);
    let plan = Plan { records: usize::MAX, tags: usize::MAX, comment: usize::MAX, batch: usize::MAX };
    let place = Place { zone: &model.zone, plan, now };
    let mut record = place.record(body, None).map_err(|problem| invalid(problem.document().to_string()))?;
    if let Some(target) = body.pointer("/data/target").and_then(Value::as_str)
        && let Some(data) = &mut record.data
    {
        *data = SrvData { target: target.trim_end_matches('.').to_owned(), ..data.clone() };
        if data.target.is_empty() {
            ".".clone_into(&mut data.target);
        }
    }
    if let Some(view) = body.get("view") {
        record.view = serde_json::from_value::<Map<String, Value>>(view.clone()).map_err(|e| invalid(e.to_string()))?;
    }
    let shown = record.show();
    model.records.push(record);
    Ok(shown)
}

fn demand_room(count: usize, most: usize, what: &str) -> Result<(), ControlError> {
    if count < most { Ok(()) } else { Err(ControlError::Invalid(format!("there are {most} {what} already"))) }
}

fn removed(count: usize, what: &str) -> Result<Value, ControlError> {
    if count == 0 { Err(ControlError::Unknown(what.to_owned())) } else { Ok(json!({"removed": count})) }
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::*;

    fn post(path: &str, body: Value) -> ControlRequest {
        ControlRequest { method: Method::POST, segments: vec![path.to_owned()], query: Vec::new(), body }
    }

    #[test]
    fn records_and_tokens_have_a_bound_that_no_plan_lifts() {
        let (mut model, now) = (Model::new("play.zpack.test"), Timestamp::from_millis(0));
        control(&post("plan", json!({"records": 1_000_000})), &mut model, now).unwrap();
        let record = json!({"type": "A", "name": "a.play.zpack.test", "content": "192.0.2.1", "ttl": 60});
        control(&post("records", record.clone()), &mut model, now).unwrap();
        let planted = model.records[0].clone();
        model.records.resize(MAX_RECORDS, planted);
        assert!(control(&post("records", record), &mut model, now).is_err());
        let another = json!({"type": "A", "name": "b.play.zpack.test", "content": "192.0.2.1", "ttl": 60});
        assert!(Store::of(&model, now).create(&another).is_err());
        while control(&post("tokens", json!({})), &mut model, now).is_ok() {}
        assert_eq!((model.records.len(), model.tokens.len()), (MAX_RECORDS, MAX_TOKENS));
    }
}
