//! The types of a schema, reduced to the parts that validation and planning need.

use std::collections::{HashMap, HashSet};

use async_graphql::Name;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, OperationType, Type, TypeKind, TypeSystemDefinition,
};

/// An argument or an input field.
#[derive(Debug, Clone)]
pub(super) struct InputValue {
    pub(super) ty: Type,
    pub(super) has_default: bool,
}

impl InputValue {
    /// Whether a value is required.
    pub(super) fn is_required(&self) -> bool {
        !self.ty.nullable && !self.has_default
    }
}

/// A field of a composite type.
#[derive(Debug, Clone)]
pub(super) struct OutputField {
    pub(super) ty: Type,
    pub(super) arguments: HashMap<Name, InputValue>,
    /// The maximum length of its list, for a list type.
    pub(super) max_length: u64,
}

/// The definition of a named type.
#[derive(Debug)]
pub(super) enum TypeDefinition {
    Scalar,
    Enum(HashSet<Name>),
    InputObject {
        fields: HashMap<Name, InputValue>,
        is_one_of: bool,
    },
    /// An object, interface or union type. A union has no fields of its own.
    Composite {
        fields: HashMap<Name, OutputField>,
        is_object: bool,
    },
}

/// The types of a schema, by name.
#[derive(Debug)]
pub(super) struct Types {
    description: Option<String>,
    definitions: HashMap<Name, TypeDefinition>,
    /// The possible object types of each composite type, in alphabetical order.
    possible_types: HashMap<Name, Vec<Name>>,
    roots: [Option<Name>; 3],
    typename: OutputField,
}

/// Maximum lengths of lists without pagination: type, field, length.
pub type Lists<'a> = &'a [(&'a str, &'a str, u64)];

/// The assumed length of a list whose maximum is not known.
const UNKNOWN_LIST: u64 = 10;

