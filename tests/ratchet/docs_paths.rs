//! Files and folders that the documentation names exist.

use std::path::Path;

use super::sources::{files, root};

const FOLDERS: &[&str] = &["src/", "tests/", "docs/", "migrations/", "systemd/", "packaging/", ".ci/"];

/// Paths a document names: in code spans when they begin with one of our folders, and as targets of relative links.
/// Patterns such as `docs/adr/*.md` or `src/<feature>/mod.rs` name no single file.
fn named_paths(text: &str) -> Vec<(&str, bool)> {
    let concrete = |path: &&str| !path.is_empty() && !path.contains(['<', '*', '{', '…', ' ', '$']);
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let spans = spans.filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder)));
    let spans = spans.map(|span| span.split(':').next().unwrap_or(span)).filter(concrete).map(|span| (span, false));
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links = links.filter(|link| !link.contains("://") && !link.starts_with('#') && !link.starts_with("mailto:"));
    let links = links.map(|link| link.split('#').next().unwrap_or(link)).filter(concrete).map(|link| (link, true));
    spans.chain(links).collect()
}

#[test]
fn paths_named_in_the_documentation_exist() {
    let mut documents = files("docs");
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let mut missing = Vec::new();
    for document in documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(document).unwrap();
        for (path, is_link) in named_paths(&text) {
            let base = if is_link { document.parent().unwrap_or(Path::new("")) } else { root() };
            if !base.join(path).exists() {
                missing.push(format!("{} names {path}", document.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn paths_are_found_in_code_spans_and_links() {
    let text = "See `src/main.rs`, `src/db/mod.rs::connect`, `docs/*.md`, `make dev` and [this](adr/0001.md#why), not [that](https://a/b).";
    let expected = [("src/main.rs", false), ("src/db/mod.rs", false), ("adr/0001.md", true)];
    assert_eq!(named_paths(text), expected);
}
