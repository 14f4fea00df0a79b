//! Checks values against their types: literals (<https://spec.graphql.org/October2021/#sec-Values>) and variable values
//! (<https://spec.graphql.org/October2021/#CoerceVariableValues()>).

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{BaseType, Type};
use async_graphql::{Name, Value as ConstValue};
use async_graphql_value::{Number, Value};

use super::types::{TypeDefinition, Types};
use crate::graphql::scalars;

/// The error of a value that does not match its type, with the position inside the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ValueError {
    /// From the innermost segment outwards.
    path: Vec<String>,
    pub(super) kind: ValueErrorKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum ValueErrorKind {
    /// Not a value of this type.
    WrongType(String),
    /// A required field of an input object is absent.
    Missing,
    /// The input object type has no such field.
    Unknown,
    /// A OneOf input object without exactly one field, or whose field is null.
    NotOneField,
}

impl ValueError {
    fn new(kind: ValueErrorKind) -> Self {
        Self { path: Vec::new(), kind }
    }

    fn wrong_type(ty: impl ToString) -> Self {
        Self::new(ValueErrorKind::WrongType(ty.to_string()))
    }

    fn below(mut self, segment: impl ToString) -> Self {
        self.path.push(segment.to_string());
        self
    }

    /// The names and indices from the outermost to the innermost.
    pub(super) fn path(&self) -> Vec<String> {
        self.path.iter().rev().cloned().collect()
    }

    /// The error message; `subject` names the outermost value.
    pub(super) fn describe(&self, subject: &str) -> String {
        let position =
            self.path.iter().rev().fold(subject.to_owned(), |position, segment| format!("{position}.{segment}"));
        match &self.kind {
            ValueErrorKind::WrongType(ty) => format!("{position} is not a value of type \"{ty}\"."),
            ValueErrorKind::Missing => format!("{position} is required."),
            ValueErrorKind::Unknown => format!("{position} is not a field of its input type."),
            ValueErrorKind::NotOneField => format!("{position} must have exactly one field, which is not null."),
        }
    }
}

/// Coerces a variable value from JSON (<https://spec.graphql.org/October2021/#CoerceVariableValues()>): wraps a single
/// item in a list where a list is expected, and turns the strings of enum types into enum values and integer IDs into
/// strings.
pub(super) fn coerce_value(types: &Types, value: ConstValue, ty: &Type) -> Result<ConstValue, ValueError> {
    if value == ConstValue::Null {
        return if ty.nullable { Ok(value) } else { Err(ValueError::wrong_type(ty)) };
    }
    match (&ty.base, value) {
        (BaseType::List(inner), ConstValue::List(items)) => {
            let item = |(index, item)| coerce_value(types, item, inner).map_err(|error| error.below(index));
            Ok(ConstValue::List(items.into_iter().enumerate().map(item).collect::<Result<_, _>>()?))
        }
        (BaseType::List(inner), value) => Ok(ConstValue::List(vec![coerce_value(types, value, inner)?])),
        (BaseType::Named(name), value) => match types.get(name) {
            Some(TypeDefinition::InputObject { fields, is_one_of }) => {
                let ConstValue::Object(mut given) = value else { return Err(ValueError::wrong_type(ty)) };
                if *is_one_of && (given.len() != 1 || given.values().any(|value| *value == ConstValue::Null)) {
                    return Err(ValueError::new(ValueErrorKind::NotOneField));
                }
                if let Some(unknown) = given.keys().find(|name| !fields.contains_key(name.as_str())) {
                    return Err(ValueError::new(ValueErrorKind::Unknown).below(unknown));
                }
                let mut coerced = IndexMap::with_capacity(given.len());
                for (name, field) in fields {
                    match given.swap_remove(name) {
                        Some(value) => {
                            let value = coerce_value(types, value, &field.ty).map_err(|error| error.below(name))?;
                            coerced.insert(name.clone(), value);
                        }
                        None if field.is_required() => return Err(ValueError::new(ValueErrorKind::Missing).below(name)),
                        None => {}
                    }
                }
                Ok(ConstValue::Object(coerced))
            }
            Some(TypeDefinition::Enum(values)) => match value {
                ConstValue::String(text) if values.contains(text.as_str()) => Ok(ConstValue::Enum(Name::new(text))),
                _ => Err(ValueError::wrong_type(ty)),
            },
            _ => json_scalar(name, value).ok_or_else(|| ValueError::wrong_type(ty)),
        },
    }
}

/// Coerces a JSON value to a scalar.
fn json_scalar(name: &str, value: ConstValue) -> Option<ConstValue> {
    match (name, &value) {
        ("Int", ConstValue::Number(number)) => Some(ConstValue::Number(integer(number)?.into())),
        ("Float", ConstValue::Number(_)) | ("String" | "ID", ConstValue::String(_)) => Some(value),
        ("Boolean", ConstValue::Boolean(_)) => Some(value),
        ("ID", ConstValue::Number(number)) => {
            (number.is_i64() || number.is_u64()).then(|| ConstValue::String(number.to_string()))
        }
        ("Int" | "Float" | "String" | "Boolean" | "ID", _) => None,
        _ => scalars::is_valid(name, &value).then_some(value),
    }
}

