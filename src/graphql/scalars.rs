//! Scalars of our own.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{Datelike as _, SecondsFormat, Utc};

/// A moment, as RFC 3339 writes it, in UTC and with milliseconds: `2026-11-20T09:30:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime(pub chrono::DateTime<Utc>);

/// A moment, as RFC 3339 writes it, in UTC and with milliseconds: `2026-11-20T09:30:00.000Z`.
#[Scalar(specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let time = chrono::DateTime::parse_from_rfc3339(text).ok();
        // To the millisecond, so that a leap second is the next one; and what no offset moves out of the years that can be shown.
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

/// An amount of money in millionths of a US dollar. Fits a JavaScript number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Microdollars(pub i64);

/// An amount of money in millionths of a US dollar. Fits a JavaScript number.
#[Scalar]
impl ScalarType for Microdollars {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::Number(number) = &value else { return Err(InputValueError::expected_type(value)) };
        match number.as_i64().filter(|number| (0..=MAX_SAFE_INTEGER).contains(number)) {
            Some(number) => Ok(Self(number)),
            None => Err(InputValueError::custom("not a whole number from 0 to 2^53 - 1")),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

impl Microdollars {
    /// Rounded to the nearest.
    pub fn from_nanodollars(nanodollars: i64) -> Self {
        Self(nanodollars.saturating_add(500).div_euclid(1_000))
    }
}

/// The largest integer that a JavaScript number holds exactly.
const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;
