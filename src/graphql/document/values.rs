//! Values against their types: literals (GraphQL specification, 5.6) and what variables hold (6.1.2).

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{BaseType, Type};
use async_graphql::{Name, Value as ConstValue};
use async_graphql_value::{Number, Value};

use super::types::{Definition, Types};
use crate::graphql::scalars;

/// What is wrong with a value, and where inside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// From the bottom up: what is said of the innermost value is found first.
    path: Vec<String>,
    pub(super) kind: MisfitKind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum MisfitKind {
    /// Not of this type.
    Mistyped(String),
    /// A required field of an input object is absent.
    Missing,
    /// The input object has no such field.
    Unknown,
    /// Not exactly one field of an input object that takes one.
    NotOne,
}

impl Misfit {
    fn new(kind: MisfitKind) -> Self {
        Self { path: Vec::new(), kind }
    }

    fn mistyped(ty: impl ToString) -> Self {
        Self::new(MisfitKind::Mistyped(ty.to_string()))
    }

    fn below(mut self, segment: impl ToString) -> Self {
        self.path.push(segment.to_string());
        self
    }

    /// The names and indices that lead to it.
    pub(super) fn path(&self) -> Vec<String> {
        self.path.iter().rev().cloned().collect()
    }

    /// In words, after what the value is called.
    pub(super) fn describe(&self, subject: &str) -> String {
        let place = self.path.iter().rev().fold(subject.to_owned(), |place, segment| format!("{place}.{segment}"));
        match &self.kind {
            MisfitKind::Mistyped(ty) => format!("{place} is not a value of type \"{ty}\"."),
            MisfitKind::Missing => format!("{place} is required."),
            MisfitKind::Unknown => format!("{place} is not a field of its input type."),
            MisfitKind::NotOne => format!("{place} must have exactly one field, which is not null."),
        }
    }
}

/// What a variable holds, in the one form that resolvers see: lists where lists are wanted, enum values as such, ids as
/// strings. `value` comes from JSON, which knows fewer types than GraphQL.
pub(super) fn coerce(types: &Types, value: ConstValue, ty: &Type) -> Result<ConstValue, Misfit> {
    if value == ConstValue::Null {
        return if ty.nullable { Ok(value) } else { Err(Misfit::mistyped(ty)) };
    }
    match (&ty.base, value) {
        (BaseType::List(inner), ConstValue::List(items)) => {
            let item = |(index, item)| coerce(types, item, inner).map_err(|misfit| misfit.below(index));
            Ok(ConstValue::List(items.into_iter().enumerate().map(item).collect::<Result<_, _>>()?))
        }
        (BaseType::List(inner), value) => Ok(ConstValue::List(vec![coerce(types, value, inner)?])),
        (BaseType::Named(name), value) => match types.get(name) {
            Some(Definition::InputObject { fields, is_one_of }) => {
                let ConstValue::Object(mut given) = value else { return Err(Misfit::mistyped(ty)) };
                if *is_one_of && (given.len() != 1 || given.values().any(|value| *value == ConstValue::Null)) {
                    return Err(Misfit::new(MisfitKind::NotOne));
                }
                if let Some(unknown) = given.keys().find(|name| !fields.contains_key(name.as_str())) {
                    return Err(Misfit::new(MisfitKind::Unknown).below(unknown));
                }
                let mut coerced = IndexMap::with_capacity(given.len());
                for (name, field) in fields {
                    match given.swap_remove(name) {
                        Some(value) => {
                            let value = coerce(types, value, &field.ty).map_err(|misfit| misfit.below(name))?;
                            coerced.insert(name.clone(), value);
                        }
                        None if field.is_required() => return Err(Misfit::new(MisfitKind::Missing).below(name)),
                        None => {}
                    }
                }
                Ok(ConstValue::Object(coerced))
            }
            Some(Definition::Enum(values)) => match value {
                ConstValue::String(text) if values.contains(text.as_str()) => Ok(ConstValue::Enum(Name::new(text))),
                _ => Err(Misfit::mistyped(ty)),
            },
            _ => json_scalar(name, value).ok_or_else(|| Misfit::mistyped(ty)),
        },
    }
}

/// A scalar out of JSON.
fn json_scalar(name: &str, value: ConstValue) -> Option<ConstValue> {
    match (name, &value) {
        ("Int", ConstValue::Number(number)) => Some(ConstValue::Number(whole(number)?.into())),
        ("Float", ConstValue::Number(_)) | ("String" | "ID", ConstValue::String(_)) => Some(value),
        ("Boolean", ConstValue::Boolean(_)) => Some(value),
        ("ID", ConstValue::Number(number)) => {
            (number.is_i64() || number.is_u64()).then(|| ConstValue::String(number.to_string()))
        }
        ("Int" | "Float" | "String" | "Boolean" | "ID", _) => None,
        _ => scalars::is_valid(name, &value).then_some(value),
    }
}

/// JSON writes 1 and 1.0 for the same number.
fn whole(number: &Number) -> Option<i32> {
    if let Some(number) = number.as_i64() {
        return i32::try_from(number).ok();
    }
    let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
    let is_in_range = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
    is_in_range.then_some(number as i32)
}