/// JSON does not distinguish 1 and 1.0.
fn integer(number: &Number) -> Option<i32> {
    if let Some(number) = number.as_i64() {
        return i32::try_from(number).ok();
    }
    let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
    let is_in_range = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
    is_in_range.then_some(number as i32)
}

/// Checks a literal (<https://spec.graphql.org/October2021/#sec-Values-of-Correct-Type>). Calls `variable` for each
/// variable in it, with the expected type and whether the position has a default; `variable` decides whether the
/// variable is allowed there.
pub(super) fn check_literal<'a>(
    types: &Types,
    value: &'a Value,
    ty: &Type,
    has_default: bool,
    variable: &mut dyn FnMut(&'a Name, Type, bool),
) -> Result<(), ValueError> {
    match (value, &ty.base) {
        (Value::Variable(name), _) => {
            variable(name, ty.clone(), has_default);
            Ok(())
        }
        (Value::Null, _) => {
            if ty.nullable {
                Ok(())
            } else {
                Err(ValueError::wrong_type(ty))
            }
        }
        (Value::List(items), BaseType::List(inner)) => items.iter().enumerate().try_for_each(|(index, item)| {
            check_literal(types, item, inner, false, variable).map_err(|error| error.below(index))
        }),
        (_, BaseType::List(inner)) => check_literal(types, value, inner, false, variable),
        (_, BaseType::Named(name)) => match types.get(name) {
            Some(TypeDefinition::InputObject { fields, is_one_of }) => {
                let Value::Object(given) = value else { return Err(ValueError::wrong_type(ty)) };
                if *is_one_of && (given.len() != 1 || given.values().any(|value| *value == Value::Null)) {
                    return Err(ValueError::new(ValueErrorKind::NotOneField));
                }
                for (name, value) in given {
                    let Some(field) = fields.get(name) else {
                        return Err(ValueError::new(ValueErrorKind::Unknown).below(name));
                    };
                    let ty = Type { nullable: field.ty.nullable && !is_one_of, ..field.ty.clone() };
                    check_literal(types, value, &ty, field.has_default, variable).map_err(|error| error.below(name))?;
                }
                let mut missing: Vec<&Name> = fields
                    .iter()
                    .filter(|(name, field)| field.is_required() && !given.contains_key(*name))
                    .map(|(name, _)| name)
                    .collect();
                missing.sort();
                match missing.first() {
                    Some(name) => Err(ValueError::new(ValueErrorKind::Missing).below(name)),
                    None => Ok(()),
                }
            }
            Some(TypeDefinition::Enum(values)) => match value {
                Value::Enum(name) if values.contains(name) => Ok(()),
                _ => Err(ValueError::wrong_type(ty)),
            },
            _ => {
                if is_scalar_literal(name, value) {
                    // Only a custom scalar has variables inside; they may have any type.
                    report_variables(value, variable);
                    Ok(())
                } else {
                    Err(ValueError::wrong_type(ty))
                }
            }
        },
    }
}

fn is_scalar_literal(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("Int", Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        // async-graphql has no larger numbers as IDs.
        ("ID", Value::Number(number)) => number.is_i64(),
        ("Float", Value::Number(_)) | ("String" | "ID", Value::String(_)) | ("Boolean", Value::Boolean(_)) => true,
        ("Int" | "Float" | "String" | "Boolean" | "ID", _) => false,
        // With variables inside, the value is a list or an object, whatever the variables hold.
        _ => scalars::is_valid(name, &value.clone().into_const().unwrap_or_else(|| ConstValue::List(Vec::new()))),
    }
}

fn report_variables<'a>(value: &'a Value, variable: &mut dyn FnMut(&'a Name, Type, bool)) {
    match value {
        Value::Variable(name) => {
            variable(name, Type { base: BaseType::Named(Name::new(ANY_TYPE)), nullable: true }, false);
        }
        Value::List(items) => items.iter().for_each(|item| report_variables(item, variable)),
        Value::Object(fields) => fields.values().for_each(|value| report_variables(value, variable)),
        _ => {}
    }
}

/// The type of a position inside a custom scalar. No type of a schema has this name.
const ANY_TYPE: &str = "";

/// Whether a variable may be used where `wanted` is expected
/// (<https://spec.graphql.org/October2021/#IsVariableUsageAllowed()>).
pub(super) fn is_variable_usage_allowed(
    variable: &Type,
    has_default: bool,
    wanted: &Type,
    position_has_default: bool,
) -> bool {
    if matches!(&wanted.base, BaseType::Named(name) if name == ANY_TYPE) {
        return true;
    }
    let has_any_default = has_default || position_has_default;
    if variable.nullable && !wanted.nullable && !has_any_default {
        return false;
    }
    are_types_compatible(&variable.base, &wanted.base)
}

