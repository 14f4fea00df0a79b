//! Tests that the descriptions of the schema and docs/security.md agree with the table.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};
use duologue::entity::enums::Permission;
use duologue::graphql::document::definitions;

use super::Rule::{self, Admin, Everybody, Needs, Owner, OwnerOr, SignedIn};
use super::{IN_SESSION, TABLE, TYPES};

/// The fields of [`TYPES`], with their descriptions on one line.
pub(super) fn fields() -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for definition in parse_schema(definitions(&duologue::app::schema())).unwrap().definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let (name, TypeKind::Object(object)) = (definition.node.name.node, definition.node.kind) else { continue };
        if TYPES.contains(&name.as_str()) {
            for field in object.fields {
                let description = field.node.description.map(|text| text.node).unwrap_or_default();
                let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
                fields.insert(format!("{name}.{}", field.node.name.node), description);
            }
        }
    }
    fields
}

/// What a field requires in addition to a viewer, in the words of docs/security.md.
fn requirement(field: &str, rule: Rule) -> Option<String> {
    let right = match rule {
        Everybody(_) | SignedIn(_) => None,
        Owner(..) => Some("the owner".to_owned()),
        OwnerOr(permission, ..) => Some(format!("the owner, or {permission}")),
        Needs(permission, ..) | Admin(permission, _) => Some(permission.to_owned()),
    };
    match (right, IN_SESSION.contains(&field)) {
        (Some(right), true) => Some(format!("{right}, and a session")),
        (None, true) => Some("a session".to_owned()),
        (right, false) => right,
    }
}

#[test]
fn the_documentation_lists_the_requirement_of_each_field() {
    let page = include_str!("../../../docs/security.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Permissions\n")).unwrap();
    let listed: BTreeSet<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    // The requirement of `node` and `nodes` depends on the type.
    let single = TABLE.iter().filter(|(field, ..)| !field.starts_with("Query.node"));
    let row = |(field, _, rule): &(&str, &str, Rule)| {
        requirement(field, *rule).map(|requirement| format!("| `{field}` | {requirement} |"))
    };
    let wanted: BTreeSet<String> = single.filter_map(row).collect();
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    assert_eq!(
        listed,
        wanted,
        "the table in docs/security.md must be:\n{}",
        wanted.iter().copied().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn descriptions_name_the_requirement_of_each_field() {
    let fields = fields();
    let mut wrong = Vec::new();
    for (field, _, rule) in TABLE {
        let (description, kind) = (&fields[*field], field.split('.').next().unwrap());
        let permission = match rule {
            Needs(permission, ..) | Admin(permission, _) if kind != "Query" => Some(*permission),
            _ => None,
        };
        for (name, known) in Permission::ALL.map(|(_, name)| (name, description.contains(name))) {
            if known != (permission == Some(name)) {
                wrong.push(format!("{field} and {name}"));
            }
        }
        if description.contains("FORBIDDEN with a personal access token") != IN_SESSION.contains(field) {
            wrong.push(format!("{field} and personal access tokens"));
        }
        if kind == "User" && description.ends_with("Private.") != matches!(rule, OwnerOr(..)) {
            wrong.push(format!("{field} and whether it is private"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
