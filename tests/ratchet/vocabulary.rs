//! The words of `docs/vocabulary.md`: those that it rejects are written nowhere.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use syn::visit::Visit;

use super::sources::{comments, files, is_for_tests, root, rust_files};

/// The page that lists the words; it may name those it rejects.
const PAGE: &str = "docs/vocabulary.md";

/// Documents that are searched: files, or folders with a final slash. The list only grows.
const DOCUMENTS: &[&str] = &["CHANGELOG.md", "CONTRIBUTING.md", "README.md", "docs/"];

/// Folders of Rust files whose texts (the literals, such as messages and log lines) are searched.
const TEXTS: &[&str] = &["benches/", "src/"];

/// Folders of Rust files whose comments are searched.
const COMMENTS: &[&str] = &["benches/", "src/", "tests/"];

/// A word or phrase that is not written, and what is written instead.
#[derive(Debug, PartialEq, Eq)]
struct Rejected {
    phrase: String,
    instead: String,
}

/// The code spans in the last column of the tables of the page, by the first cell of their rows.
fn rejected(page: &str) -> Vec<Rejected> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (instead, last) = (cells.first().copied().unwrap_or_default(), cells.last().copied().unwrap_or_default());
        let spans = last.split('`').skip(1).step_by(2);
        spans.map(|phrase| Rejected { phrase: phrase.to_lowercase(), instead: instead.to_owned() }).collect::<Vec<_>>()
    })
    .collect()
}

/// Letters in lower case, one space between words, and no code spans: the names in them are those of the code.
fn plain(text: &str) -> String {
    let prose = text.lines().flat_map(|line| line.split('`').step_by(2));
    prose.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether `phrase` stands in `text` as words of their own: not inside a longer word, a name with `_` or a path.
fn contains(text: &str, phrase: &str) -> bool {
    let of_a_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/');
    text.match_indices(phrase).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(of_a_word) && !after.is_some_and(of_a_word)
    })
}

/// The texts of a Rust file: its literals of several words, those in macros and attributes too, but no comments and no
/// tests. A literal of one word is a name, such as the label of a metric.
fn literals(text: &str) -> Vec<String> {
    let file = syn::parse_file(text).unwrap();
    let mut found = Literals(Vec::new());
    found.visit_file(&file);
    found.0.retain(|text| text.trim().contains(' '));
    found.0
}

struct Literals(Vec<String>);

impl<'ast> Visit<'ast> for Literals {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // `#[error("...")]` and `#[command(about = "...")]` are read, comments are not.
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&syn::Item::Mod(module.clone())) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.0.push(literal.value());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

fn is_comment(group: &proc_macro2::Group) -> bool {
    matches!(group.stream().into_iter().next(), Some(proc_macro2::TokenTree::Ident(name)) if name == "doc")
}

impl Literals {
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        for token in tokens {
            match token {
                // A comment inside a macro is an attribute of this name.
                proc_macro2::TokenTree::Group(group) if is_comment(&group) => {}
                proc_macro2::TokenTree::Group(group) => self.tokens(group.stream()),
                proc_macro2::TokenTree::Literal(literal) => {
                    if let Ok(syn::Lit::Str(text)) = syn::parse_str(&literal.to_string()) {
                        self.0.push(text.value());
                    }
                }
                proc_macro2::TokenTree::Ident(_) | proc_macro2::TokenTree::Punct(_) => {}
            }
        }
    }
}

/// The files at `places` with the extension `end`, each with its path.
fn read(places: &[&str], end: &str) -> Vec<(String, String)> {
    let all = places.iter().flat_map(|place| {
        let found = if place.ends_with('/') { files(place) } else { vec![root().join(place)] };
        let found: Vec<_> = found.into_iter().filter(|path| path.extension().is_some_and(|is| is == end)).collect();
        assert!(!found.is_empty(), "nothing to search at {place}");
        found
    });
    let named = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    all.map(|path| (named(&path), std::fs::read_to_string(&path).unwrap())).filter(|(path, _)| path != PAGE).collect()
}

