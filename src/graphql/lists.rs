//! The maximum length of each list field in the schema, used by the complexity estimate of documents. Connections are
//! bounded by their page size and `nodes` by its IDs.

use crate::domain::accounts::{MAX_ROLES, MAX_ROLES_OF_USER, MAX_SESSIONS, MAX_TOKENS};
use crate::domain::chats::MAX_SIBLINGS;
use crate::domain::direct_messages::MAX_BLOCKED;
use crate::domain::tags::MAX_TAGS;
use crate::domain::usage::MAX_STEPS;
use crate::entity::enums::{Permission, TokenScope};
use crate::graphql::document::Lists;

/// Type, field, maximum length. For `parts`, `models`, `variables` and `PromptPreview.messages` it is a typical
/// maximum, because nothing bounds them; the budget counts their actual length. For `usage` it is the number of time
/// steps.
pub const LISTS: Lists<'static> = &[
    ("Admin", "roles", MAX_ROLES),
    ("Admin", "usage", MAX_STEPS as u64),
    ("Character", "tags", MAX_TAGS as u64),
    ("Message", "children", MAX_SIBLINGS),
    ("Message", "parts", 10),
    ("Message", "siblings", MAX_SIBLINGS),
    ("PersonalAccessToken", "scopes", TokenScope::ALL.len() as u64),
    ("Prompt", "tags", MAX_TAGS as u64),
    ("Prompt", "variables", 10),
    ("PromptPreview", "messages", 100),
    ("Query", "models", 50),
    ("Role", "permissions", Permission::ALL.len() as u64),
    ("User", "blockedUsers", MAX_BLOCKED),
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
    use crate::graphql::document::definitions;

    /// Types that describe errors and that no field returns.
    const ERROR_TYPES: [&str; 2] = ["ErrorExtensions", "FieldError"];

    #[test]
    fn every_list_field_has_a_maximum_length() {
        let mut lists = Vec::new();
        for definition in parse_schema(definitions(&crate::graphql::schema::sdl())).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let TypeKind::Object(object) = &definition.node.kind else { continue };
            let name = definition.node.name.node.to_string();
            for field in object.fields.iter().map(|field| &field.node) {
                let is_list = matches!(field.ty.node.base, BaseType::List(_));
                let has_ids = field.arguments.iter().any(|argument| argument.node.name.node == "ids");
                if is_list && !has_ids && !name.ends_with("Connection") && !ERROR_TYPES.contains(&name.as_str()) {
                    lists.push((name.clone(), field.name.node.to_string()));
                }
            }
        }
        lists.sort();
        let known = LISTS.iter().map(|(name, field, _)| ((*name).to_owned(), (*field).to_owned()));
        assert_eq!(lists, known.collect::<Vec<_>>());
    }
}
