//! Rules for usernames, e-mail addresses and other names, and how they are compared.

use crate::domain::FieldErrorCode::{Malformed, Required, TooLong};
use crate::domain::input::{Checks, Lines};

const USERNAME_LENGTH: std::ops::RangeInclusive<usize> = 3..=32;
/// RFC 5321, section 4.5.3.1.3, without the angle brackets of a path.
const MAX_EMAIL_LENGTH: usize = 254;
/// RFC 5321, section 4.5.3.1.1.
const MAX_LOCAL_PART_LENGTH: usize = 64;
/// RFC 1035, section 2.3.4.
const MAX_LABEL_LENGTH: usize = 63;
const MAX_FULL_NAME_LENGTH: usize = 100;
const MAX_DEVICE_LENGTH: usize = 100;
const MAX_BIO_LENGTH: usize = 1_000;
const MAX_TOKEN_NAME_LENGTH: usize = 100;

/// A username, trimmed. It has only ASCII letters, digits, `.`, `_` and `-`, so that no two usernames look the same and
/// none is an e-mail address.
pub(super) fn username(checks: &mut Checks, path: &str, text: &str) -> String {
    let name = text.trim();
    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter)) {
        checks.fail(path, Malformed, "A username can only have ASCII letters, digits, dots, hyphens and underscores.");
    } else {
        checks.text(path, name, USERNAME_LENGTH, Lines::One);
    }
    name.to_owned()
}

/// An e-mail address, trimmed, in the format that browsers accept (WHATWG HTML, "valid e-mail address"), with letters
/// of other scripts allowed.
pub(super) fn email(checks: &mut Checks, path: &str, text: &str) -> String {
    let address = text.trim();
    if address.is_empty() {
        checks.fail(path, Required, "An e-mail address is required.");
    } else if key(address).chars().count() > MAX_EMAIL_LENGTH {
        // Checked in folded form, in which `İ` becomes two characters.
        checks.fail(path, TooLong, format!("An e-mail address can have at most {MAX_EMAIL_LENGTH} characters."));
    } else if !is_email(address) {
        checks.fail(path, Malformed, "This is not a valid e-mail address.");
    }
    address.to_owned()
}

/// A user's full name, trimmed. None if empty.
pub(super) fn full_name(checks: &mut Checks, path: &str, text: Option<&str>) -> Option<String> {
    line(checks, path, text, MAX_FULL_NAME_LENGTH)
}

/// The key for a case-insensitive search of full names.
pub(super) fn full_name_key(name: Option<&str>) -> Option<String> {
    name.map(str::to_lowercase)
}

/// The device name that a client gives, trimmed. None if empty.
pub(super) fn device(checks: &mut Checks, path: &str, text: Option<&str>) -> Option<String> {
    line(checks, path, text, MAX_DEVICE_LENGTH)
}

/// A user's biography, trimmed. None if empty.
pub(super) fn bio(checks: &mut Checks, path: &str, text: Option<&str>) -> Option<String> {
    let text = text.map(str::trim).filter(|text| !text.is_empty())?;
    checks.text(path, text, 1..=MAX_BIO_LENGTH, Lines::Many);
    Some(text.to_owned())
}

/// The name of a personal access token, trimmed.
pub(super) fn token_name(checks: &mut Checks, path: &str, text: &str) -> String {
    let name = text.trim();
    checks.text(path, name, 1..=MAX_TOKEN_NAME_LENGTH, Lines::One);
    name.to_owned()
}

/// The key to find a user by name. None if no user can have this name.
pub(super) fn searchable(name: &str) -> Option<String> {
    let key = key(name);
    (key.chars().count() <= MAX_EMAIL_LENGTH && !key.chars().any(char::is_control)).then_some(key)
}

/// The key for case-insensitive comparison of a username or e-mail address.
pub(super) fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

fn line(checks: &mut Checks, path: &str, text: Option<&str>, max: usize) -> Option<String> {
    let text = text.map(str::trim).filter(|text| !text.is_empty())?;
    checks.text(path, text, 1..=max, Lines::One);
    Some(text.to_owned())
}

