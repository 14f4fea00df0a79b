//! Rebuilds a release when the browser pages change, because the binary embeds them. A debug build reads them at run
//! time.

fn main() {
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let watched = match is_release {
        true if std::path::Path::new("web/dist").exists() => "web/dist",
        true => "web",
        false => "build.rs",
    };
    println!("cargo::rerun-if-changed={watched}");
}
