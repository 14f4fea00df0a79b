//! The types of a schema, as this layer needs them.

use std::collections::{HashMap, HashSet};

use async_graphql::Name;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, OperationType, Type, TypeKind, TypeSystemDefinition,
};

/// An argument or an input field.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) ty: Type,
    pub(super) has_default: bool,
}

impl Input {
    /// Whether it must be given.
    pub(super) fn is_required(&self) -> bool {
        !self.ty.nullable && !self.has_default
    }
}

/// A field that can be asked for.
#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) ty: Type,
    pub(super) arguments: HashMap<Name, Input>,
    /// How long it is at most, if it is a list.
    pub(super) longest: u64,
}

/// What a name of the schema stands for.
#[derive(Debug)]
pub(super) enum Definition {
    Scalar,
    Enum(HashSet<Name>),
    InputObject {
        fields: HashMap<Name, Input>,
        is_one_of: bool,
    },
    /// An object, an interface or a union, which has no fields of its own.
    Composite {
        fields: HashMap<Name, Output>,
        is_object: bool,
    },
}

/// The types of a schema by name.
#[derive(Debug)]
pub(super) struct Types {
    definitions: HashMap<Name, Definition>,
    /// The object types that each composite type may be at run time, in alphabetical order.
    possible: HashMap<Name, Vec<Name>>,
    roots: [Option<Name>; 3],
    typename: Output,
}

/// How long lists without pages are at most: type, field, entries.
pub type Lists<'a> = &'a [(&'a str, &'a str, u64)];

/// How long a list is taken to be that nobody knows.
const UNKNOWN_LIST: u64 = 10;

/// Why a text is no schema.
#[derive(Debug, thiserror::Error)]
#[error("the schema does not parse")]
pub struct SchemaError(#[from] async_graphql::parser::Error);

impl Types {
    /// Reads a schema as async-graphql prints it.
    pub(super) fn parse(sdl: &str, lists: Lists<'_>) -> Result<Self, SchemaError> {
        let mut types = Self {
            definitions: HashMap::new(),
            possible: HashMap::new(),
            roots: [Some(Name::new("Query")), None, None],
            typename: Output { ty: required("String"), arguments: HashMap::new(), longest: 1 },
        };
        for scalar in ["Int", "Float", "String", "Boolean", "ID"] {
            types.definitions.insert(Name::new(scalar), Definition::Scalar);
        }
        for text in [sdl, include_str!("introspection.graphql")] {
            for definition in parse_schema(text)?.definitions {
                types.add(definition);
            }
        }
        for members in types.possible.values_mut() {
            members.sort();
        }
        for (name, field, longest) in lists {
            if let Some(Definition::Composite { fields, .. }) = types.definitions.get_mut(*name)
                && let Some(field) = fields.get_mut(*field)
            {
                field.longest = *longest;
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
                    TypeKind::Scalar => Definition::Scalar,
                    TypeKind::Enum(kind) => {
                        Definition::Enum(kind.values.into_iter().map(|value| value.node.value.node).collect())
                    }
                    TypeKind::InputObject(kind) => Definition::InputObject {
                        fields: kind.fields.into_iter().map(|field| input(field.node)).collect(),
                        is_one_of: definition.directives.iter().any(|directive| directive.node.name.node == "oneOf"),
                    },
                    TypeKind::Object(kind) => {
                        for interface in kind.implements {
                            self.possible.entry(interface.node).or_default().push(name.clone());
                        }
                        self.possible.insert(name.clone(), vec![name.clone()]);
                        let fields = kind.fields.into_iter().map(|field| output(field.node)).collect();
                        Definition::Composite { fields, is_object: true }
                    }
                    TypeKind::Interface(kind) => {
                        self.possible.entry(name.clone()).or_default();
                        let fields = kind.fields.into_iter().map(|field| output(field.node)).collect();
                        Definition::Composite { fields, is_object: false }
                    }
                    TypeKind::Union(kind) => {
                        let members = kind.members.into_iter().map(|member| member.node).collect();
                        self.possible.insert(name.clone(), members);
                        Definition::Composite { fields: HashMap::new(), is_object: false }
                    }
                };
                self.definitions.insert(name, kind);
            }
            TypeSystemDefinition::Directive(_) => {}
        }
    }

    fn add_introspection(&mut self) {
        let Some(query) = self.roots[0].clone() else { return };
        if let Some(Definition::Composite { fields, .. }) = self.definitions.get_mut(&query) {
            let schema = Output { ty: required("__Schema"), arguments: HashMap::new(), longest: 1 };
            fields.insert(Name::new("__schema"), schema);
            let name = Input { ty: required("String"), has_default: false };
            let of_name =
                Output { ty: nullable("__Type"), arguments: HashMap::from([(Name::new("name"), name)]), longest: 1 };
            fields.insert(Name::new("__type"), of_name);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Definition> {
        self.definitions.get(name)
    }

    /// How many types there are.
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

    /// A field of a composite type.
    pub(super) fn field(&self, parent: &str, name: &str) -> Option<&Output> {
        if name == "__typename" {
            return Some(&self.typename);
        }
        match self.get(parent)? {
            Definition::Composite { fields, .. } => fields.get(name),
            Definition::Scalar | Definition::Enum(_) | Definition::InputObject { .. } => None,
        }
    }

    /// The object types that a type may be; none when it is not composite.
    pub(super) fn possible(&self, name: &str) -> &[Name] {
        self.possible.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_composite(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Definition::Composite { .. }))
    }

    pub(super) fn is_object(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Definition::Composite { is_object: true, .. }))
    }

    /// Whether something may be of both types.
    pub(super) fn overlap(&self, one: &str, other: &str) -> bool {
        one == other || self.possible(one).iter().any(|name| self.possible(other).binary_search(name).is_ok())
    }

    pub(super) fn is_input(&self, name: &str) -> bool {
        self.get(name).is_some_and(|definition| !matches!(definition, Definition::Composite { .. }))
    }

    /// Whether a type is a connection, as the Relay cursor specification has it.
    pub(super) fn is_connection(&self, name: &str) -> bool {
        name.ends_with("Connection") && self.field(name, "pageInfo").is_some()
    }
}

