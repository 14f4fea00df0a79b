//! Validation of input. All errors of an input are reported at once, each at its field.

use std::ops::RangeInclusive;

use crate::domain::{Error, FieldError, FieldErrorCode, Result};

/// The longest search text, in characters.
const MAX_SEARCH: usize = 200;

/// The change of a field in an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// The field was absent: keep its value.
    #[default]
    Keep,
    /// The field was null: clear it.
    Clear,
    /// Set the field to this value.
    Set(T),
}

impl<T> Change<T> {
    /// The value of an optional field after the change.
    pub fn apply(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// Whether a text may have several lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// No control characters.
    One,
    /// Line breaks and tabs are allowed.
    Many,
}

/// Collects the errors of one input.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Adds an error at `path`, whose elements are separated by dots.
    pub fn fail(&mut self, path: &str, code: FieldErrorCode, message: impl Into<String>) {
        self.0.push(FieldError::new(path, code, message));
    }

    /// Checks the length of a text, in Unicode characters, and that it has no forbidden characters.
    pub fn text(&mut self, path: &str, text: &str, length: RangeInclusive<usize>, lines: Lines) {
        let count = text.chars().count();
        let is_blank = *length.start() > 0 && text.chars().all(char::is_whitespace);
        if is_blank || count < *length.start() {
            let code = if is_blank { FieldErrorCode::Required } else { FieldErrorCode::TooShort };
            let message = match length.start() {
                1 => "A value is required.".to_owned(),
                least => format!("At least {least} characters are required."),
            };
            self.fail(path, code, message);
        } else if count > *length.end() {
            self.fail(path, FieldErrorCode::TooLong, format!("At most {} characters are allowed.", length.end()));
        }
        let is_control = |character: char| match lines {
            Lines::One => character.is_control(),
            Lines::Many => character.is_control() && !matches!(character, '\n' | '\r' | '\t'),
        };
        if text.chars().any(is_control) {
            self.fail(path, FieldErrorCode::Malformed, "Control characters are not allowed.");
        }
    }

    /// Checks a search text: its length, and that it has no control characters, which no stored text contains and
    /// PostgreSQL rejects.
    pub fn search(&mut self, path: &str, text: &str) {
        self.text(path, text, 0..=MAX_SEARCH, Lines::One);
    }

    /// The value of a changed field that cannot be cleared. None if the field is left unchanged.
    pub fn required<T>(&mut self, path: &str, change: Change<T>) -> Option<T> {
        match change {
            Change::Set(value) => Some(value),
            Change::Keep => None,
            Change::Clear => {
                self.fail(path, FieldErrorCode::Required, "This cannot be null.");
                None
            }
        }
    }

    /// Ends the checks.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all errors, if there are any.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

/// The key for a case-insensitive search. None if the text is blank.
///
/// # Errors
/// [`Error::Invalid`] at `path` for an invalid search text.
pub fn search_key(path: &str, text: Option<&str>) -> Result<Option<String>> {
    let mut checks = Checks::default();
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    if let Some(text) = text {
        checks.search(path, text);
    }
    checks.finish()?;
    Ok(text.map(str::to_lowercase))
}
