//! A release of `CHANGELOG.md` has each heading once, so that a reader finds all of it in one place.

use std::collections::BTreeSet;

use super::sources::root;

#[test]
fn a_release_has_each_heading_once() {
    let text = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let releases: Vec<&str> = text.split("\n## ").skip(1).collect();
    assert!(!releases.is_empty());
    for release in releases {
        let mut seen = BTreeSet::new();
        let headings = release.lines().filter(|line| line.starts_with("### "));
        let again: Vec<&str> = headings.filter(|heading| !seen.insert(*heading)).collect();
        assert!(again.is_empty() && !seen.is_empty(), "{}: {again:?}", release.lines().next().unwrap_or_default());
    }
}
