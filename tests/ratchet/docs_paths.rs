//! Files and folders that the documentation and the comments name exist, and so do the sections they refer to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::sources::{Source, comments, files, root, rust_files};

const FOLDERS: &[&str] = &["src/", "tests/", "docs/", "migrations/", "benches/", "systemd/", "packaging/", ".ci/"];

/// Words that may stand between a path and the sections it is followed by.
const FILLERS: &[&str] = &["and", "to", "section", "sections", "case", "cases"];

/// Paths a document names: in code spans when they begin with one of our folders, and as targets of relative links.
/// Patterns such as `docs/adr/*.md` or `src/<feature>/mod.rs` name no single file.
fn named_paths(text: &str) -> Vec<(&str, bool)> {
    let concrete = |path: &&str| !path.is_empty() && !path.contains(['<', '*', '{', '…', ' ', '$']);
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let spans = spans.filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder)));
    let spans = spans.map(|span| span.split(':').next().unwrap_or(span)).filter(concrete).map(|span| (span, false));
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links = links.filter(|link| !link.contains("://") && !link.starts_with('#') && !link.starts_with("mailto:"));
    let links = links.filter(|link| link.contains(['.', '/']));
    let links = links.map(|link| link.split('#').next().unwrap_or(link)).filter(concrete).map(|link| (link, true));
    spans.chain(links).collect()
}

/// Pages that `text` names without a code span, as comments do: `docs/testing.md`.
fn bare_pages(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c| !of_a_path(c)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| word.starts_with("docs/") && word.ends_with(".md"))
}

fn of_a_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_')
}

/// The sections that `text` refers to, by the page they are on: `docs/contracts/edge.md A8, case 19` are two. A page that
/// is named as a link is as in the document: relative to it.
fn references(text: &str) -> Vec<(&str, String)> {
    let ends = text.match_indices(".md").map(|(at, found)| at + found.len());
    ends.flat_map(|end| {
        let (before, after) = (&text[..end], &text[end..]);
        let page = before.rsplit(|c| !of_a_path(c)).next().unwrap_or_default();
        let after = after.strip_prefix(['`', ')']).unwrap_or(after);
        let is_followed = after.starts_with([' ', '\n', ',']);
        let found = if is_followed { sections(after) } else { Vec::new() };
        found.into_iter().map(move |section| (page, section))
    })
    .collect()
}

/// The sections at the beginning of `text`, up to the first word that is none.
fn sections(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut of_cases = false;
    for word in text.split_whitespace() {
        let name = word.trim_end_matches(['.', ',', ';', ':', ')']);
        match name {
            "case" | "cases" => of_cases = true,
            name if FILLERS.contains(&name) => {}
            name if is_section(name) => found.push(if of_cases { format!("case {name}") } else { name.to_owned() }),
            "" => {}
            _ => break,
        }
        if !matches!(&word[name.len()..], "" | ",") {
            break;
        }
    }
    found
}

/// `A`, `A8`, `A8.1`, `2b.8`, `14.3`, `I10`.
fn is_section(word: &str) -> bool {
    let mut parts = word.split('.');
    let first = parts.next().unwrap_or_default();
    let (letter, rest) = match first.chars().next() {
        Some(letter) if letter.is_ascii_uppercase() => (true, &first[1..]),
        _ => (false, first),
    };
    let digits = rest.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let numbered = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) && rest.len() <= digits.len() + 1;
    let first_is_one = if rest.is_empty() { letter } else { numbered };
    first_is_one && parts.all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
}

