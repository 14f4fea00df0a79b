//! The floors of the house: an import only ever points down, and each library stays on its floor.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The floors from the top; those of one row do not know each other, `graphql` apart: its types know each other in circles.
const FLOORS: [&[&str]; 7] = [
    &["main"],
    &["app"],
    &["http"],
    &["graphql", "jobs"],
    &["domain"],
    &["storage", "llm", "events"],
    &["entity", "config", "clock", "lifecycle"],
];

/// Modules that a module may not name although they are on a lower floor: resolvers see only the domain.
const HIDDEN: [(&str, &[&str]); 1] = [("graphql", &["storage", "llm"])];

/// Libraries, and the modules that may name them.
const LIBRARIES: [(&str, &[&str]); 3] = [
    ("async_graphql", &["main", "app", "http", "graphql"]),
    ("axum", &["main", "app", "http"]),
    ("sea_orm", &["main", "app", "domain", "storage", "entity", "config"]),
];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
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

/// The text without line comments, in which paths point wherever they like.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules that paths after `prefix` name: `prefix::a::…`, and each head of `prefix::{a, b::c}`.
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

fn head(path: &str) -> Option<String> {
    let head: String = path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!head.is_empty()).then_some(head)
}

#[test]
fn every_path_points_down() {
    let mut wrong = Vec::new();
    for path in sources() {
        let module = module_of(&path);
        if module == "lib" {
            continue;
        }
        let floor = floor_of(&module).unwrap_or_else(|| panic!("{module} is on no floor"));
        let code = code(&path);
        let own = if module == "main" { "duologue::" } else { "crate::" };
        for named in modules_named(&code, own) {
            let points_down = match floor_of(&named) {
                Some(other) => other > floor || named == module,
                // Macros and what stands in lib.rs itself.
                None => true,
            };
            // `config` knows the plain data beside it; nothing beside it knows `config`.
            let beside = floor_of(&named) == Some(floor) && module == "config";
            if !(points_down || beside || module == "main") {
                wrong.push(format!("{}: {own}{named}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these paths point up, or beside:\n{}", wrong.join("\n"));
}

#[test]
fn resolvers_see_only_the_domain() {
    let mut wrong = Vec::new();
    for path in sources() {
        let (module, code) = (module_of(&path), code(&path));
        for (_, hidden) in HIDDEN.into_iter().filter(|(name, _)| *name == module) {
            let named = modules_named(&code, "crate::");
            wrong.extend(
                hidden.iter().filter(|name| named.contains(**name)).map(|name| format!("{}: {name}", path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "these paths bypass the domain:\n{}", wrong.join("\n"));
}

#[test]
fn each_library_stays_on_its_floor() {
    let mut wrong = Vec::new();
    for path in sources() {
        let (module, code) = (module_of(&path), code(&path));
        for (library, allowed) in LIBRARIES {
            let is_named = !modules_named(&code, &format!("{library}::")).is_empty();
            if is_named && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{}: {library}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these files name a library of another floor:\n{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_every_form_of_a_path() {
    let code = "use crate::domain::{Error, Result};\nuse crate::{app, http::{router, serve}, entity::ids};\n\
                pub(in crate::storage) fn f(_: &crate::graphql::User) {}\nmycrate::no();\nuse crate::{\n    llm,\n    config::{self},\n};";
    let named: Vec<String> = modules_named(code, "crate::").into_iter().collect();
    assert_eq!(named, ["app", "config", "domain", "entity", "graphql", "http", "llm", "storage"]);
    assert_eq!(modules_named("use sea_orm::{DbErr}; x::async_graphql_axum::y", "sea_orm::").len(), 1);
    assert!(floor_of("http") < floor_of("graphql") && floor_of("domain") < floor_of("storage"));
}
