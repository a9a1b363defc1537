//! Finds and reads the files of this repository.

use std::path::{Path, PathBuf};

use syn::{Attribute, Item};

/// A Rust file.
pub struct Source {
    /// Its path from the root of the repository, such as `src/db/mod.rs`.
    pub path: String,
    pub text: String,
}

impl Source {
    /// Whether it is the test module of a neighbour.
    pub fn is_for_tests(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
    }

    pub fn parse(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below `folder`, sorted.
pub fn rust_files(folder: &str) -> Vec<Source> {
    let paths = files(folder).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<_> = paths
        .map(|path| Source {
            text: std::fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(root()).unwrap().display().to_string(),
        })
        .collect();
    assert!(!sources.is_empty(), "{folder} has no Rust files");
    sources
}

/// All files below `folder`, sorted.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// What stands in the comments of a file, without their marks. Comments that are apart stay apart.
pub fn comments(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim_start();
        let comment = ["//! ", "/// ", "// "].iter().find_map(|mark| line.strip_prefix(mark));
        let beside = || line.split_once("; // ").or_else(|| line.split_once(", // ")).map(|(_, comment)| comment);
        comment.or_else(beside).map_or_else(|| "\n".to_owned(), |text| format!("{text}\n"))
    });
    lines.collect()
}

/// Whether the item is compiled for tests only.
pub fn is_for_tests(item: &Item) -> bool {
    let Item::Mod(module) = item else { return false };
    module.attrs.iter().any(is_cfg_test)
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
}
