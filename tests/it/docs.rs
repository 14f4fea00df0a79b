//! The documentation refers only to files and headings that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown pages of the repository. Folders with installed packages and build results are not searched.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "deploy", "examples", "examples/react-apollo", "examples/react-urql", "web"];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(root().join(folder)).ok()).flatten();
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    assert!(pages.len() >= 10, "{pages:?}");
    pages.sort();
    pages
}

/// The text without code blocks.
fn prose(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The anchors of a page, as GitHub derives them from its headings: lower case, without punctuation, `-` for spaces.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = prose(path);
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The targets of the links in a text.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = prose(&page);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = file.split_whitespace().collect::<String>();
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(&file) };
            if !target.exists() || (!anchor.is_empty() && !anchors(&target).contains(anchor)) {
                broken.push(format!("{}: {link}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

#[test]
fn files_named_in_the_documentation_exist() {
    let mut missing = Vec::new();
    for page in pages() {
        let text = prose(&page);
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "docs/", "migration/", "bench/", "web/", "examples/", "deploy/"]
                .iter()
                .any(|folder| name.starts_with(folder) && !name.contains(['*', '…', '{', '<', ' ', ':']));
            // Pages of `web` and `examples` name files by their paths in their own folder, or in each example.
            let folder = page.parent().unwrap();
            let places: [PathBuf; 4] =
                [root().into(), folder.into(), folder.join("react-apollo"), folder.join("react-urql")];
            let is_built = name.starts_with("web/dist");
            if is_path && !is_built && !places.iter().any(|place| place.join(name).exists()) {
                missing.push(format!("{}: {name}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(missing.is_empty(), "files that do not exist: {missing:#?}");
}