/// The sections of a page: what its headings begin with, the points below a heading (`2b.8`), and the rows of tables that
/// begin with a number (`6.10`, below a heading with cases also `case 10`) or a label (`I10`).
fn sections_of(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut heading, mut has_cases) = (String::new(), false);
    for line in page.lines() {
        if let Some(title) = line.strip_prefix('#') {
            let title = title.trim_start_matches('#').trim();
            let name = title.split_whitespace().next().unwrap_or_default().trim_end_matches(':');
            if is_section(name) {
                heading = name.to_owned();
                found.insert(heading.clone());
            }
            has_cases = title.contains("Cases") || title.contains("cenarios");
        } else if let Some((number, _)) = line.split_once(". ")
            && number.chars().all(|c| c.is_ascii_digit())
        {
            found.insert(format!("{heading}.{number}"));
        } else if let Some(cell) = line.strip_prefix("| ").and_then(|row| row.split(" |").next())
            && is_section(cell.trim())
        {
            let name = cell.trim();
            if name.starts_with(|c: char| c.is_ascii_digit()) {
                found.insert(format!("{heading}.{name}"));
                found.extend(has_cases.then(|| format!("case {name}")));
            } else {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let mut documents = files("docs");
    documents.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents
}

fn sources() -> Vec<Source> {
    ["src", "tests", "migrations", "benches"].into_iter().flat_map(rust_files).collect()
}

/// What `text` names that does not exist; links are relative to `folder`.
fn missing(text: &str, folder: &Path) -> Vec<String> {
    let place = |path: &str| {
        let beside = folder.join(path);
        if path.starts_with("docs/") || !beside.exists() { root().join(path) } else { beside }
    };
    let paths = named_paths(text);
    let pages = bare_pages(text).map(|page| (page, false));
    let gone = paths.into_iter().chain(pages).filter(|(path, is_link)| {
        let base = if *is_link { folder } else { root() };
        !base.join(path).exists()
    });
    let gone = gone.map(|(path, _)| path.to_owned());
    let unknown = references(text).into_iter().filter_map(|(page, section)| {
        let known = sections_of(&std::fs::read_to_string(place(page)).ok()?);
        (!known.contains(&section)).then(|| format!("{page} {section}"))
    });
    gone.chain(unknown).collect()
}

#[test]
fn what_the_documentation_names_exists() {
    let documents = documents();
    let broken: Vec<String> = documents
        .iter()
        .flat_map(|document| {
            let text = std::fs::read_to_string(document).unwrap();
            let name = document.strip_prefix(root()).unwrap().display().to_string();
            let missing = missing(&text, document.parent().unwrap_or(root()));
            missing.into_iter().map(move |path| format!("{name} names {path}"))
        })
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn what_comments_name_exists() {
    let sources = sources();
    let mut referring = 0;
    let broken: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            let text = comments(&source.text);
            referring += usize::from(!references(&text).is_empty());
            let missing = missing(&text, root());
            missing.into_iter().map(|path| format!("{} names {path}", source.path))
        })
        .collect();
    assert!(referring > 40, "hardly any comment refers to a contract: {referring}");
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn invariants_that_comments_name_are_written_down() {
    let known = sections_of(&std::fs::read_to_string(root().join("docs/invariants.md")).unwrap());
    let named = sources().into_iter().flat_map(|source| {
        let text = comments(&source.text);
        let names: Vec<String> = text.split("invariant ").skip(1).flat_map(sections).collect();
        names.into_iter().map(move |name| (source.path.clone(), name))
    });
    let unknown: Vec<_> = named.filter(|(_, name)| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn paths_are_found_in_code_spans_and_links() {
    let text = "See `src/main.rs`, `src/db/mod.rs::connect`, `docs/*.md`, `make dev` and [this](adr/0001.md#why), not [that](https://a/b).";
    let expected = [("src/main.rs", false), ("src/db/mod.rs", false), ("adr/0001.md", true)];
    assert_eq!(named_paths(text), expected);
    assert_eq!(
        bare_pages("as in docs/a.md, (docs/b/c.md 2) and docs/.").collect::<Vec<_>>(),
        ["docs/a.md", "docs/b/c.md"]
    );
}

#[test]
fn sections_are_found_behind_a_page() {
    let found = |text| references(text).into_iter().map(|(_, section)| section).collect::<Vec<_>>();
    assert_eq!(found("by the rules of docs/a.md A8, case 19): what"), ["A8", "case 19"]);
    assert_eq!(found("docs/a.md 5.4 and 14.3), and 7 others"), ["5.4", "14.3"]);
    assert_eq!(found("docs/a.md A1 to A7, over sockets"), ["A1", "A7"]);
    assert_eq!(found("`docs/a.md` C. Peer 7"), ["C"]);
    assert_eq!(found("docs/a.md 2b.8,\npoison; docs/b.md. A dot"), ["2b.8"]);
    assert_eq!(found("docs/a.md: I10"), [""; 0]);
}

#[test]
fn sections_of_a_page_are_headings_points_and_rows() {
    let page = "# Page\n## A Zones\n### A8 Compare\n1. names\n## 2b Steps\n8. sweep\n## H Cases\n| case | x |\n| 19 | y |\n| I10 | z |\n";
    let expected = ["2b", "2b.8", "A", "A8", "A8.1", "H", "H.19", "I10", "case 19"];
    assert_eq!(sections_of(page).into_iter().collect::<Vec<_>>(), expected);
}
