//! `GET …/dns_records`: filters in both spellings, order and pages.

use serde_json::{Value, json};

use super::model::Record;
use super::problem::Problem;
use crate::sim::wire::SimRequest;

const MAX_PER_PAGE: usize = 5_000_000;

/// One page of the records that the query selects, and its `result_info`.
pub(super) fn page(request: &SimRequest, records: &[Record]) -> Result<(Value, Value), Problem> {
    let number = |key: &str, default: usize, most: usize| match request.query_value(key) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| Problem::new(400, 1004, format!("Invalid parameter {key}: must be from 1 to {most}."))),
    };
    let (page, per_page) = (number("page", 1, usize::MAX)?, number("per_page", 100, MAX_PER_PAGE)?);
    // Filters compare what is stored, not what is shown.
    let wanted = records.iter().filter(|record| is_wanted(request, &record.held()));
    let mut rows: Vec<Value> = wanted.map(Record::show).collect();
    if let Some(field) = request.query_value("order") {
        rows.sort_by_key(|row| field_text(row, field));
        if request.query_value("direction") == Some("desc") {
            rows.reverse();
        }
    }
    let total = rows.len();
    let rows: Vec<Value> = rows.into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page).collect();
    let info = json!({
        "page": page, "per_page": per_page, "count": rows.len(), "total_count": total,
        "total_pages": total.div_ceil(per_page),
    });
    Ok((Value::Array(rows), info))
}

fn is_wanted(request: &SimRequest, row: &Value) -> bool {
    let mut verdicts = request.query.iter().filter_map(|(key, value)| verdict(row, key, value)).peekable();
    if verdicts.peek().is_none() {
        return true;
    }
    if request.query_value("match") == Some("any") { verdicts.any(|fits| fits) } else { verdicts.all(|fits| fits) }
}

/// Whether the row passes one filter; `None` when the parameter is no filter.
fn verdict(row: &Value, key: &str, value: &str) -> Option<bool> {
    let (field, test) = key.split_once('.').unwrap_or((key, "exact"));
    if !matches!(field, "name" | "content" | "comment" | "type" | "proxied" | "tag") {
        return None;
    }
    let have = field_text(row, field);
    let want = value.to_ascii_lowercase();
    Some(match test {
        "exact" => have == want,
        "contains" => have.contains(&want),
        "startswith" => have.starts_with(&want),
        "endswith" => have.ends_with(&want),
        "present" => !have.is_empty(),
        "absent" => have.is_empty(),
        _ => return None,
    })
}

fn field_text(row: &Value, field: &str) -> String {
    match row.get(if field == "tag" { "tags" } else { field }) {
        Some(Value::String(text)) => text.to_ascii_lowercase(),
        Some(Value::Array(tags)) => {
            tags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",").to_ascii_lowercase()
        }
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}