fn are_types_compatible(variable: &BaseType, wanted: &BaseType) -> bool {
    match (variable, wanted) {
        (BaseType::Named(one), BaseType::Named(other)) => one == other,
        (BaseType::List(one), BaseType::List(other)) => {
            (!one.nullable || other.nullable) && are_types_compatible(&one.base, &other.base)
        }
        _ => false,
    }
}

/// The approximate memory of a value in addition to its text, in bytes.
const NODE: usize = 64;

/// The approximate memory of a value, in bytes.
pub(super) fn memory_size(value: &ConstValue) -> usize {
    NODE + match value {
        ConstValue::String(text) => text.len(),
        ConstValue::List(items) => items.iter().map(memory_size).sum(),
        ConstValue::Object(fields) => fields.iter().map(|(name, value)| name.len() + memory_size(value)).sum(),
        _ => 0,
    }
}

/// The approximate memory of a literal without the values of its variables, in bytes.
pub(super) fn literal_memory_size(value: &Value) -> usize {
    match value {
        Value::Variable(_) => 0,
        Value::String(text) => NODE + text.len(),
        Value::List(items) => NODE + items.iter().map(literal_memory_size).sum::<usize>(),
        Value::Object(fields) => {
            NODE + fields.iter().map(|(name, value)| name.len() + literal_memory_size(value)).sum::<usize>()
        }
        _ => NODE,
    }
}

/// Replaces the variables in a literal by their values
/// (<https://spec.graphql.org/October2021/#CoerceArgumentValues()>). An omitted variable removes its input field, is
/// null in a list, and returns `None` for the whole literal.
pub(super) fn replace_variables(value: &Value, values: &dyn Fn(&Name) -> Option<ConstValue>) -> Option<Value> {
    Some(match value {
        Value::Variable(name) => values(name)?.into_value(),
        Value::List(items) => {
            Value::List(items.iter().map(|item| replace_variables(item, values).unwrap_or(Value::Null)).collect())
        }
        Value::Object(fields) => Value::Object(
            fields.iter().filter_map(|(name, value)| Some((name.clone(), replace_variables(value, values)?))).collect(),
        ),
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::{ID, InputType};
    use proptest::prelude::*;

    use super::*;

    /// Whether the type of a scalar accepts a value.
    fn is_parsed(scalar: &str, value: ConstValue) -> bool {
        fn parses<T: InputType>(value: ConstValue) -> bool {
            T::parse(Some(value)).is_ok()
        }
        match scalar {
            "Int" => parses::<i32>(value),
            "Float" => parses::<f64>(value),
            "String" => parses::<String>(value),
            "Boolean" => parses::<bool>(value),
            "ID" => parses::<ID>(value),
            "DateTime" => parses::<scalars::DateTime>(value),
            "Microdollars" => parses::<scalars::Microdollars>(value),
            "Count" => parses::<scalars::Count>(value),
            other => panic!("{other}"),
        }
    }

    fn any_value() -> impl Strategy<Value = ConstValue> {
        let edges = [i64::MIN, -1, 0, (1 << 31) - 1, 1 << 31, 1 << 53, i64::MAX].map(ConstValue::from);
        prop_oneof![
            proptest::sample::select(Vec::from(edges)),
            any::<i32>().prop_map(ConstValue::from),
            any::<i64>().prop_map(ConstValue::from),
            any::<u64>().prop_map(ConstValue::from),
            any::<f64>().prop_map(|number| Number::from_f64(number).map_or(ConstValue::Null, ConstValue::Number)),
            any::<i32>().prop_map(|number| ConstValue::Number(Number::from_f64(number.into()).unwrap())),
            any::<bool>().prop_map(ConstValue::from),
            ".{0,8}".prop_map(ConstValue::from),
            "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z".prop_map(ConstValue::from),
            "[A-Z]{1,4}".prop_map(|name| ConstValue::Enum(Name::new(name))),
            Just(ConstValue::List(Vec::new())),
            Just(ConstValue::Object(IndexMap::new())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// async-graphql does not validate the document again, so a value that is accepted here must be accepted by its
        /// type.
        #[test]
        fn scalars_that_are_accepted_can_be_parsed(value in any_value()) {
            for scalar in ["Int", "Float", "String", "Boolean", "ID", "DateTime", "Microdollars", "Count"] {
                if is_scalar_literal(scalar, &value.clone().into_value()) {
                    prop_assert!(is_parsed(scalar, value.clone()), "{scalar}: {value}");
                }
                if let Some(coerced) = json_scalar(scalar, value.clone()) {
                    prop_assert!(is_parsed(scalar, coerced), "variable of {scalar}: {value}");
                }
            }
        }
    }
}
