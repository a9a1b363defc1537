//! The fields of a JSON schema as rows: each with its path, its type and what it means.

use serde_json::{Map, Value};

use super::html::{escape, prose};

/// How deep objects in objects are shown.
const DEPTH: usize = 4;

/// The schemas a document defines.
pub(super) struct Schemas<'d>(pub(super) &'d Value);

/// Whether a field that need not be there is marked, or one that must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// In a request.
    Required,
    /// In an answer.
    Optional,
}

impl<'d> Schemas<'d> {
    /// The schema that `schema` refers to, or itself.
    fn resolve(&self, schema: &'d Value) -> &'d Value {
        let pointer = schema.get("$ref").and_then(Value::as_str).map(|reference| reference.trim_start_matches('#'));
        pointer.and_then(|pointer| self.0.pointer(pointer)).unwrap_or(schema)
    }

    /// A row for each field of `schema`, and of the objects in it.
    pub(super) fn rows(&self, schema: &'d Value, mark: Mark) -> String {
        let mut rows = String::new();
        self.walk(schema, "", mark, DEPTH, &mut rows);
        rows
    }

    fn walk(&self, schema: &'d Value, path: &str, mark: Mark, depth: usize, rows: &mut String) {
        let schema = self.resolve(schema);
        if depth == 0 {
            return;
        }
        // What holds for every case comes before the cases.
        let has_cases = |part: &&Value| self.resolve(part).get("oneOf").is_some();
        let parts = || list(schema, "allOf");
        for part in parts().filter(|part| !has_cases(part)).chain(parts().filter(has_cases)) {
            self.walk(part, path, mark, depth, rows);
        }
        // The null of a field that may be absent is no alternative of its own.
        let alternatives =
            || list(schema, "oneOf").filter(|part| part.get("type").and_then(Value::as_str) != Some("null"));
        let several = alternatives().count() > 1;
        for part in alternatives() {
            let title = self.resolve(part).get("description").and_then(Value::as_str).filter(|_| several);
            if let Some(title) = title {
                rows.push_str(&format!("<tr class=\"case\"><td colspan=\"3\">{}\n", prose(title)));
            }
            self.walk(part, path, mark, depth, rows);
        }
        if let Some(items) = schema.get("items") {
            self.walk(items, &format!("{path}[]"), mark, depth, rows);
        }
        let required: Vec<&str> = list(schema, "required").filter_map(Value::as_str).collect();
        for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let note = match (mark, required.contains(&name.as_str())) {
                (Mark::Required, true) => " <i>required</i>",
                (Mark::Optional, false) => " <i>optional</i>",
                (Mark::Required, false) | (Mark::Optional, true) => "",
            };
            let description = field.get("description").or_else(|| self.resolve(field).get("description"));
            let description = prose(description.and_then(Value::as_str).unwrap_or_default());
            rows.push_str(&format!(
                "<tr><td><code>{}</code><td>{}{note}<td>{description}\n",
                escape(&path),
                escape(&self.kind(field)),
            ));
            self.walk(field, &path, mark, depth - 1, rows);
        }
    }

    /// The type in words.
    fn kind(&self, schema: &'d Value) -> String {
        let schema = self.resolve(schema);
        if let Some(only) = list(schema, "enum").map(Value::to_string).reduce(|all, one| format!("{all}, {one}")) {
            return only;
        }
        let kinds = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            Some(Value::String(kind)) => Some(kind.as_str()),
            _ => None,
        };
        match (kinds, schema.get("format").and_then(Value::as_str)) {
            (Some("array"), _) => {
                let items = schema.get("items").map(|items| self.kind(items)).unwrap_or_default();
                if items.is_empty() { "array".to_owned() } else { format!("array of {items}") }
            }
            (Some("string"), Some(format @ ("date-time" | "uri" | "uuid"))) => format.to_owned(),
            (Some(kind), _) => kind.to_owned(),
            (None, _) => list(schema, "oneOf")
                .chain(list(schema, "allOf"))
                .map(|part| self.kind(part))
                .find(|kind| !kind.is_empty() && kind != "null")
                .unwrap_or_default(),
        }
    }
}

fn list<'d>(schema: &'d Value, key: &str) -> impl Iterator<Item = &'d Value> + use<'d> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_parts_and_alternatives_are_followed() {
        let document = json!({"components": {"schemas": {
            "Order": {"allOf": [
                {"$ref": "#/components/schemas/What"},
                {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer", "description": "In `GiB`."}}},
            ]},
            "What": {"oneOf": [
                {"description": "A game.", "type": "object", "properties": {"game": {"type": ["string", "null"]}}},
                {"description": "A list.", "type": "object", "properties": {"all": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}}}},
            ]},
            "Item": {"type": "object", "properties": {"kind": {"enum": ["a", "b"], "type": "string"}}},
        }}});
        let schema = json!({"$ref": "#/components/schemas/Order"});
        let rows = Schemas(&document).rows(&schema, Mark::Required);
        let (size, game) = (rows.find("<code>size</code>").unwrap(), rows.find("A game.").unwrap());
        assert!(size < game, "what both have in common comes first: {rows}");
        for part in [
            "A game.",
            "<code>game</code><td>string<td>",
            "<code>all</code><td>array of object<td>",
            "<code>all[].kind</code><td>&quot;a&quot;, &quot;b&quot;<td>",
            "<code>size</code><td>integer <i>required</i><td>In <code>GiB</code>.",
        ] {
            assert!(rows.contains(part), "{part} is missing in {rows}");
        }
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let document = json!({"components": {"schemas": {
            "Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}},
        }}});
        let schema = json!({"$ref": "#/components/schemas/Node"});
        assert_eq!(Schemas(&document).rows(&schema, Mark::Optional).matches("<tr>").count(), DEPTH);
    }
}
