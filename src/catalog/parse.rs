//! Parses the documents of the artifact server leniently: unusable entries are left out and unknown keys are ignored.
//!
//! Only a text that is not a catalog at all is an error, so that the last good copy remains in use.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{Game, Games, Runtime, Runtimes, Variant};
use super::version::sort_newest_first;

/// A variant id that the artifact server has misspelt for years.
const TYPO: &str = "pupur";
/// The longest id and version; also the width of their database columns.
const LONGEST: usize = 64;

/// The text is not a catalog document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedDocument {
    /// It is not JSON.
    #[error("the catalog document is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where parsing stopped.
        line: usize,
        /// Where parsing stopped.
        column: usize,
    },
    /// It is JSON of another shape.
    #[error("the catalog document has no {0}")]
    Shape(&'static str),
}

/// Parses `/_catalog.json`.
pub fn parse_games(text: &str) -> Result<Games, MalformedDocument> {
    let document = object(text)?;
    let mut games: Grouped<Grouped<Vec<String>>> = Grouped::default();
    for game in array(&document, "games", "array `games`")? {
        let Some(id) = id_of(game) else { continue };
        for variant in items(game, "variants") {
            let Some(variant_id) = id_of(variant).filter(|id| *id != TYPO) else { continue };
            games.entry(id).entry(variant_id).extend(versions_of(variant));
        }
    }
    let variants = |group: Grouped<Vec<String>>| {
        let variants = group.into_iter().filter_map(|(id, versions)| Some(Variant { id, versions: tidy(versions)? }));
        Some(variants.collect::<Vec<_>>()).filter(|variants| !variants.is_empty())
    };
    let games = games.into_iter().filter_map(|(id, group)| Some(Game { id, variants: variants(group)? }));
    Ok(Games { games: games.collect() })
}

/// Parses `/devcontainer/_catalog.json`.
pub fn parse_runtimes(text: &str) -> Result<Runtimes, MalformedDocument> {
    let document = object(text)?;
    let mut runtimes: Grouped<Vec<String>> = Grouped::default();
    for runtime in array(&document, "runtimes", "array `runtimes`")? {
        if let Some(id) = id_of(runtime) {
            runtimes.entry(id).extend(versions_of(runtime));
        }
    }
    let runtimes = runtimes.into_iter().filter_map(|(id, versions)| Some(Runtime { id, versions: tidy(versions)? }));
    Ok(Runtimes { runtimes: runtimes.collect() })
}

/// Whether `text` is a valid id of a game, a variant or a runtime. Ids become parts of artifact paths.
pub fn is_id(text: &str) -> bool {
    is_path_part(text) && !text.bytes().any(|b| b.is_ascii_uppercase() || b == b'+')
}

/// Whether `text` is a valid version. Versions become parts of artifact paths too.
pub fn is_version(text: &str) -> bool {
    is_path_part(text)
}

fn is_path_part(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !text.contains("..")
}

fn object(text: &str) -> Result<Value, MalformedDocument> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| MalformedDocument::NotJson { line: error.line(), column: error.column() })?;
    if value.is_object() { Ok(value) } else { Err(MalformedDocument::Shape("object at its top")) }
}

/// The top array: absent or null counts as empty, anything else is an error.
fn array<'a>(document: &'a Value, key: &str, what: &'static str) -> Result<&'a [Value], MalformedDocument> {
    match document.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(MalformedDocument::Shape(what)),
    }
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn id_of(value: &Value) -> Option<&str> {
    value.get("id").and_then(Value::as_str).filter(|id| is_id(id))
}

fn versions_of(value: &Value) -> impl Iterator<Item = String> {
    items(value, "versions").iter().filter_map(Value::as_str).filter(|text| is_version(text)).map(str::to_owned)
}

fn tidy(mut versions: Vec<String>) -> Option<Vec<String>> {
    sort_newest_first(&mut versions);
    Some(versions).filter(|versions| !versions.is_empty())
}

/// Values by id in the order of first appearance; entries of one id are merged.
struct Grouped<T> {
    places: BTreeMap<String, usize>,
    groups: Vec<(String, T)>,
}

impl<T> Default for Grouped<T> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), groups: Vec::new() }
    }
}

