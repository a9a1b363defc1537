//! Files that decide do nothing else: no async, no clock, no I/O. They are known by their names.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use super::sources::{is_for_tests, rust_files};

const PURE_FILES: &[&str] = &["due.rs", "gate.rs", "lifecycle.rs", "plan.rs", "policy.rs", "readiness.rs", "state.rs"];
/// Everything in them is pure, whatever its name.
const PURE_FOLDERS: &[&str] = &["src/edge/", "src/kernel/", "src/placement/"];
/// The simulated world is no feature; a `state.rs` there is something else. The clocks are where clocks are read.
const EXEMPT: &[&str] = &["src/sim/", "src/kernel/boottime.rs", "src/kernel/clock.rs", "src/kernel/mod.rs"];

/// Words that betray a clock, a query or other I/O.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "tokio",
    "redis",
    "reqwest",
    "actix_web",
    "hyper",
    "sqlx",
    "Clock",
    "Utc",
    "Instant",
    "SystemTime",
    "DatabaseConnection",
    "ConnectionTrait",
    "EntityTrait",
    "fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "process",
    "thread",
    "rng",
];

fn is_pure(path: &str) -> bool {
    let named = path.rsplit('/').next().is_some_and(|name| PURE_FILES.contains(&name));
    let exempt = EXEMPT.iter().any(|start| path.starts_with(start));
    (named || PURE_FOLDERS.iter().any(|folder| path.starts_with(folder))) && !exempt
}

fn words(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => words(group.stream(), found),
            TokenTree::Ident(ident) => drop(found.insert(ident.to_string())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The impure words in the production code of a file.
fn impurities(file: &syn::File) -> Vec<&'static str> {
    let mut found = BTreeSet::new();
    file.items.iter().filter(|item| !is_for_tests(item)).for_each(|item| words(item.to_token_stream(), &mut found));
    IMPURE.iter().copied().filter(|word| found.contains(*word)).collect()
}

#[test]
fn files_that_decide_do_nothing_else() {
    let pure: Vec<_> =
        rust_files("src").into_iter().filter(|source| is_pure(&source.path) && !source.is_for_tests()).collect();
    assert!(pure.len() >= 5, "hardly any file is taken for pure");
    let found = pure.iter().map(|source| (&source.path, impurities(&source.parse())));
    let impure: Vec<_> = found.filter(|(_, words)| !words.is_empty()).collect();
    assert!(impure.is_empty(), "pure by name, but not by content: {impure:#?}");
}

#[test]
fn impure_words_are_seen_wherever_they_stand() {
    let words = |text: &str| impurities(&syn::parse_file(text).unwrap());
    assert_eq!(words("async fn f() { g().await }"), ["async", "await"]);
    assert_eq!(words("fn f() { println!(\"{:?}\", std::time::Instant::now()) }"), ["Instant"]);
    assert_eq!(words("/// Without tokio.\nfn f() {}\n#[cfg(test)] mod tests { use tokio::test; }"), [] as [&str; 0]);
}
