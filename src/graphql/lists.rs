//! How long each list of the schema is at most; what estimates of documents count with. Connections have a page, and `nodes` its
//! ids.

use crate::domain::accounts::{MAX_ROLES, MAX_ROLES_OF_USER, MAX_SESSIONS, MAX_TOKENS};
use crate::domain::chats::MAX_SIBLINGS;
use crate::entity::enums::{Permission, TokenScope};
use crate::graphql::document::Lists;

/// Type, field, entries. Tags, the parts of a message and the models have no bound of their own: the estimate takes many, and the
/// budget counts what is there.
pub const LISTS: Lists<'static> = &[
    ("Admin", "roles", MAX_ROLES),
    ("Character", "tags", 10),
    ("Message", "children", MAX_SIBLINGS),
    ("Message", "parts", 10),
    ("Message", "siblings", MAX_SIBLINGS),
    ("PersonalAccessToken", "scopes", TokenScope::ALL.len() as u64),
    ("Query", "models", 50),
    ("Role", "permissions", Permission::ALL.len() as u64),
    ("User", "permissions", Permission::ALL.len() as u64),
    ("User", "personalAccessTokens", MAX_TOKENS),
    ("User", "roles", 1 + MAX_ROLES_OF_USER as u64),
    ("User", "sessions", MAX_SESSIONS),
];

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{BaseType, TypeKind, TypeSystemDefinition};

    use super::*;

    /// Objects that no field returns; they describe errors.
    const ERRORS: [&str; 2] = ["ErrorExtensions", "FieldError"];

    #[test]
    fn every_list_of_the_schema_is_known() {
        let mut lists = Vec::new();
        for definition in parse_schema(crate::graphql::schema::sdl()).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let TypeKind::Object(object) = &definition.node.kind else { continue };
            let name = definition.node.name.node.to_string();
            for field in object.fields.iter().map(|field| &field.node) {
                let is_list = matches!(field.ty.node.base, BaseType::List(_));
                let has_ids = field.arguments.iter().any(|argument| argument.node.name.node == "ids");
                if is_list && !has_ids && !name.ends_with("Connection") && !ERRORS.contains(&name.as_str()) {
                    lists.push((name.clone(), field.name.node.to_string()));
                }
            }
        }
        lists.sort();
        let known = LISTS.iter().map(|(name, field, _)| ((*name).to_owned(), (*field).to_owned()));
        assert_eq!(lists, known.collect::<Vec<_>>());
    }
}
