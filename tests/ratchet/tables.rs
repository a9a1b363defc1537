//! A table that has a room is queried there and nowhere else. Other modules may name the types of a row, not its columns.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use super::sources::{Source, is_for_tests, rust_files};

/// Entities and the module that has all queries of their tables.
const ROOMS: &[(&str, &str)] = &[("instance", "servers"), ("reservation", "servers"), ("port", "servers")];

/// The parts of an entity that a query is made of.
const PARTS: &[&str] = &["ActiveModel", "Column", "Entity"];

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_path(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(one), TokenTree::Punct(other), ..] if one.as_char() == ':' && other.as_char() == ':')
}

/// What of `entity` the code names that only its room may: `instance::Column`, also out of a list of imports, and
/// other names for it.
fn queried(tokens: TokenStream, entity: &str, found: &mut Vec<String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            queried(group.stream(), entity, found);
        }
        if word(Some(token)).as_deref() != Some(entity) {
            continue;
        }
        let rest = tokens.get(index + 1..).unwrap_or_default();
        let words: Vec<String> = match rest {
            [next, ..] if word(Some(next)).as_deref() == Some("as") => vec!["another name".to_owned()],
            [_, _, next, ..] if is_path(rest) => match next {
                TokenTree::Ident(ident) => vec![ident.to_string()],
                TokenTree::Group(group) => group.stream().into_iter().filter_map(|token| word(Some(&token))).collect(),
                TokenTree::Punct(_) | TokenTree::Literal(_) => vec!["*".to_owned()],
            },
            _ => continue,
        };
        let wrong = words.into_iter().filter(|word| PARTS.contains(&word.as_str()) || !is_name(word));
        found.extend(wrong.map(|word| format!("{entity}::{word}")));
    }
}

fn is_name(word: &str) -> bool {
    word.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

fn of_file(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for item in source.parse().items.iter().filter(|item| !is_for_tests(item)) {
        for (entity, _) in ROOMS.iter().filter(|(_, room)| !source.path.starts_with(&format!("src/{room}/"))) {
            queried(item.to_token_stream(), entity, &mut found);
        }
    }
    found
}

#[test]
fn a_table_is_queried_in_its_room_alone() {
    let outside = |source: &Source| !source.is_for_tests() && !source.path.starts_with("src/db/");
    let wrong: Vec<_> = rust_files("src")
        .into_iter()
        .filter(outside)
        .flat_map(|source| of_file(&source).into_iter().map(move |what| format!("{}: {what}", source.path)))
        .collect();
    assert!(wrong.is_empty(), "these belong into a store of the table's room:\n{}", wrong.join("\n"));
}

#[test]
fn the_scanner_sees_every_way_to_query() {
    let text = "
        use crate::db::entities::instance::{self, Column, InstanceKind};
        use crate::db::entities::{instance as i, port::Entity};
        use crate::db::entities::reservation::*;
        fn f(row: &instance::Model, kind: instance::InstanceKind, port: u16) {
            g(instance::Entity::find().filter(instance::Column::Vmid.eq(1)));
            deleted_instance::Entity::find();
        }
        #[cfg(test)] mod tests { fn g() { instance::Entity::find(); } }
    ";
    let seen = |path: &str| of_file(&Source { path: path.into(), text: text.into() });
    let expected = [
        "instance::Column",
        "instance::another name",
        "port::Entity",
        "reservation::*",
        "instance::Entity",
        "instance::Column",
    ];
    assert_eq!(seen("src/teardown/steps.rs"), expected);
    assert_eq!(seen("src/servers/store/find.rs"), [""; 0]);
}
