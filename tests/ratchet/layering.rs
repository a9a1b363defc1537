//! A module imports only what its row allows, and the rows have no cycle (docs/architecture.md, "Layers").

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::UseTree;

use super::sources::{Source, is_for_tests, root, rust_files};

/// Layer, modules, what they may import; word for word the table of docs/architecture.md.
const ROWS: &[(&str, &str, &str)] = &[
    ("0", "kernel, telemetry", "-"),
    ("1", "background, config, db, ports, saga", "-"),
    ("1", "jobs, lease, web", "db"),
    ("2", "audit, standing", "db, web"),
    ("2", "accounts", "audit, db, ports, web"),
    ("2", "catalog", "background, db, ports, web"),
    ("2", "servers", "db, ports"),
    ("2", "operations", "accounts, audit, db, jobs, saga, web"),
    ("2", "edge, placement", "ports"),
    ("3", "containers", "jobs, ports, saga"),
    ("3", "observe", "background, db, edge, jobs, ports, servers"),
    ("3", "instances", "accounts, db, edge, observe, operations, ports, servers, web"),
    ("3", "publishing", "accounts, background, db, edge, jobs, operations, ports, saga, servers, web"),
    ("4", "provision", "anything of layers 1 to 3"),
    ("4", "cluster", "accounts, ports, web"),
    ("4", "power", "anything of layers 1 to 3"),
    ("4", "teardown", "anything of layers 1 to 3"),
    ("4", "discovery", "accounts, db, edge, observe, ports, servers, web"),
    ("5", "router", "anything below"),
    ("5", "cli", "db, jobs"),
    ("5", "adapters", "ports"),
    ("5", "sim", "-"),
    ("6", "roles", "everything"),
];

/// Only `roles` may use these, whatever the row says.
const FOR_ROLES_ALONE: &[&str] = &["adapters", "cli", "router", "sim"];

fn words(text: &str) -> BTreeSet<&str> {
    text.split(", ").filter(|word| *word != "-").collect()
}

/// What each module may import.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let below = |layers: std::ops::Range<u32>| -> BTreeSet<&'static str> {
        let rows = ROWS.iter().filter(|(layer, ..)| layers.contains(&layer.parse().unwrap()));
        rows.flat_map(|(_, modules, _)| words(modules)).filter(|module| !FOR_ROLES_ALONE.contains(module)).collect()
    };
    let mut table = BTreeMap::new();
    for (layer, modules, imports) in ROWS {
        for module in words(modules) {
            let mut may = match *imports {
                "anything of layers 1 to 3" => below(1..4),
                "anything below" => below(0..layer.parse().unwrap()),
                "everything" => ROWS.iter().flat_map(|(_, modules, _)| words(modules)).collect(),
                listed => words(listed),
            };
            may.insert("kernel");
            if *layer != "0" {
                may.insert("telemetry");
            }
            may.remove(module);
            assert!(table.insert(module, may).is_none(), "{module} has two rows");
        }
    }
    table
}

/// The module of the crate a file belongs to: `db` for `src/db/mod.rs`, and the depth of its module path.
fn place(path: &str) -> Option<(String, usize)> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut parts: Vec<_> = inner.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    let module = (*parts.first()?).to_owned();
    (module != "lib" && module != "main").then_some((module, parts.len()))
}

/// Names of the crate's modules that `source` mentions by `crate::` or by climbing up to the root.
fn imports(source: &Source, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in source.parse().items.iter().filter(|item| !is_for_tests(item)) {
        if let syn::Item::Use(item) = item {
            collect_use(&item.tree, depth, 0, &mut found);
        } else {
            collect_tokens(item.to_token_stream(), depth, &mut found);
        }
    }
    found
}

