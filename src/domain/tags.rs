//! Checks and normalizes the tags of characters and prompts.

use crate::domain::FieldErrorCode;
use crate::domain::input::{Checks, Lines};

/// The maximum number of tags of a character or prompt.
pub const MAX_TAGS: usize = 10;
/// The longest tag, in characters.
const MAX_TAG: usize = 50;

/// Checks the tags at `path`, and returns them trimmed, without duplicates.
pub fn check(checks: &mut Checks, path: &str, tags: Vec<String>) -> Vec<String> {
    if tags.len() > MAX_TAGS {
        checks.fail(path, FieldErrorCode::TooLong, format!("At most {MAX_TAGS} tags are allowed."));
        return Vec::new();
    }
    let mut checked: Vec<String> = Vec::new();
    for tag in tags {
        let tag = tag.trim();
        checks.text(path, tag, 1..=MAX_TAG, Lines::One);
        if !checked.iter().any(|known| known == tag) {
            checked.push(tag.to_owned());
        }
    }
    checked
}