fn is_email(address: &str) -> bool {
    let Some((local, domain)) = address.split_once('@') else { return false };
    let is_local = |letter: char| letter.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(letter);
    let is_label = |label: &str| {
        (1..=MAX_LABEL_LENGTH).contains(&label.len())
            && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=MAX_LOCAL_PART_LENGTH).contains(&local.len()) && local.chars().all(is_local) && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Error, FieldErrorCode};

    fn code(check: impl FnOnce(&mut Checks)) -> Option<FieldErrorCode> {
        let mut checks = Checks::default();
        check(&mut checks);
        match checks.finish() {
            Ok(()) => None,
            Err(Error::Invalid(fields)) => Some(fields[0].code),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn usernames() {
        for good in ["ada", "Ada.Love_lace-1815", "  ada  ", &"a".repeat(32), "..."] {
            assert_eq!(code(|checks| assert_eq!(username(checks, "username", good), good.trim())), None, "{good}");
        }
        for (bad, expected) in [
            ("", FieldErrorCode::Required),
            ("   ", FieldErrorCode::Required),
            ("ab", FieldErrorCode::TooShort),
            (&"a".repeat(33), FieldErrorCode::TooLong),
            ("ada lovelace", FieldErrorCode::Malformed),
            ("ada@lovelace", FieldErrorCode::Malformed),
            ("аda", FieldErrorCode::Malformed),
            ("ada\0", FieldErrorCode::Malformed),
            ("ada\n1815", FieldErrorCode::Malformed),
        ] {
            assert_eq!(code(|checks| drop(username(checks, "username", bad))), Some(expected), "{bad:?}");
        }
    }

    #[test]
    fn emails() {
        let longest =
            format!("{}@{}.example", "a".repeat(64), ["b".repeat(60), "c".repeat(60), "d".repeat(59)].join("."));
        assert_eq!(longest.len(), 254);
        for good in ["ada@lovelace.example", " a+b@x ", "o'hara@x.y.z", "josé@exämple.org", "1@2.3", &longest] {
            assert_eq!(code(|checks| assert_eq!(email(checks, "email", good), good.trim())), None, "{good}");
        }
        for (bad, expected) in [
            ("", FieldErrorCode::Required),
            ("ada", FieldErrorCode::Malformed),
            ("@example.org", FieldErrorCode::Malformed),
            ("ada@", FieldErrorCode::Malformed),
            ("ada@@example.org", FieldErrorCode::Malformed),
            ("a@b@c", FieldErrorCode::Malformed),
            ("ada@example..org", FieldErrorCode::Malformed),
            ("ada@.example", FieldErrorCode::Malformed),
            ("ada@-example.org", FieldErrorCode::Malformed),
            ("a da@example.org", FieldErrorCode::Malformed),
            ("ada@exam ple.org", FieldErrorCode::Malformed),
            ("ada@example.org\0", FieldErrorCode::Malformed),
            ("<ada@example.org>", FieldErrorCode::Malformed),
            ("ada@example.org,eve@example.org", FieldErrorCode::Malformed),
            (&format!("{}@x.org", "a".repeat(65)), FieldErrorCode::Malformed),
            (&format!("a{longest}"), FieldErrorCode::TooLong),
            (&"a".repeat(1 << 20), FieldErrorCode::TooLong),
        ] {
            assert_eq!(code(|checks| drop(email(checks, "email", bad))), Some(expected), "{bad:?}");
        }
    }

    #[test]
    fn lines_may_be_empty_and_have_no_control_characters() {
        let mut checks = Checks::default();
        assert_eq!(full_name(&mut checks, "fullName", Some("  Ada Lovelace ")), Some("Ada Lovelace".to_owned()));
        assert_eq!(full_name(&mut checks, "fullName", Some(" \n ")), None);
        assert_eq!(device(&mut checks, "device", None), None);
        assert!(checks.finish().is_ok());
        let long = "é".repeat(101);
        assert_eq!(code(|checks| drop(device(checks, "device", Some(&long)))), Some(FieldErrorCode::TooLong));
        assert_eq!(code(|checks| drop(device(checks, "device", Some("a\0b")))), Some(FieldErrorCode::Malformed));
    }

    #[test]
    fn keys_ignore_case() {
        assert_eq!(key(" ADA@Exämple.ORG"), key("ada@exÄmple.org "));
    }
}
