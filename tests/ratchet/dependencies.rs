//! The licences and bans of deny.toml, checked without a network and without `cargo deny`; and who uses what.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use serde_json::Value;
use syn::{Item, UseTree};

use super::sources::{is_for_tests, root, rust_files};

/// Dependencies that nothing uses, and why they stay.
const UNUSED: &[(&str, &str)] = &[("hmac", "part 8 checks the signatures of Stripe's webhooks with it")];

/// Dependencies that only the simulated peers use: what a crate of their own would take out of the product.
const ONLY_FOR_SIM: &[&str] = &["hickory-proto", "http-body-util", "regex", "serde_path_to_error", "tokio-rustls"];

/// Name and licence of every crate that is built for the platform of this machine.
fn packages() -> Vec<(String, String)> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let built: BTreeSet<_> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let packages = packages.filter(|package| built.contains(package["id"].as_str().unwrap()));
    let text = |package: &Value, field: &str| package[field].as_str().unwrap_or_default().to_owned();
    packages.map(|package| (text(package, "name"), text(package, "license"))).collect()
}

fn rules() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

/// Whether an SPDX expression (with the old `/` for `OR`) can be met with the licences of `allowed`.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<_> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(&tokens, &mut at, allowed);
    met && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let mut met = all_of(tokens, at, allowed);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(tokens, at, allowed);
    }
    met
}

fn all_of(tokens: &[&str], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(tokens, at, allowed);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at, allowed);
    }
    met
}

fn one(tokens: &[&str], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if *token == "(" {
        let met = any_of(tokens, at, allowed);
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    if tokens.get(*at) == Some(&"WITH") {
        let exception = tokens.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return allowed.contains(format!("{token} WITH {exception}").as_str());
    }
    allowed.contains(token)
}

#[test]
fn every_dependency_has_a_licence_we_accept_and_none_is_banned() {
    let rules = rules();
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    let allowed: BTreeSet<_> = allowed.iter().map(|licence| licence.as_str().unwrap()).collect();
    let banned = rules["bans"]["deny"].as_array().unwrap();
    let banned: BTreeSet<_> = banned.iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    assert!(["openssl", "openssl-sys", "native-tls"].iter().all(|name| banned.contains(name)));

    let packages = packages();
    assert!(packages.len() > 100, "hardly any dependency was found");
    let refused: Vec<_> = packages.iter().filter(|(_, licence)| !is_met(licence, &allowed)).collect();
    assert!(refused.is_empty(), "licences deny.toml does not allow: {refused:#?}");
    let present: Vec<_> = packages.iter().filter(|(name, _)| banned.contains(name.as_str())).collect();
    assert!(present.is_empty(), "crates deny.toml bans: {present:#?}");
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0 WITH LLVM-exception", "Zlib"]);
    for met in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "Apache-2.0 WITH LLVM-exception", "(MIT OR GPL-3.0) AND Zlib"] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "(MIT", "MIT AND (GPL-3.0 OR BSD-3-Clause)"] {
        assert!(!is_met(unmet, &allowed), "{unmet}");
    }
}

/// The crates that an item names: at the beginning of a path in code, in a macro or in a `use`.
fn crates(item: &Item, found: &mut BTreeSet<String>) {
    if let Item::Use(item) = item {
        first_of(&item.tree, found);
    } else {
        of_tokens(item.to_token_stream(), found);
    }
}

fn first_of(tree: &UseTree, found: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => drop(found.insert(path.ident.to_string())),
        UseTree::Name(name) => drop(found.insert(name.ident.to_string())),
        UseTree::Rename(name) => drop(found.insert(name.ident.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| first_of(tree, found)),
        UseTree::Glob(_) => {}
    }
}

fn of_tokens(tokens: TokenStream, found: &mut BTreeSet<String>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let colon = |index: usize| matches!(tokens.get(index), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    let inside = |index: usize| index >= 2 && colon(index - 1) && colon(index - 2);
    let begins = |index: usize| colon(index + 1) && colon(index + 2) && !inside(index);
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => of_tokens(group.stream(), found),
            TokenTree::Ident(word) if begins(index) => drop(found.insert(word.to_string())),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The modules of the product that use each dependency. `main` stands for the two roots.
fn users() -> BTreeMap<String, BTreeSet<String>> {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let names = manifest["dependencies"].as_table().unwrap().keys();
    let mut users: BTreeMap<String, BTreeSet<String>> = names.map(|name| (name.clone(), BTreeSet::new())).collect();
    for source in rust_files("src").into_iter().filter(|source| !source.is_for_tests()) {
        let module = source.path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        let mut found = BTreeSet::new();
        source.parse().items.iter().filter(|item| !is_for_tests(item)).for_each(|item| crates(item, &mut found));
        for (name, modules) in &mut users {
            if found.contains(&name.replace('-', "_")) {
                modules.insert(module.clone());
            }
        }
    }
    users
}

#[test]
fn every_dependency_is_used_or_waits_for_a_reason() {
    let users = users();
    assert!(users.len() > 30 && users["tokio"].len() > 5, "{users:?}");
    let unused: Vec<&str> =
        users.iter().filter(|(_, modules)| modules.is_empty()).map(|(name, _)| name.as_str()).collect();
    let excused: Vec<&str> = UNUSED.iter().map(|(name, _)| *name).collect();
    assert_eq!(unused, excused, "take it out of Cargo.toml, or out of the list when it is used");
    let of_sim = |modules: &BTreeSet<String>| modules.len() == 1 && modules.contains("sim");
    let only: Vec<&str> = users.iter().filter(|(_, modules)| of_sim(modules)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(only, ONLY_FOR_SIM, "used by the simulated peers alone");
}

#[test]
fn crates_are_found_however_they_are_named() {
    let text = "
        use {anyhow::Context, std::fmt};
        use hex;
        #[derive(thiserror::Error)] struct A;
        fn f() -> bytes::Bytes { tracing::info!(\"{}\", serde_json::json!({})); crate::url::f() }
    ";
    let mut found = BTreeSet::new();
    syn::parse_file(text).unwrap().items.iter().for_each(|item| crates(item, &mut found));
    for name in ["anyhow", "bytes", "hex", "serde_json", "thiserror", "tracing"] {
        assert!(found.contains(name), "{name}: {found:?}");
    }
    assert!(!found.contains("url"), "a module of ours: {found:?}");
}
