//! Tests that modules import only modules of lower layers, and that each library is used only in its layers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The layers, from top to bottom. Modules of the same layer do not import each other.
const LAYERS: [&[&str]; 7] = [
    &["main"],
    &["app"],
    &["http"],
    &["graphql", "jobs"],
    &["domain"],
    &["storage", "llm", "events"],
    &["entity", "config", "clock", "lifecycle", "metrics", "traces"],
];

/// Modules of lower layers that a module must not import: resolvers import only the domain.
const HIDDEN: [(&str, &[&str]); 1] = [("graphql", &["storage", "llm", "events"])];

/// Libraries, and the modules that may use them.
const LIBRARIES: [(&str, &[&str]); 3] = [
    ("async_graphql", &["main", "app", "http", "graphql"]),
    ("axum", &["main", "app", "http"]),
    ("sea_orm", &["main", "app", "domain", "storage", "entity", "config"]),
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The module of the crate that a file belongs to: the first part of its path below `src/`.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    below.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The source text without line comments, which may contain any path.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules in paths that start with `prefix`: `a` in `prefix::a::…`, and `a` and `b` in `prefix::{a, b::c}`.
fn modules_named(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = code[at + prefix.len()..].trim_start();
        let Some(group) = rest.strip_prefix('{') else {
            named.extend(head(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (place, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' | ',' if depth == 0 => {
                    named.extend(head(group[start..place].trim_start()));
                    start = place + 1;
                    if letter == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    named
}

/// The first segment of a path.
fn head(path: &str) -> Option<String> {
    let head: String = path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!head.is_empty()).then_some(head)
}

#[test]
fn imports_point_downwards() {
    let mut violations = Vec::new();
    for path in sources() {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let layer = layer_of(&module).unwrap_or_else(|| panic!("{module} is in no layer"));
        let code = code(&path);
        let own = if module == "main" { "duologue::" } else { "crate::" };
        for named in modules_named(&code, own) {
            let is_lower = match layer_of(&named) {
                Some(other) => other > layer || named == module,
                // Macros and items of lib.rs itself.
                None => true,
            };
            // `config` may import the other modules of its layer, but they do not import `config`.
            let is_same_layer = layer_of(&named) == Some(layer) && module == "config";
            if !(is_lower || is_same_layer || module == "main") {
                violations.push(format!("{}: {own}{named}", path.display()));
            }
        }
    }
    assert!(
        violations.is_empty(),
        "these paths import a module of a higher layer or of the same layer:\n{}",
        violations.join("\n")
    );
}

#[test]
fn resolvers_import_only_the_domain() {
    let mut violations = Vec::new();
    for path in sources() {
        let (module, code) = (module_of(&path), code(&path));
        for (_, hidden) in HIDDEN.into_iter().filter(|(name, _)| *name == module) {
            let named = modules_named(&code, "crate::");
            violations.extend(
                hidden.iter().filter(|name| named.contains(**name)).map(|name| format!("{}: {name}", path.display())),
            );
        }
    }
    assert!(violations.is_empty(), "these paths bypass the domain:\n{}", violations.join("\n"));
}

#[test]
fn libraries_are_used_only_in_their_layers() {
    let mut violations = Vec::new();
    for path in sources() {
        let (module, code) = (module_of(&path), code(&path));
        for (library, allowed) in LIBRARIES {
            let is_named = !modules_named(&code, &format!("{library}::")).is_empty();
            if is_named && !allowed.contains(&module.as_str()) {
                violations.push(format!("{}: {library}", path.display()));
            }
        }
    }
    assert!(violations.is_empty(), "these files use a library of another layer:\n{}", violations.join("\n"));
}

#[test]
fn the_scan_finds_every_form_of_a_path() {
    let code = "use crate::domain::{Error, Result};\nuse crate::{app, http::{router, serve}, entity::ids};\n\
                pub(in crate::storage) fn f(_: &crate::graphql::User) {}\nmycrate::no();\nuse crate::{\n    llm,\n    config::{self},\n};";
    let named: Vec<String> = modules_named(code, "crate::").into_iter().collect();
    assert_eq!(named, ["app", "config", "domain", "entity", "graphql", "http", "llm", "storage"]);
    assert_eq!(modules_named("use sea_orm::{DbErr}; x::async_graphql_axum::y", "sea_orm::").len(), 1);
    assert!(layer_of("http") < layer_of("graphql") && layer_of("domain") < layer_of("storage"));
}
