//! Custom scalars.
//!
//! [`is_valid`] lets the document layer check scalar values, including variables, before execution.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{Datelike as _, SecondsFormat, Utc};

/// A date and time in the format of RFC 3339, returned in UTC and with milliseconds: `2026-11-20T09:30:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime(pub chrono::DateTime<Utc>);

/// A date and time in the format of RFC 3339, returned in UTC and with milliseconds: `2026-11-20T09:30:00.000Z`.
#[Scalar(specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let time = chrono::DateTime::parse_from_rfc3339(text).ok();
        // Truncated to milliseconds, which maps a leap second to the next second. The year is checked in UTC, because
        // the offset can move the time out of the four-digit years.
        let time = time.and_then(|time| chrono::DateTime::from_timestamp_millis(time.timestamp_millis()));
        match time.filter(|time| (0..=9999).contains(&time.year())) {
            Some(time) => Ok(Self(time)),
            None => Err(InputValueError::custom("not an RFC 3339 date and time")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// An amount of money in millionths of a US dollar. Fits in a JavaScript number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Microdollars(pub i64);

/// An amount of money in millionths of a US dollar. Fits in a JavaScript number.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc7493#section-2.2")]
impl ScalarType for Microdollars {
    fn parse(value: Value) -> InputValueResult<Self> {
        safe_integer(&value).map(Self).ok_or_else(|| InputValueError::custom(NOT_A_SAFE_INTEGER))
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

impl Microdollars {
    /// Converts from nanodollars, rounded to the nearest microdollar.
    pub fn from_nanodollars(nanodollars: i64) -> Self {
        Self(nanodollars.saturating_add(500).div_euclid(1_000))
    }
}

/// A non-negative count that may exceed 2^31, such as a token count. Fits in a JavaScript number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub i64);

/// A non-negative count that may exceed 2^31, such as a token count. Fits in a JavaScript number.
#[Scalar]
impl ScalarType for Count {
    fn parse(value: Value) -> InputValueResult<Self> {
        safe_integer(&value).map(Self).ok_or_else(|| InputValueError::custom(NOT_A_SAFE_INTEGER))
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

/// The value as a non-negative integer that a JavaScript number holds exactly.
fn safe_integer(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    number.as_i64().filter(|number| (0..=MAX_SAFE_INTEGER).contains(number))
}

/// The largest integer that a JavaScript number holds exactly.
const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

const NOT_A_SAFE_INTEGER: &str = "not an integer from 0 to 2^53 - 1";

/// Whether a value from a client is valid for this scalar. Always true for scalars not defined here.
pub fn is_valid(scalar: &str, value: &Value) -> bool {
    match scalar {
        "DateTime" => DateTime::parse(value.clone()).is_ok(),
        "Microdollars" => Microdollars::parse(value.clone()).is_ok(),
        "Count" => Count::parse(value.clone()).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

    use super::*;
    use crate::graphql::document::definitions;

    #[test]
    fn every_scalar_names_its_specification() {
        let sdl = crate::graphql::schema::sdl();
        let scalars: Vec<&str> = sdl.lines().filter(|line| line.starts_with("scalar ")).collect();
        assert!(
            scalars.len() >= 3 && scalars.iter().all(|line| line.contains(" @specifiedBy(url: \"https://")),
            "{scalars:?}"
        );
    }

    /// `JSON` accepts any value.
    #[test]
    fn every_scalar_of_the_schema_is_checked() {
        let mut count = 0;
        for definition in parse_schema(definitions(&crate::graphql::schema::sdl())).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node;
            if matches!(definition.node.kind, TypeKind::Scalar) && name != "JSON" {
                assert!(!is_valid(&name, &Value::List(Vec::new())), "{name} is not in the table");
                count += 1;
            }
        }
        assert!(count >= 2, "{count}");
    }

    #[test]
    fn scalars_accept_only_valid_values() {
        for (scalar, value, wanted) in [
            ("DateTime", Value::from("2026-11-20T09:30:00Z"), true),
            ("DateTime", Value::from("2026-11-20T09:30:00.123456+05:30"), true),
            ("DateTime", Value::from("2026-11-20"), false),
            ("DateTime", Value::from(1_800_000_000), false),
            ("DateTime", Value::from("+10000-01-01T00:00:00Z"), false),
            ("Microdollars", Value::from(0), true),
            ("Microdollars", Value::from(MAX_SAFE_INTEGER), true),
            ("Microdollars", Value::from(MAX_SAFE_INTEGER + 1), false),
            ("Microdollars", Value::from(-1), false),
            ("Microdollars", Value::from("1"), false),
            ("Count", Value::from(MAX_SAFE_INTEGER), true),
            ("Count", Value::from(-1), false),
            ("JSON", Value::from("anything"), true),
        ] {
            assert_eq!(is_valid(scalar, &value), wanted, "{scalar}: {value}");
        }
    }
}
