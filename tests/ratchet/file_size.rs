//! Files stay small enough to be read in one go, and each begins by saying what it is.

use super::sources::{Source, rust_files};

const MAX_LINES: usize = 500;

/// Lines before the first module of tests.
fn production_lines(source: &Source) -> usize {
    source.text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[test]
fn no_file_has_more_than_500_lines_without_its_tests() {
    let sources = rust_files("src").into_iter().chain(rust_files("migrations"));
    let long: Vec<_> = sources
        .filter(|source| !source.is_for_tests())
        .map(|source| (production_lines(&source), source.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "split these by topic: {long:#?}");
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let sources = ["src", "migrations", "tests"].into_iter().flat_map(rust_files);
    let silent: Vec<_> = sources
        .filter(|source| !source.is_for_tests() && !source.text.trim_start().starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "begin these with a `//!` sentence: {silent:#?}");
}