/// The schema's SDL does not parse.
#[derive(Debug, thiserror::Error)]
#[error("the schema does not parse")]
pub struct SchemaError(#[from] async_graphql::parser::Error);

/// The description of the schema, and the SDL without it, which async-graphql's parser does not accept
/// (<https://spec.graphql.org/October2021/#SchemaDefinition>).
fn split(sdl: &str) -> (Option<&str>, String) {
    const QUOTES: &str = "\"\"\"\n";
    let parts = sdl.split_once(&format!("{QUOTES}schema {{")).and_then(|(before, roots)| {
        let (before, description) = before.rsplit_once(QUOTES)?;
        Some((Some(description.trim_end()), format!("{before}schema {{{roots}")))
    });
    parts.unwrap_or_else(|| (None, sdl.to_owned()))
}

/// The SDL without the description of the schema, for async-graphql's parser.
pub fn definitions(sdl: &str) -> String {
    split(sdl).1
}

impl Types {
    /// Parses an SDL that async-graphql printed.
    pub(super) fn parse(sdl: &str, lists: Lists<'_>) -> Result<Self, SchemaError> {
        let (description, definitions) = split(sdl);
        let mut types = Self {
            description: description.map(str::to_owned),
            definitions: HashMap::new(),
            possible_types: HashMap::new(),
            roots: [Some(Name::new("Query")), None, None],
            typename: OutputField { ty: required("String"), arguments: HashMap::new(), max_length: 1 },
        };
        for scalar in ["Int", "Float", "String", "Boolean", "ID"] {
            types.definitions.insert(Name::new(scalar), TypeDefinition::Scalar);
        }
        for text in [definitions.as_str(), include_str!("introspection.graphql")] {
            for definition in parse_schema(text)?.definitions {
                types.add(definition);
            }
        }
        for members in types.possible_types.values_mut() {
            members.sort();
        }
        for (name, field, max_length) in lists {
            if let Some(TypeDefinition::Composite { fields, .. }) = types.definitions.get_mut(*name)
                && let Some(field) = fields.get_mut(*field)
            {
                field.max_length = *max_length;
            }
        }
        types.add_introspection();
        Ok(types)
    }

    fn add(&mut self, definition: TypeSystemDefinition) {
        match definition {
            TypeSystemDefinition::Schema(schema) => {
                let schema = schema.node;
                self.roots =
                    [schema.query, schema.mutation, schema.subscription].map(|name| name.map(|name| name.node));
            }
            TypeSystemDefinition::Type(definition) => {
                let definition = definition.node;
                let name = definition.name.node;
                let kind = match definition.kind {
                    TypeKind::Scalar => TypeDefinition::Scalar,
                    TypeKind::Enum(kind) => {
                        TypeDefinition::Enum(kind.values.into_iter().map(|value| value.node.value.node).collect())
                    }
                    TypeKind::InputObject(kind) => TypeDefinition::InputObject {
                        fields: kind.fields.into_iter().map(|field| input(field.node)).collect(),
                        is_one_of: definition.directives.iter().any(|directive| directive.node.name.node == "oneOf"),
                    },
                    TypeKind::Object(kind) => {
                        for interface in kind.implements {
                            self.possible_types.entry(interface.node).or_default().push(name.clone());
                        }
                        self.possible_types.insert(name.clone(), vec![name.clone()]);
                        let fields = kind.fields.into_iter().map(|field| output(field.node)).collect();
                        TypeDefinition::Composite { fields, is_object: true }
                    }
                    TypeKind::Interface(kind) => {
                        self.possible_types.entry(name.clone()).or_default();
                        let fields = kind.fields.into_iter().map(|field| output(field.node)).collect();
                        TypeDefinition::Composite { fields, is_object: false }
                    }
                    TypeKind::Union(kind) => {
                        let members = kind.members.into_iter().map(|member| member.node).collect();
                        self.possible_types.insert(name.clone(), members);
                        TypeDefinition::Composite { fields: HashMap::new(), is_object: false }
                    }
                };
                self.definitions.insert(name, kind);
            }
            TypeSystemDefinition::Directive(_) => {}
        }
    }

    fn add_introspection(&mut self) {
        let Some(query) = self.roots[0].clone() else { return };
        if let Some(TypeDefinition::Composite { fields, .. }) = self.definitions.get_mut(&query) {
            let schema = OutputField { ty: required("__Schema"), arguments: HashMap::new(), max_length: 1 };
            fields.insert(Name::new("__schema"), schema);
            let name = InputValue { ty: required("String"), has_default: false };
            let of_name = OutputField {
                ty: nullable("__Type"),
                arguments: HashMap::from([(Name::new("name"), name)]),
                max_length: 1,
            };
            fields.insert(Name::new("__type"), of_name);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&TypeDefinition> {
        self.definitions.get(name)
    }

    /// The number of types.
    pub(super) fn len(&self) -> usize {
        self.definitions.len()
    }

    pub(super) fn root(&self, operation: OperationType) -> Option<&Name> {
        let [query, mutation, subscription] = &self.roots;
        match operation {
            OperationType::Query => query.as_ref(),
            OperationType::Mutation => mutation.as_ref(),
            OperationType::Subscription => subscription.as_ref(),
        }
    }

    /// The description of the schema, if it has one.
    pub(super) fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// A field of a composite type.
    pub(super) fn field(&self, parent: &str, name: &str) -> Option<&OutputField> {
        if name == "__typename" {
            return Some(&self.typename);
        }
        match self.get(parent)? {
            TypeDefinition::Composite { fields, .. } => fields.get(name),
            TypeDefinition::Scalar | TypeDefinition::Enum(_) | TypeDefinition::InputObject { .. } => None,
        }
    }

    /// The possible object types of a type (<https://spec.graphql.org/October2021/#GetPossibleTypes()>); none if it is
    /// not composite.
    pub(super) fn possible_types(&self, name: &str) -> &[Name] {
        self.possible_types.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_composite(&self, name: &str) -> bool {
        matches!(self.get(name), Some(TypeDefinition::Composite { .. }))
    }

    pub(super) fn is_object(&self, name: &str) -> bool {
        matches!(self.get(name), Some(TypeDefinition::Composite { is_object: true, .. }))
    }

    /// Whether an object can be of both types.
    pub(super) fn can_overlap(&self, one: &str, other: &str) -> bool {
        one == other
            || self.possible_types(one).iter().any(|name| self.possible_types(other).binary_search(name).is_ok())
    }

    pub(super) fn is_input(&self, name: &str) -> bool {
        self.get(name).is_some_and(|definition| !matches!(definition, TypeDefinition::Composite { .. }))
    }

    /// Whether a type is a connection of the Relay cursor connections specification.
    pub(super) fn is_connection(&self, name: &str) -> bool {
        name.ends_with("Connection") && self.field(name, "pageInfo").is_some()
    }
}

/// The named type inside lists.
pub(super) fn inner_named_type(ty: &Type) -> &Name {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => inner_named_type(inner),
    }
}

fn required(name: &str) -> Type {
    Type { base: BaseType::Named(Name::new(name)), nullable: false }
}

fn nullable(name: &str) -> Type {
    Type { base: BaseType::Named(Name::new(name)), nullable: true }
}

fn input(definition: InputValueDefinition) -> (Name, InputValue) {
    let input = InputValue { ty: definition.ty.node, has_default: definition.default_value.is_some() };
    (definition.name.node, input)
}

fn output(definition: FieldDefinition) -> (Name, OutputField) {
    let arguments = definition.arguments.into_iter().map(|argument| input(argument.node)).collect();
    (definition.name.node, OutputField { ty: definition.ty.node, arguments, max_length: UNKNOWN_LIST })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_product_schema() {
        let types = Types::parse(&crate::graphql::schema::sdl(), &[]).unwrap();
        assert!(types.possible_types("Node").iter().any(|name| name == "Chat"));
        assert!(types.can_overlap("Node", "Chat") && !types.can_overlap("User", "Chat"));
        assert!(types.is_connection("ChatConnection") && !types.is_connection("Chat"));
        assert_eq!(types.field("Query", "__schema").unwrap().ty.to_string(), "__Schema!");
        assert_eq!(types.field("Chat", "__typename").unwrap().ty.to_string(), "String!");
        assert!(matches!(types.get("ErrorCode"), Some(TypeDefinition::Enum(values)) if values.contains("CONFLICT")));
        assert_eq!(types.root(OperationType::Mutation).unwrap(), "Mutation");
    }

    /// A field that is missing here but present in async-graphql's introspection would be refused.
    #[test]
    fn has_all_introspection_fields() {
        let schema =
            async_graphql::Schema::build(Empty, async_graphql::EmptyMutation, async_graphql::EmptySubscription);
        let types = Types::parse(&schema.finish().sdl(), &[]).unwrap();
        let schema = async_graphql::Schema::new(Empty, async_graphql::EmptyMutation, async_graphql::EmptySubscription);
        let document = "{ __schema { types { name fields { name args { name } } } } }";
        let answer = futures_util::FutureExt::now_or_never(schema.execute(document)).unwrap();
        let answer = serde_json::to_value(&answer.data).unwrap();
        let of_introspection = |found: &&serde_json::Value| found["name"].as_str().unwrap().starts_with("__");
        let mut count = 0;
        for found in answer["__schema"]["types"].as_array().unwrap().iter().filter(of_introspection) {
            for field in found["fields"].as_array().into_iter().flatten() {
                let (parent, name) = (found["name"].as_str().unwrap(), field["name"].as_str().unwrap());
                let known = types.field(parent, name).unwrap_or_else(|| panic!("{parent}.{name} is unknown"));
                assert_eq!(known.arguments.len(), field["args"].as_array().unwrap().len(), "{parent}.{name}");
                count += 1;
            }
        }
        assert!(count > 30);
    }

    struct Empty;

    #[async_graphql::Object(name = "Query")]
    impl Empty {
        async fn nothing(&self) -> bool {
            false
        }
    }
}