/// `climbed` counts the `super` that lead here; `depth` of them lead to the root.
fn collect_use(tree: &UseTree, depth: usize, climbed: usize, found: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) if path.ident == "crate" => collect_use(&path.tree, depth, depth, found),
        UseTree::Path(path) if path.ident == "super" => collect_use(&path.tree, depth, climbed + 1, found),
        UseTree::Path(path) if climbed == depth => drop(found.insert(path.ident.to_string())),
        UseTree::Name(name) if climbed == depth => drop(found.insert(name.ident.to_string())),
        UseTree::Rename(name) if climbed == depth => drop(found.insert(name.ident.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect_use(tree, depth, climbed, found)),
        UseTree::Path(_) | UseTree::Name(_) | UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

/// Paths in code and in the arguments of macros alike: `crate :: name` and `super :: super :: name`.
fn collect_tokens(tokens: TokenStream, depth: usize, found: &mut BTreeSet<String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let word = |index: usize| match tokens.get(index) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    };
    let colon = |index: usize| matches!(tokens.get(index), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            collect_tokens(group.stream(), depth, found);
        }
        let mut next = index;
        let mut climbed = 0;
        while word(next).as_deref() == Some("super") && colon(next + 1) && colon(next + 2) {
            climbed += 1;
            next += 3;
        }
        if word(index).as_deref() == Some("crate") && colon(index + 1) && colon(index + 2) {
            climbed = depth;
            next = index + 3;
        }
        if climbed > 0 && climbed == depth {
            found.extend(word(next));
        }
    }
}

/// Every import between two modules, with a file that has it.
fn edges() -> BTreeMap<(String, String), String> {
    let mut edges = BTreeMap::new();
    for source in rust_files("src").into_iter().filter(|source| !source.is_for_tests()) {
        let Some((module, depth)) = place(&source.path) else { continue };
        for import in imports(&source, depth).into_iter().filter(|import| *import != module) {
            edges.entry((module.clone(), import)).or_insert_with(|| source.path.clone());
        }
    }
    edges
}

#[test]
fn modules_import_only_what_their_row_allows() {
    let allowed = allowed();
    let edges = edges();
    assert!(edges.len() > 20, "the scanner finds hardly any import: {edges:?}");
    let wrong: Vec<_> = edges
        .iter()
        .filter(|((module, import), _)| {
            let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("src/{module} has no row"));
            !may.contains(import.as_str())
        })
        .map(|((module, import), path)| format!("{module} imports {import} ({path})"))
        .collect();
    assert!(wrong.is_empty(), "not allowed by docs/architecture.md:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_allowed_is_used() {
    let edges = edges();
    let listed = ROWS.iter().filter(|(_, _, imports)| !imports.contains("anything") && *imports != "everything");
    let permissions = listed.flat_map(|(_, modules, imports)| {
        words(modules).into_iter().flat_map(|module| words(imports).into_iter().map(move |import| (module, import)))
    });
    let unused: Vec<_> = permissions
        .filter(|(module, import)| !edges.contains_key(&((*module).to_owned(), (*import).to_owned())))
        .collect();
    assert!(unused.is_empty(), "no longer imported, so take it out of the table: {unused:?}");
}

#[test]
fn what_is_allowed_has_no_cycle() {
    let mut rest = allowed();
    while !rest.is_empty() {
        let settled: Vec<_> = rest
            .iter()
            .filter(|(_, imports)| imports.iter().all(|import| !rest.contains_key(import)))
            .map(|(module, _)| *module)
            .collect();
        assert!(!settled.is_empty(), "these import each other: {rest:?}");
        rest.retain(|module, _| !settled.contains(module));
    }
}

#[test]
fn the_table_is_the_one_in_the_documentation() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| layer |")).skip(2);
    let documented: Vec<_> = table.take_while(|line| line.starts_with('|')).collect();
    let ours: Vec<_> =
        ROWS.iter().map(|(layer, modules, imports)| format!("| {layer} | {modules} | {imports} |")).collect();
    assert_eq!(documented, ours);
}

#[test]
fn the_scanner_sees_every_way_to_write_an_import() {
    let text = "
        use crate::{db::now, kernel as k, web};
        use super::super::ports::Agent;
        use super::store;
        use std::fmt;
        fn f() { crate::audit::record(); println!(\"{}\", crate::jobs::NAME); super::super::saga::run(); super::own() }
        mod inner { fn g(_: $crate::catalog::X) {} }
        #[cfg(test)] mod tests { use crate::sim::World; }
    ";
    let source = Source { path: "src/accounts/http.rs".into(), text: text.replace('$', "") };
    let expected = ["audit", "catalog", "db", "jobs", "kernel", "ports", "saga", "web"].map(str::to_owned);
    assert_eq!(imports(&source, 2), BTreeSet::from(expected));
    assert_eq!(place("src/db/migrate/mod.rs"), Some(("db".to_owned(), 2)));
}
