//! What callers give, checked: every mistake of an input is reported at once, each at its field.

use std::ops::RangeInclusive;

use crate::domain::{Error, FieldError, FieldErrorCode, Result};

/// The longest text that a list is filtered by, in characters.
const MAX_SEARCH: usize = 200;

/// What an update does to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// The field was absent: leave it.
    #[default]
    Keep,
    /// The field was null: clear it.
    Clear,
    /// The new value.
    Set(T),
}

/// Whether a text may have more than one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// No control characters at all.
    One,
    /// Line breaks and tabs too.
    Many,
}

/// Collects the mistakes of one input.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes a mistake at `path`, whose steps are separated by dots.
    pub fn fail(&mut self, path: &str, code: FieldErrorCode, message: impl Into<String>) {
        self.0.push(FieldError::new(path, code, message));
    }

    /// Checks a text's length, in Unicode characters, and its characters.
    pub fn text(&mut self, path: &str, text: &str, length: RangeInclusive<usize>, lines: Lines) {
        let count = text.chars().count();
        let is_blank = *length.start() > 0 && text.chars().all(char::is_whitespace);
        if is_blank || count < *length.start() {
            let code = if is_blank { FieldErrorCode::Required } else { FieldErrorCode::TooShort };
            self.fail(path, code, format!("At least {} characters are needed here.", length.start()));
        } else if count > *length.end() {
            self.fail(path, FieldErrorCode::TooLong, format!("At most {} characters are allowed here.", length.end()));
        }
        let is_control = |character: char| match lines {
            Lines::One => character.is_control(),
            Lines::Many => character.is_control() && !matches!(character, '\n' | '\r' | '\t'),
        };
        if text.chars().any(is_control) {
            self.fail(path, FieldErrorCode::Malformed, "Control characters are not allowed here.");
        }
    }

    /// Checks what a list is filtered by: short, and without control characters, which no stored text holds and PostgreSQL
    /// refuses.
    pub fn search(&mut self, path: &str, text: &str) {
        self.text(path, text, 0..=MAX_SEARCH, Lines::One);
    }

    /// All mistakes, or none.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there was any.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

/// Text to look for without regard to case; none when it is blank.
///
/// # Errors
/// [`Error::Invalid`] at `path` for text that cannot be looked for.
pub fn search_key(path: &str, text: Option<&str>) -> Result<Option<String>> {
    let mut checks = Checks::default();
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    if let Some(text) = text {
        checks.search(path, text);
    }
    checks.finish()?;
    Ok(text.map(str::to_lowercase))
}
