//! Whether the catalog contains what a request selects; if not, which field is wrong and which values are allowed.

use std::fmt;

use super::document::{Games, Runtimes};
use super::parse::{is_id, is_version};

/// How many allowed values an error lists.
const NAMED: usize = 20;

/// The field of a request that the catalog refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectionField {
    /// `game`
    Game,
    /// `variant`
    Variant,
    /// `runtime`
    Runtime,
    /// `version`
    Version,
}

impl SelectionField {
    /// The name of the field in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Game => "game",
            Self::Variant => "variant",
            Self::Runtime => "runtime",
            Self::Version => "version",
        }
    }
}

impl fmt::Display for SelectionField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The catalog does not contain the selection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} `{value}` is not in the catalog; {}", allowed_text(.allowed, *.more))]
pub struct NotInCatalog {
    /// The first field that is wrong.
    pub field: SelectionField,
    /// Its value, cut to 64 characters.
    pub value: String,
    /// Values that would be accepted, at most 20.
    pub allowed: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

fn allowed_text(allowed: &[String], more: usize) -> String {
    match (allowed.join(", "), more) {
        (names, _) if names.is_empty() => "there are none".to_owned(),
        (names, 0) => format!("allowed: {names}"),
        (names, more) => format!("allowed: {names} and {more} more"),
    }
}

/// Checks that `games` has this version of this variant of this game.
pub fn validate_game(games: &Games, game: &str, variant: &str, version: &str) -> Result<(), NotInCatalog> {
    let found = games.games.iter().find(|known| is_id(game) && known.id == game);
    let found =
        found.ok_or_else(|| refuse(SelectionField::Game, game, games.games.iter().map(|known| known.id.as_str())))?;
    let found_variant = found.variants.iter().find(|known| is_id(variant) && known.id == variant);
    let found_variant = found_variant.ok_or_else(|| {
        refuse(SelectionField::Variant, variant, found.variants.iter().map(|known| known.id.as_str()))
    })?;
    validate_version(&found_variant.versions, version)
}

/// Checks that `runtimes` has this version of this runtime.
pub fn validate_runtime(runtimes: &Runtimes, runtime: &str, version: &str) -> Result<(), NotInCatalog> {
    let found = runtimes.runtimes.iter().find(|known| is_id(runtime) && known.id == runtime);
    let found = found.ok_or_else(|| {
        refuse(SelectionField::Runtime, runtime, runtimes.runtimes.iter().map(|known| known.id.as_str()))
    })?;
    validate_version(&found.versions, version)
}

fn validate_version(versions: &[String], version: &str) -> Result<(), NotInCatalog> {
    if is_version(version) && versions.iter().any(|known| known == version) {
        Ok(())
    } else {
        Err(refuse(SelectionField::Version, version, versions.iter().map(String::as_str)))
    }
}

fn refuse<'a>(field: SelectionField, value: &str, allowed: impl ExactSizeIterator<Item = &'a str>) -> NotInCatalog {
    let more = allowed.len().saturating_sub(NAMED);
    let allowed = allowed.take(NAMED).map(str::to_owned).collect();
    NotInCatalog { field, value: value.chars().take(64).collect(), allowed, more }
}

#[cfg(test)]
mod tests {
    use super::super::parse::{parse_games, parse_runtimes};
    use super::*;

    fn games() -> Games {
        let versions: Vec<String> = (0..30).map(|patch| format!("1.20.{patch}")).collect();
        let text = serde_json::json!({"games": [
            {"id": "minecraft", "variants": [
                {"id": "paper", "versions": ["1.21.1"]}, {"id": "vanilla", "versions": versions}]},
            {"id": "rust", "variants": [{"id": "vanilla", "versions": ["latest"]}]}]});
        parse_games(&text.to_string()).unwrap()
    }

    #[test]
    fn the_first_wrong_field_is_named_with_allowed_values() {
        let games = games();
        assert_eq!(validate_game(&games, "minecraft", "paper", "1.21.1"), Ok(()));
        let text = |game, variant, version| validate_game(&games, game, variant, version).unwrap_err().to_string();
        assert_eq!(text("mincraft", "x", "y"), "game `mincraft` is not in the catalog; allowed: minecraft, rust");
        assert_eq!(text("minecraft", "Paper", "y"), "variant `Paper` is not in the catalog; allowed: paper, vanilla");
        assert_eq!(text("rust", "vanilla", ""), "version `` is not in the catalog; allowed: latest");
        let refusal = validate_game(&games, "minecraft", "vanilla", "1.21.1").unwrap_err();
        assert_eq!((refusal.field, refusal.allowed.len(), refusal.more), (SelectionField::Version, 20, 10));
        assert_eq!(refusal.allowed[0], "1.20.29");
    }

    #[test]
    fn runtimes_have_no_variants() {
        let runtimes = parse_runtimes(r#"{"runtimes":[{"id":"node","versions":["22"]}]}"#).unwrap();
        assert_eq!(validate_runtime(&runtimes, "node", "22"), Ok(()));
        assert_eq!(validate_runtime(&runtimes, "deno", "2").unwrap_err().field, SelectionField::Runtime);
        assert_eq!(validate_runtime(&runtimes, "node", "23").unwrap_err().field, SelectionField::Version);
        let nothing = validate_runtime(&Runtimes::default(), "node", "22").unwrap_err();
        assert_eq!(nothing.to_string(), "runtime `node` is not in the catalog; there are none");
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(validate_game(&games(), &"x".repeat(9000), "", "").unwrap_err().value.len(), 64);
    }
}
