//! Tells cargo that a release carries the browser pages: those that were built after the last release would be missed. A debug
//! build reads them when it runs.

fn main() {
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let watched = match is_release {
        true if std::path::Path::new("web/dist").exists() => "web/dist",
        true => "web",
        false => "build.rs",
    };
    println!("cargo::rerun-if-changed={watched}");
}