/// The type at the bottom of lists.
pub(super) fn named(ty: &Type) -> &Name {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

fn required(name: &str) -> Type {
    Type { base: BaseType::Named(Name::new(name)), nullable: false }
}

fn nullable(name: &str) -> Type {
    Type { base: BaseType::Named(Name::new(name)), nullable: true }
}

fn input(definition: InputValueDefinition) -> (Name, Input) {
    let input = Input { ty: definition.ty.node, has_default: definition.default_value.is_some() };
    (definition.name.node, input)
}

fn output(definition: FieldDefinition) -> (Name, Output) {
    let arguments = definition.arguments.into_iter().map(|argument| input(argument.node)).collect();
    (definition.name.node, Output { ty: definition.ty.node, arguments, longest: UNKNOWN_LIST })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_schema_of_the_product() {
        let types = Types::parse(&crate::graphql::schema::sdl(), &[]).unwrap();
        assert!(types.possible("Node").iter().any(|name| name == "Chat"));
        assert!(types.overlap("Node", "Chat") && !types.overlap("User", "Chat"));
        assert!(types.is_connection("ChatConnection") && !types.is_connection("Chat"));
        assert_eq!(types.field("Query", "__schema").unwrap().ty.to_string(), "__Schema!");
        assert_eq!(types.field("Chat", "__typename").unwrap().ty.to_string(), "String!");
        assert!(matches!(types.get("ErrorCode"), Some(Definition::Enum(values)) if values.contains("CONFLICT")));
        assert_eq!(types.root(OperationType::Mutation).unwrap(), "Mutation");
    }

    /// A field that async-graphql's introspection had and ours had not would be refused.
    #[test]
    fn knows_all_of_introspection() {
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