/// Every text of a JSON document, keys aside.
fn texts_of(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| texts_of(one, found)),
        Value::Object(fields) => fields.values().for_each(|one| texts_of(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Fails with every rejected word in `texts`.
fn assert_plain(texts: &[(String, String)]) {
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let rejected = rejected(&page);
    assert!(rejected.len() > 40, "hardly any word is rejected: {}", rejected.len());
    let found: BTreeSet<String> = texts
        .iter()
        .flat_map(|(place, text)| {
            let text = plain(text);
            let here = rejected.iter().filter(move |word| contains(&text, &word.phrase));
            here.map(move |word| format!("{place}: `{}`, see `{}`", word.phrase, word.instead))
        })
        .collect();
    assert!(
        found.is_empty(),
        "{PAGE} says what to write instead:\n{}",
        found.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn documents_use_the_words_of_the_vocabulary() {
    assert_plain(&read(DOCUMENTS, "md"));
}

#[test]
fn the_openapi_document_uses_the_words_of_the_vocabulary() {
    let document = std::fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    let mut texts = Vec::new();
    texts_of(&serde_json::from_str(&document).unwrap(), &mut texts);
    assert_plain(&texts.into_iter().map(|text| ("docs/openapi.json".to_owned(), text)).collect::<Vec<_>>());
}

#[test]
fn texts_use_the_words_of_the_vocabulary() {
    let sources = read(TEXTS, "rs");
    let texts = sources.into_iter().flat_map(|(path, text)| {
        literals(&text).into_iter().map(move |literal| (path.clone(), literal)).collect::<Vec<_>>()
    });
    assert_plain(&texts.collect::<Vec<_>>());
}

#[test]
fn comments_use_the_words_of_the_vocabulary() {
    let sources = read(COMMENTS, "rs").into_iter();
    assert_plain(&sources.map(|(path, text)| (path, comments(&text))).collect::<Vec<_>>());
}

#[test]
fn types_of_the_vocabulary_exist() {
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let sources = rust_files("src");
    let declared = |name: &str| {
        let says = ["struct ", "enum ", "trait ", "type "].map(|kind| format!("{kind}{name}"));
        let whole = |text: &str, at: usize| !text[at..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        sources.iter().any(|source| {
            says.iter()
                .any(|is| source.text.match_indices(is.as_str()).any(|(at, _)| whole(&source.text, at + is.len())))
        })
    };
    let rows = page.lines().filter(|line| line.starts_with('|') && line.matches('|').count() == 5);
    let third = rows.filter_map(|row| row.split('|').nth(3));
    let names = third.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let types: Vec<&str> = names
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(char::is_alphanumeric))
        .collect();
    assert!(types.len() > 40, "hardly any type is named: {}", types.len());
    let unknown: Vec<_> = types.into_iter().filter(|name| !declared(name)).collect();
    assert!(unknown.is_empty(), "{PAGE} names types that do not exist: {unknown:?}");
}

#[test]
fn phrases_are_found_as_whole_words() {
    let page = "| term | do not write |\n|---|---|\n| debt | `owed`, rest |\n| again | `by itself` |\n";
    let words = rejected(page);
    assert_eq!(words.iter().map(|word| word.phrase.as_str()).collect::<Vec<_>>(), ["owed", "by itself"]);
    assert!(contains(&plain("It is Owed."), "owed") && contains(&plain("goes on by\n itself"), "by itself"));
    assert!(!contains("it allowed a by_itself_test", "owed") && !contains("works_by itself", "by itself"));
    assert_eq!(plain("One `Lists::ring`\n  and *Two*"), "one and *two*");
}

#[test]
fn literals_are_those_people_read() {
    let text = "//! is told\n#[error(\"a {b}\")]\nstruct E;\nfn f() { warn!(x = %y, \"c c\"); let d = \"d d\"; let e = \"e\"; }\n\
                text_enum! {\n/// Is told.\npub enum A { B = \"b\" }\n}\n\
                #[cfg(test)]\nmod tests { const T: &str = \"is told\"; }\n";
    assert_eq!(literals(text), ["a {b}", "c c", "d d"]);
}
