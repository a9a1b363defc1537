//! Rules that are tests: what a review would otherwise have to look for every time.

mod alerts;
mod changelog;
mod circles;
mod connection;
mod declared;
mod dependencies;
mod docs_paths;
mod env_example;
mod file_size;
mod layering;
mod metrics;
mod named_tests;
mod openapi;
mod purity;
mod sources;
mod status_codes;
mod tables;
mod vocabulary;

/// Compares a file of the repository with the text the code makes; writes it when `UPDATE_EXPECTED` is set.
fn compare(path: &str, expected: &str) {
    let full = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&full, expected).unwrap();
    }
    let actual = std::fs::read_to_string(&full).unwrap_or_default();
    assert!(actual == expected, "{path} is out of date: run `UPDATE_EXPECTED=1 cargo test ratchet` and commit it");
}