/// Checks a literal. `variable` is told of each variable in it, with the type that is wanted there and whether the place has
/// a default; whether the variable fits is its business.
pub(super) fn check<'a>(
    types: &Types,
    value: &'a Value,
    ty: &Type,
    has_default: bool,
    variable: &mut dyn FnMut(&'a Name, Type, bool),
) -> Result<(), Misfit> {
    match (value, &ty.base) {
        (Value::Variable(name), _) => {
            variable(name, ty.clone(), has_default);
            Ok(())
        }
        (Value::Null, _) => {
            if ty.nullable {
                Ok(())
            } else {
                Err(Misfit::mistyped(ty))
            }
        }
        (Value::List(items), BaseType::List(inner)) => items.iter().enumerate().try_for_each(|(index, item)| {
            check(types, item, inner, false, variable).map_err(|misfit| misfit.below(index))
        }),
        (_, BaseType::List(inner)) => check(types, value, inner, false, variable),
        (_, BaseType::Named(name)) => match types.get(name) {
            Some(Definition::InputObject { fields, is_one_of }) => {
                let Value::Object(given) = value else { return Err(Misfit::mistyped(ty)) };
                if *is_one_of && (given.len() != 1 || given.values().any(|value| *value == Value::Null)) {
                    return Err(Misfit::new(MisfitKind::NotOne));
                }
                for (name, value) in given {
                    let Some(field) = fields.get(name) else {
                        return Err(Misfit::new(MisfitKind::Unknown).below(name));
                    };
                    let ty = Type { nullable: field.ty.nullable && !is_one_of, ..field.ty.clone() };
                    check(types, value, &ty, field.has_default, variable).map_err(|misfit| misfit.below(name))?;
                }
                let mut missing: Vec<&Name> = fields
                    .iter()
                    .filter(|(name, field)| field.is_required() && !given.contains_key(*name))
                    .map(|(name, _)| name)
                    .collect();
                missing.sort();
                match missing.first() {
                    Some(name) => Err(Misfit::new(MisfitKind::Missing).below(name)),
                    None => Ok(()),
                }
            }
            Some(Definition::Enum(values)) => match value {
                Value::Enum(name) if values.contains(name) => Ok(()),
                _ => Err(Misfit::mistyped(ty)),
            },
            _ => {
                if is_scalar_literal(name, value) {
                    // Only a scalar that takes anything has variables below it; they fit whatever they are.
                    variables(value, variable);
                    Ok(())
                } else {
                    Err(Misfit::mistyped(ty))
                }
            }
        },
    }
}

fn is_scalar_literal(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("Int", Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        ("ID", Value::Number(number)) => number.is_i64() || number.is_u64(),
        ("Float", Value::Number(_)) | ("String" | "ID", Value::String(_)) | ("Boolean", Value::Boolean(_)) => true,
        ("Int" | "Float" | "String" | "Boolean" | "ID", _) => false,
        // With variables inside, it is a list or an object, whatever they hold.
        _ => scalars::is_valid(name, &value.clone().into_const().unwrap_or_else(|| ConstValue::List(Vec::new()))),
    }
}

fn variables<'a>(value: &'a Value, variable: &mut dyn FnMut(&'a Name, Type, bool)) {
    match value {
        Value::Variable(name) => {
            variable(name, Type { base: BaseType::Named(Name::new(ANYTHING)), nullable: true }, false);
        }
        Value::List(items) => items.iter().for_each(|item| variables(item, variable)),
        Value::Object(fields) => fields.values().for_each(|value| variables(value, variable)),
        _ => {}
    }
}

/// Stands for the type of a place inside a scalar of any form; no type of a schema has this name.
const ANYTHING: &str = "";

/// Whether a variable may stand where `wanted` is (`AreTypesCompatible` and `IsVariableUsageAllowed`, 5.8.5).
pub(super) fn fits(variable: &Type, has_default: bool, wanted: &Type, place_has_default: bool) -> bool {
    if matches!(&wanted.base, BaseType::Named(name) if name == ANYTHING) {
        return true;
    }
    let is_made_whole = has_default || place_has_default;
    if variable.nullable && !wanted.nullable && !is_made_whole {
        return false;
    }
    same_base(&variable.base, &wanted.base)
}

fn same_base(variable: &BaseType, wanted: &BaseType) -> bool {
    match (variable, wanted) {
        (BaseType::Named(one), BaseType::Named(other)) => one == other,
        (BaseType::List(one), BaseType::List(other)) => {
            (!one.nullable || other.nullable) && same_base(&one.base, &other.base)
        }
        _ => false,
    }
}

/// About what a value takes in memory beside its text, in bytes.
const NODE: usize = 64;

/// About how much memory a value takes, in bytes.
pub(super) fn size(value: &ConstValue) -> usize {
    NODE + match value {
        ConstValue::String(text) => text.len(),
        ConstValue::List(items) => items.iter().map(size).sum(),
        ConstValue::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 0,
    }
}

/// The same of a literal, without what its variables hold.
pub(super) fn size_of_literal(value: &Value) -> usize {
    match value {
        Value::Variable(_) => 0,
        Value::String(text) => NODE + text.len(),
        Value::List(items) => NODE + items.iter().map(size_of_literal).sum::<usize>(),
        Value::Object(fields) => {
            NODE + fields.iter().map(|(name, value)| name.len() + size_of_literal(value)).sum::<usize>()
        }
        _ => NODE,
    }
}

/// A literal with what its variables hold. One that is absent takes the field of an input object with it, and is null in a
/// list; at the top it gives `None`.
pub(super) fn substitute(value: &Value, held: &dyn Fn(&Name) -> Option<ConstValue>) -> Option<Value> {
    Some(match value {
        Value::Variable(name) => held(name)?.into_value(),
        Value::List(items) => {
            Value::List(items.iter().map(|item| substitute(item, held).unwrap_or(Value::Null)).collect())
        }
        Value::Object(fields) => Value::Object(
            fields.iter().filter_map(|(name, value)| Some((name.clone(), substitute(value, held)?))).collect(),
        ),
        other => other.clone(),
    })
}