impl<T: Default> Grouped<T> {
    #[expect(clippy::indexing_slicing, reason = "a place is always the index of a pushed group")]
    fn entry(&mut self, id: &str) -> &mut T {
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                self.groups.push((id.to_owned(), T::default()));
                self.places.insert(id.to_owned(), self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        &mut self.groups[place].1
    }

    fn into_iter(self) -> impl Iterator<Item = (String, T)> {
        self.groups.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn games(document: Value) -> Value {
        serde_json::to_value(parse_games(&document.to_string()).unwrap()).unwrap()
    }

    #[test]
    fn unusable_entries_are_left_out() {
        let parsed = games(json!({
            "updated": "today",
            "games": [
                {"id": "minecraft", "icon": 1, "variants": [
                    {"id": "paper", "versions": ["1.9", "1.10", "1.9", 1.2, null, "../x", "1.21.1"]},
                    {"id": "pupur", "versions": ["1.20.1"]},
                    {"id": "vanilla", "versions": []},
                    {"id": "forge", "versions": "1.20.1"},
                    {"versions": ["1.20.1"]},
                    {"id": "../etc", "versions": ["1"]},
                    {"id": "a..b", "versions": ["1"]},
                    {"id": "Paper", "versions": ["1"]},
                    "fabric",
                    {"id": "paper", "versions": ["26.1"]},
                ]},
                {"id": "empty", "variants": []},
                {"id": "rust", "variants": [{"id": "vanilla", "versions": ["latest"]}]},
                {"variants": [{"id": "x", "versions": ["1"]}]},
                null,
            ],
        }));
        assert_eq!(
            parsed,
            json!({"games": [
                {"id": "minecraft", "variants": [{"id": "paper", "versions": ["26.1", "1.21.1", "1.10", "1.9"]}]},
                {"id": "rust", "variants": [{"id": "vanilla", "versions": ["latest"]}]},
            ]})
        );
    }

    #[test]
    fn a_missing_top_array_is_empty_and_another_shape_is_an_error() {
        assert_eq!(games(json!({})), json!({"games": []}));
        assert_eq!(games(json!({"games": null})), json!({"games": []}));
        assert_eq!(parse_runtimes("{}"), Ok(Runtimes::default()));
        assert_eq!(parse_games("[]"), Err(MalformedDocument::Shape("object at its top")));
        assert_eq!(parse_games(r#"{"games":{}}"#), Err(MalformedDocument::Shape("array `games`")));
        assert_eq!(
            parse_runtimes("<html>down</html>").unwrap_err().to_string(),
            "the catalog document is not JSON (line 1, column 1)"
        );
    }

    #[test]
    fn runtimes_are_parsed_in_the_same_way() {
        let text =
            r#"{"runtimes":[{"id":"node","versions":["9","20","22"]},{"id":"go"},{"id":"node","versions":["24"]}]}"#;
        let runtime = Runtime { id: "node".into(), versions: ["24", "22", "20", "9"].map(String::from).to_vec() };
        assert_eq!(parse_runtimes(text), Ok(Runtimes { runtimes: vec![runtime] }));
    }

    fn word() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => "[ab1.]{1,3}".prop_map(Value::from),
            1 => Just(Value::from("pupur")),
            1 => any::<String>().prop_map(Value::from),
            1 => any::<i32>().prop_map(Value::from),
            1 => Just(Value::Null),
        ]
    }

    fn entry(key: &'static str, items: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        let items = prop_oneof![6 => prop::collection::vec(items, 0..5).prop_map(Value::from), 1 => word()];
        (word(), items).prop_map(move |(id, items)| json!({"id": id, key: items, "note": 1}))
    }

    fn noise() -> impl Strategy<Value = Value> {
        let game = prop_oneof![6 => entry("variants", entry("versions", word())), 1 => word()];
        prop::collection::vec(game, 0..5).prop_map(|games| json!({"games": games}))
    }

    proptest! {
        #[test]
        fn whatever_is_served_only_clean_entries_come_out(document in noise()) {
            let parsed = parse_games(&document.to_string()).unwrap();
            for game in &parsed.games {
                prop_assert!(is_id(&game.id) && !game.variants.is_empty());
                prop_assert_eq!(parsed.games.iter().filter(|other| other.id == game.id).count(), 1);
                for variant in &game.variants {
                    prop_assert!(is_id(&variant.id) && variant.id != TYPO && !variant.versions.is_empty());
                    prop_assert!(variant.versions.iter().all(|version| is_version(version)));
                    prop_assert!(variant.versions.is_sorted_by(|a, b| super::super::version::compare(a, b).is_gt()));
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = (parse_games(&text), parse_runtimes(&text));
        }

        #[test]
        fn reading_what_was_written_changes_nothing(document in noise()) {
            let parsed = parse_games(&document.to_string()).unwrap();
            let again = parse_games(&serde_json::to_string(&parsed).unwrap());
            prop_assert_eq!(again, Ok(parsed));
        }
    }
}
