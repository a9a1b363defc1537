//! Tests that the documentation names exist.

use super::sources::{files, root, rust_files};

/// `edge::publish::a_test` in a code span: at least two modules and a function of several words.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter(|span| {
        let words = span.rsplit("::").next().unwrap_or_default();
        span.matches("::").count() >= 2
            && words.matches('_').count() >= 3
            && span.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
    })
}

/// Where the module `path` of a test may stand: our own modules below `src`, those of the integration tests below `tests`.
fn candidates(modules: &[&str]) -> Vec<String> {
    let (folder, modules) = match modules {
        ["zpack", rest @ ..] => ("src", rest),
        all => ("tests", all),
    };
    let path = modules.join("/");
    let mut found = vec![format!("{folder}/{path}.rs"), format!("{folder}/{path}/mod.rs")];
    // Tests inside the file they test, or in a file beside it.
    if let Some(outer) = path.strip_suffix("/tests") {
        found.extend(["", "/mod", "_tests"].map(|end| format!("{folder}/{outer}{end}.rs")));
    }
    found
}

#[test]
fn tests_named_in_the_documentation_exist() {
    let sources: Vec<_> = rust_files("src").into_iter().chain(rust_files("tests")).collect();
    let (mut named, mut missing) = (0, Vec::new());
    for document in files("docs").into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(&document).unwrap();
        for test in named_tests(&text) {
            named += 1;
            let parts: Vec<&str> = test.split("::").collect();
            let (function, modules) = parts.split_last().unwrap();
            let places = candidates(modules);
            let says = format!("fn {function}(");
            if !sources.iter().any(|source| places.contains(&source.path) && source.text.contains(&says)) {
                missing.push(format!("{} names {test}", document.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(named > 40, "hardly any test was found: {named}");
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}
