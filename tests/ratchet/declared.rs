//! Every file is part of the program or of its tests: one that no `mod` line names is never compiled.

use std::path::Path;

use super::sources::{Source, rust_files};

/// The files that may declare the module at `path`, and its name.
fn declarers(path: &str) -> Option<(Vec<String>, String)> {
    let path = Path::new(path);
    let stem = path.file_stem()?.to_str()?;
    let folder = path.parent()?;
    let (name, home) = if stem == "mod" { (folder.file_name()?.to_str()?, folder.parent()?) } else { (stem, folder) };
    let beside = home.with_extension("rs");
    let neighbour = stem.strip_suffix("_tests").map(|tested| home.join(tested).with_extension("rs"));
    let inside = ["mod.rs", "lib.rs", "main.rs", "it.rs"].map(|file| home.join(file));
    let all = inside.into_iter().chain([beside]).chain(neighbour).map(|file| file.display().to_string());
    Some((all.collect(), name.to_owned()))
}

fn declares(source: &Source, name: &str) -> bool {
    let (by_name, by_path) = (format!("mod {name};"), format!("#[path = \"{name}.rs\"]"));
    source.text.lines().any(|line| line.ends_with(&by_name) || line.ends_with(&by_path))
}

#[test]
fn no_file_is_forgotten() {
    const ROOTS: [&str; 4] = ["src/lib.rs", "src/main.rs", "tests/it.rs", "migrations/mod.rs"];
    let sources: Vec<_> = ["src", "migrations", "tests"].into_iter().flat_map(rust_files).collect();
    let forgotten: Vec<_> = sources
        .iter()
        .filter(|source| !ROOTS.contains(&source.path.as_str()))
        .filter(|source| {
            let (homes, name) = declarers(&source.path).expect("a path below a root");
            !sources.iter().any(|home| homes.contains(&home.path) && declares(home, &name))
        })
        .map(|source| &source.path)
        .collect();
    assert!(forgotten.is_empty(), "no `mod` line names these: {forgotten:#?}");
}
