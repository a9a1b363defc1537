//! Files of one module import each other in one direction, so that they can be read and changed one after the other.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Item, UseTree, Visibility};

use super::sources::{Source, is_for_tests, rust_files};

/// Circles that may stay, and why. The list only gets shorter.
const ALLOWED: &[(&[&str], &str)] = &[
    (&["src/jobs/model/mod.rs", "src/jobs/model/world.rs"], "the model and its world are one thing, in tests only"),
    (&["src/lease/campaign.rs", "src/lease/lead.rs"], "an election and a term need each other"),
    (
        &["src/sim/proxmox/access.rs", "src/sim/proxmox/model.rs"],
        "the model of a cluster has rights as it has containers",
    ),
];

/// The path of a module: `["db", "migrate"]`.
type Place = Vec<String>;

/// What a file contributes to the graph.
struct Module {
    path: String,
    /// What it imports, as absolute paths.
    imports: Vec<Place>,
    /// What it passes on: the name, and where it comes from.
    passes_on: BTreeMap<String, Place>,
}

/// The module of a file: `["db", "migrate"]` for `src/db/migrate/mod.rs`.
fn place(path: &str) -> Option<Place> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut parts: Place = inner.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    (!matches!(parts.first().map(String::as_str), Some("lib" | "main"))).then_some(parts)
}

/// `path` as it is written in the module `here`, from the root of the crate. `None` when it leads out of the crate.
fn absolute(here: &[String], children: &BTreeSet<String>, path: &[String]) -> Option<Place> {
    let supers = path.iter().take_while(|step| *step == "super").count();
    let (base, rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (here.to_vec(), &path[1..]),
        "super" => (here.get(..here.len().checked_sub(supers)?)?.to_vec(), &path[supers..]),
        child if children.contains(child) => (here.to_vec(), path),
        _ => return None,
    };
    Some([base.as_slice(), rest].concat())
}

/// The leaves of a `use`: each path, and the name it is known by here.
fn leaves(tree: &UseTree, before: &[String], found: &mut Vec<(Place, String)>) {
    let then = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &then(&path.ident), found),
        UseTree::Name(name) if name.ident == "self" => {
            found.push((before.to_vec(), before.last().cloned().unwrap_or_default()));
        }
        UseTree::Name(name) => found.push((then(&name.ident), name.ident.to_string())),
        UseTree::Rename(name) => found.push((then(&name.ident), name.rename.to_string())),
        UseTree::Glob(_) => found.push((before.to_vec(), String::new())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, before, found)),
    }
}

/// Paths of two words and more in code and in the arguments of macros alike.
fn paths(tokens: TokenStream, found: &mut Vec<Place>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let word = |index: usize| match tokens.get(index) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    };
    let colons = |index: usize| {
        let colon = |index| matches!(tokens.get(index), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        colon(index) && colon(index + 1)
    };
    for (index, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            paths(group.stream(), found);
        }
        if index >= 2 && colons(index - 2) {
            continue;
        }
        let (mut path, mut next) = (Place::new(), index);
        while let Some(step) = word(next) {
            path.push(step);
            if !colons(next + 1) {
                break;
            }
            next += 3;
        }
        if path.len() > 1 {
            found.push(path);
        }
    }
}

impl Module {
    fn of(source: &Source, here: &[String]) -> Self {
        let items: Vec<Item> = source.parse().items.into_iter().filter(|item| !is_for_tests(item)).collect();
        let declared = items.iter().filter_map(|item| match item {
            Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        });
        let children: BTreeSet<String> = declared.collect();
        let (mut imports, mut passes_on) = (Vec::new(), BTreeMap::new());
        for item in items {
            if let Item::Use(item) = &item {
                let mut found = Vec::new();
                leaves(&item.tree, &[], &mut found);
                for (path, name) in found {
                    let Some(path) = absolute(here, &children, &path) else { continue };
                    if matches!(item.vis, Visibility::Inherited) {
                        imports.push(path);
                    } else {
                        passes_on.insert(name, path);
                    }
                }
            } else {
                let mut found = Vec::new();
                paths(item.to_token_stream(), &mut found);
                imports.extend(found.iter().filter_map(|path| absolute(here, &children, path)));
            }
        }
        Self { path: source.path.clone(), imports, passes_on }
    }
}

/// The module that `path` leads to, through what other modules pass on.
fn target<'m>(modules: &'m BTreeMap<Place, Module>, path: &[String]) -> Option<&'m Place> {
    let mut path = path.to_vec();
    // A name is passed on a few times at most.
    for _ in 0..8 {
        let depth = (1..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
        let (place, module) = modules.get_key_value(&path[..depth])?;
        match path.get(depth).and_then(|name| module.passes_on.get(name)) {
            Some(from) => path = [from.as_slice(), &path[depth + 1..]].concat(),
            None => return Some(place),
        }
    }
    None
}

/// Which file imports which, within each module of the crate.
fn graph(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<Place, Module> = sources
        .iter()
        .filter(|source| !source.is_for_tests())
        .filter_map(|source| {
            let here = place(&source.path)?;
            let module = Module::of(source, &here);
            Some((here, module))
        })
        .collect();
    let mut graph = BTreeMap::new();
    for (here, module) in &modules {
        let targets = module.imports.iter().filter_map(|path| target(&modules, path));
        let near = targets.filter(|there| there.first() == here.first() && *there != here);
        let files: BTreeSet<String> = near.map(|there| modules[there].path.clone()).collect();
        graph.insert(module.path.clone(), files);
    }
    graph
}

/// The groups of files that import each other, in one step or in several.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            open.extend(graph.get(file).into_iter().flatten().filter(|next| seen.insert((*next).clone())));
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|file| (file, reach(file))).collect();
    let circle = |file: &String| reached[file].iter().filter(|other| reached[other].contains(file)).cloned().collect();
    graph.keys().map(circle).filter(|circle: &BTreeSet<String>| !circle.is_empty()).collect()
}

#[test]
fn no_files_of_a_module_import_each_other_in_a_circle() {
    let sources = rust_files("src");
    let graph = graph(&sources);
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(edges > 300, "the scanner finds hardly any import: {edges}");
    let found = circles(&graph);
    let allowed: BTreeSet<BTreeSet<String>> =
        ALLOWED.iter().map(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect()).collect();
    let new: Vec<_> = found.difference(&allowed).collect();
    assert!(new.is_empty(), "these files import each other: {new:#?}");
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(gone.is_empty(), "no circles any more, so take them out of the list: {gone:#?}");
}

#[test]
fn circles_are_found_however_an_import_is_written() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let sources = [
        source("src/a/mod.rs", "mod one; mod two; mod three; pub use one::One; pub(crate) use self::two::Two;"),
        source("src/a/one.rs", "use super::Two; pub struct One(Two);"),
        source("src/a/two.rs", "pub struct Two; fn f() { println!(\"{:?}\", crate::a::three::g()) }"),
        source("src/a/three.rs", "pub fn g() -> Box<super::one::One> { todo() }"),
        source("src/a/four.rs", "use super::One; #[cfg(test)] mod tests { use super::super::five::Five; }"),
        source("src/a/five.rs", "use crate::b; use super::four::{self, Four as F};"),
        source("src/b.rs", "use crate::a::five::Five;"),
    ];
    let one_two_three = ["one", "two", "three"].map(|name| format!("src/a/{name}.rs"));
    assert_eq!(circles(&graph(&sources)), BTreeSet::from([BTreeSet::from(one_two_three)]));
}
