//! JSON from providers, read field by field: a field of an unexpected form is ignored, and the other fields are read.

use serde_json::Value;

use super::ProviderError;
use super::interpreter::without_nul;

/// The value of one event's data. Lone surrogates, which JSON permits and Rust's strings do not, become U+FFFD.
///
/// # Errors
/// PROVIDER_TRUNCATED where the data is not JSON, as after a cut.
pub(super) fn parse(data: &str) -> Result<Value, ProviderError> {
    serde_json::from_str(data)
        .or_else(|_| serde_json::from_str(&without_lone_surrogates(data)))
        .map_err(|cause| ProviderError::truncated(&format!("an event cannot be read as JSON: {cause}")))
}

/// Moves a field out of an object; null where it is absent, and where `value` is no object.
pub(super) fn take(value: &mut Value, name: &str) -> Value {
    value.get_mut(name).map(Value::take).unwrap_or_default()
}

/// A short text such as an id or a name: a string without its NULs or a number, and not empty.
pub(super) fn text(value: Value) -> Option<String> {
    let text = match value {
        Value::String(text) => without_nul(text),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A count: a number that is not negative, rounded to the nearest whole one, or a string that holds such a number.
pub(super) fn count(value: &Value) -> Option<u64> {
    if let Some(count) = value.as_u64() {
        return Some(count);
    }
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (0.0..u64::MAX as f64).contains(&number).then(|| number.round() as u64)
}

/// Replaces each escaped surrogate that is not part of a pair by U+FFFD.
fn without_lone_surrogates(json: &str) -> String {
    let unit = |at: usize| -> Option<u16> {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut repaired = String::with_capacity(json.len());
    let mut rest = 0;
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                repaired.push_str(&json[rest..at]);
                repaired.push('\u{fffd}');
                rest = at + 6;
                6
            }
            // The backslash and the ASCII character that it escapes.
            _ => 2,
        };
        if !json.is_char_boundary(at) {
            break;
        }
    }
    repaired.push_str(&json[rest..]);
    repaired
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
        for (data, expected) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\uDE00b""#, "\u{fffd}b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\u00e9\ud83dé""#, "\u{fffd}é\u{fffd}é"),
            (r#""\\ud83d \"\ud83d\\""#, "\\ud83d \"\u{fffd}\\"),
            (r#""\ud83d\ude00""#, "😀"),
        ] {
            assert_eq!(parse(data).unwrap(), json!(expected), "{data}");
        }
        for data in [r#"{"a": "\ud83d"#, r#""\ud8"#, r#""\é""#, "\\", r#""\u+123""#] {
            assert!(parse(data).is_err(), "{data}");
        }
    }

    #[test]
    fn counts_are_read_in_every_form() {
        for (value, expected) in [
            (json!(7), Some(7)),
            (json!(5.5), Some(6)),
            (json!("12"), Some(12)),
            (json!(u64::MAX), Some(u64::MAX)),
            (json!(-1), None),
            (json!(1e300), None),
            (json!("many"), None),
            (json!("NaN"), None),
            (json!(null), None),
            (json!([3]), None),
        ] {
            assert_eq!(count(&value), expected, "{value}");
        }
    }
}
