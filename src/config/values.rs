//! Parsers of setting values. An error describes the accepted values and completes "it must be …".

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A whole number in a range.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let accepted = || format!("a whole number from {} to {}", range.start(), range.end());
        text.trim().parse().ok().filter(|number| range.contains(number)).ok_or_else(accepted)
    }
}

/// `true` or `false`, or the equivalents `1`/`0`, `yes`/`no` and `on`/`off`.
pub(super) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false"),
    }
}

/// A non-empty line of text, trimmed.
pub(super) fn line(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("one line of text");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_numbers_out_of_range() {
        let port = number::<u16>(1..=65535);
        assert_eq!((port("1"), port(" 65535 ")), (Ok(1), Ok(65535)));
        for bad in ["0", "65536", "-1", "1.5", "", "ten"] {
            assert_eq!(port(bad), Err("a whole number from 1 to 65535".to_owned()), "{bad}");
        }
    }
}
