//! Fields of update inputs, which can be absent, null or set.

use async_graphql::MaybeUndefined;

use crate::domain::input::Change;

/// The change that a field of an update input requests.
pub fn change<T>(value: MaybeUndefined<T>) -> Change<T> {
    match value {
        MaybeUndefined::Undefined => Change::Keep,
        MaybeUndefined::Null => Change::Clear,
        MaybeUndefined::Value(value) => Change::Set(value),
    }
}
