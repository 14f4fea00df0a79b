//! The cache of parsed documents and execution plans.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{DocumentOperations, Field, OperationType};
use async_graphql::{Extensions, Name, Request, Response, ServerError, Value, Variables};
use moka::sync::Cache;

use super::build::build;
use super::complete::complete;
use super::document::{Document, OperationDefinition};
use super::errors::{invalid_input, too_complex};
use super::introspection::take_introspection;
use super::limits::Limits;
use super::operation::Operation;
use super::parser::parse;
use super::persisted::{self, DocumentHash};
use super::plan::{Plan, PlannedField, PlannedFields, plan_operation};
use super::types::{Lists, SchemaError, Types};
use super::validate::validate;
use super::variables::{VariableValues, coerce_variable_values};
use crate::graphql::budget::Budget;

/// Memory limit of the parsed documents, in bytes.
const DOCUMENT_BYTES: u64 = 32 << 20;
/// Memory limit of the plans, in bytes.
const PLAN_BYTES: u64 = 32 << 20;
/// The approximate memory of one field of a plan, in bytes.
const FIELD_WEIGHT: usize = 160;
/// The memory of one cache entry in addition to its content, in bytes.
const ENTRY_WEIGHT: usize = 512;

/// Parses, validates and plans the documents of one schema. Clones share their caches.
#[derive(Clone)]
pub struct Documents(Arc<Inner>);

struct Inner {
    types: Types,
    limits: Limits,
    /// Documents that were executed within all limits. Admission is by frequency (TinyLFU), so many new documents do
    /// not evict those that clients send often.
    documents: Cache<DocumentHash, Arc<Document>>,
    plans: Cache<PlanKey, Arc<Plan>>,
}

/// The cache key of a plan: the operation and the values of its `@skip` and `@include` variables.
#[derive(PartialEq, Eq, Hash)]
struct PlanKey {
    document: u64,
    operation: usize,
    condition_values: Box<[bool]>,
}

/// The state of a request that is needed after its execution has started.
pub struct PreparedRequest {
    inner: Arc<Inner>,
    plan: Arc<Plan>,
    /// The values with which a subscription can be executed again. None if they are too large to be kept.
    variables: Option<VariableValues>,
    /// The budget of the request.
    pub budget: Arc<Budget>,
    /// The root fields that are introspection.
    pub(super) introspection: Vec<Field>,
    /// Whether the request has other root fields.
    pub(super) has_fields: bool,
}

impl Documents {
    /// For the schema in `sdl`, as async-graphql prints it.
    ///
    /// # Errors
    /// The SDL does not parse.
    pub fn new(sdl: &str, limits: Limits) -> Result<Self, SchemaError> {
        Self::with_lists(sdl, &[], limits)
    }

    /// Like [`Documents::new`], with the maximum lengths of the schema's lists.
    ///
    /// # Errors
    /// The SDL does not parse.
    pub fn with_lists(sdl: &str, lists: Lists<'_>, limits: Limits) -> Result<Self, SchemaError> {
        let documents = Cache::builder()
            .max_capacity(DOCUMENT_BYTES)
            .weigher(|_: &DocumentHash, document: &Arc<Document>| {
                u32::try_from(document.weight + ENTRY_WEIGHT).unwrap_or(u32::MAX)
            })
            .build();
        let plans = Cache::builder()
            .max_capacity(PLAN_BYTES)
            .weigher(|key: &PlanKey, plan: &Arc<Plan>| {
                let weight = plan.root.size.fields * FIELD_WEIGHT + key.condition_values.len() + ENTRY_WEIGHT;
                u32::try_from(weight).unwrap_or(u32::MAX)
            })
            .build();
        let types = Types::parse(sdl, lists)?;
        Ok(Self(Arc::new(Inner { types, limits, documents, plans })))
    }

    /// Returns the document of a request, by its text or by the hash in its extensions. If both are present, they must
    /// match. It comes from the cache, or is newly parsed and validated.
    ///
    /// # Errors
    /// INVALID_DOCUMENT if the document is not valid against the schema, QUERY_TOO_COMPLEX if it exceeds a limit;
    /// PERSISTED_QUERY_NOT_FOUND if only the hash is given and it is not cached; INVALID_INPUT if the hash is malformed
    /// or does not match the text.
    pub fn find(&self, text: &str, extensions: &Extensions) -> Result<Arc<Document>, Vec<ServerError>> {
        match DocumentHash::named_in(extensions).map_err(|error| vec![error])? {
            Some(hash) if text.is_empty() => self.0.documents.get(&hash).ok_or_else(|| vec![persisted::not_found()]),
            named => self.parse(text, named),
        }
    }

    fn parse(&self, text: &str, named: Option<DocumentHash>) -> Result<Arc<Document>, Vec<ServerError>> {
        let inner = &*self.0;
        if text.len() > inner.limits.bytes {
            return Err(vec![*too_complex("The document is too long.", None)]);
        }
        let hash = DocumentHash::of(text);
        if named.is_some_and(|named| named != hash) {
            return Err(vec![persisted::mismatch()]);
        }
        if let Some(document) = inner.documents.get(&hash) {
            return Ok(document);
        }
        let source = parse(text, &inner.limits).map_err(|refusal| vec![*refusal])?;
        Ok(Arc::new(validate(source, hash, &inner.types, &inner.limits)?))
    }

    /// Selects the operation of a document, which [`Documents::find`] has returned, and gives it a budget.
    ///
    /// # Errors
    /// No operation has the given name, or there are several operations and no name.
    pub fn operation(
        &self,
        document: Arc<Document>,
        name: Option<&str>,
        variables: Variables,
    ) -> Result<Operation, ServerError> {
        let index = document.operation_index(name)?;
        Ok(Operation { document, index, variables, budget: Arc::new(self.0.limits.budget()) })
    }

    /// Prepares an operation for execution by async-graphql. The request has no data.
    ///
    /// # Errors
    /// The variables are invalid, or they exceed a limit.
    pub fn prepare(&self, operation: Operation) -> Result<(Request, Arc<PreparedRequest>), Vec<ServerError>> {
        let Operation { document, index, variables, budget } = operation;
        let operation = &document.operations[index];
        let inner = &*self.0;
        let variables = coerce_variable_values(&inner.types, &operation.variables, variables)?;
        let plan = self.plan(&document, index, operation, &variables)?;
        let mut executable = build(&plan, &inner.types, &variables, &inner.limits).map_err(|refusal| vec![*refusal])?;
        let (mut introspection, mut has_fields) = (Vec::new(), true);
        if let DocumentOperations::Single(executed) = &mut executable.operations {
            let selection = &mut executed.node.selection_set.node;
            introspection = take_introspection(selection);
            has_fields = !selection.items.is_empty();
            let drawn = budget.selection(selection);
            drawn.map_err(|_| vec![*too_complex("The query is too complex.", Some(operation.pos))])?;
        }
        let mut request = Request::new("");
        request.set_parsed_query(executable);
        // Cached only now that the document is also within the limits that depend on variables.
        if !document.is_cached.swap(true, Ordering::Relaxed) {
            inner.documents.insert(document.hash, document);
        }
        let is_kept =
            plan.kind == OperationType::Subscription && variables.total_bytes() <= inner.limits.subscription_bytes;
        let variables = is_kept.then_some(variables);
        let prepared = PreparedRequest { inner: self.0.clone(), plan, variables, budget, introspection, has_fields };
        Ok((request, Arc::new(prepared)))
    }

    fn plan(
        &self,
        document: &Document,
        index: usize,
        operation: &OperationDefinition,
        variables: &VariableValues,
    ) -> Result<Arc<Plan>, Vec<ServerError>> {
        let inner = &*self.0;
        let condition_values = condition_values(operation, variables)?;
        let key = PlanKey {
            document: document.serial,
            operation: index,
            condition_values: condition_values.iter().map(|(_, on)| *on).collect(),
        };
        if let Some(plan) = inner.plans.get(&key) {
            return Ok(plan);
        }
        let condition_values: HashMap<&Name, bool> = condition_values.into_iter().collect();
        let plan = plan_operation(operation, &document.sets, &inner.types, &inner.limits, &condition_values);
        let plan = Arc::new(plan.map_err(|refusal| vec![*refusal])?);
        inner.plans.insert(key, plan.clone());
        Ok(plan)
    }
}

/// The values of the variables of an operation's `@skip` and `@include`. Validation guarantees booleans, except for an
/// explicit null for a variable with a default.
fn condition_values<'a>(
    operation: &'a OperationDefinition,
    variables: &VariableValues,
) -> Result<Vec<(&'a Name, bool)>, Vec<ServerError>> {
    let value = |name: &'a Name| match variables.get(name) {
        Some(Value::Boolean(value)) => Ok((name, *value)),
        _ => {
            let message = format!("Variable \"${name}\" is used in @skip or @include and must not be null.");
            Err(vec![*invalid_input(message, operation.pos)])
        }
    };
    operation.condition_variables.iter().map(value).collect()
}

impl PreparedRequest {
    /// Whether the request is a subscription that can be executed again.
    pub fn is_repeatable(&self) -> bool {
        self.variables.is_some()
    }

    /// A request that executes the same subscription again, without data. It is not charged to the budget.
    ///
    /// # Errors
    /// The request is not repeatable.
    pub fn repeat(&self) -> Result<Request, Vec<ServerError>> {
        let not_kept = || vec![*too_complex("The variables of the subscription are too large.", Some(self.plan.pos))];
        let variables = self.variables.as_ref().ok_or_else(not_kept)?;
        let executable = build(&self.plan, &self.inner.types, variables, &self.inner.limits);
        let mut request = Request::new("");
        request.set_parsed_query(executable.map_err(|refusal| vec![*refusal])?);
        Ok(request)
    }

    /// The response key and the name of the only root field. None if there are several.
    pub fn root_field(&self) -> Option<(&str, &str)> {
        self.only_root().map(PlannedField::key_and_name)
    }

    /// The response keys and the names of the fields that are selected below the only root field, on an object of type
    /// `object`, in the order of the response.
    pub fn fields_of_root<'a>(&'a self, object: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let selection = self.only_root().and_then(|root| root.selection.as_deref());
        let fields = selection.map_or(&[][..], |selection| selection.fields_of(object));
        fields.iter().map(PlannedField::key_and_name)
    }

    fn only_root(&self) -> Option<&PlannedField> {
        match &self.plan.root.fields {
            PlannedFields::OfObject(fields) => {
                <&[PlannedField; 1]>::try_from(fields.as_slice()).ok().map(|[root]| root)
            }
            PlannedFields::ByType(_) => None,
        }
    }

    /// Completes an executed response as the specification requires.
    pub(super) fn complete(&self, response: &mut Response) {
        complete(&self.plan, &self.inner.types, response);
    }

    /// Adds the introspection to the response of the other fields, unless that is a request error.
    pub(super) fn add(&self, response: &mut Response, introspected: IndexMap<Name, Value>) {
        let is_executed = response.errors.iter().all(|error| !error.path.is_empty());
        match &mut response.data {
            Value::Object(data) => data.extend(introspected),
            data @ Value::Null if is_executed => *data = Value::Object(introspected),
            _ => {}
        }
    }

    /// Whether the request has used up its budget and is stopped. Mutations are not stopped, because their effects have
    /// already happened.
    pub fn is_exhausted(&self) -> bool {
        self.plan.kind != OperationType::Mutation && self.budget.is_exceeded()
    }

    /// The response of a request that has used up its budget.
    pub fn exhausted(&self) -> Response {
        let message = "The request exceeds its budget.";
        Response::from_errors(vec![*too_complex(message, Some(self.plan.pos))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(documents: &Documents, text: &str) -> Result<(), Vec<ServerError>> {
        let document = documents.find(text, &Extensions::default())?;
        documents.prepare(documents.operation(document, None, Variables::default())?).map(drop)
    }

    fn is_cached(documents: &Documents, text: &str) -> bool {
        documents.0.documents.contains_key(&DocumentHash::of(text))
    }

    #[test]
    fn caches_documents_within_every_limit() {
        let limits = Limits { aliases: 1, ..Limits::default() };
        let documents = Documents::new("type Query { a: Int }", limits).unwrap();
        assert!(run(&documents, "{ x: a }").is_ok() && is_cached(&documents, "{ x: a }"));
        for bad in ["{", "{ b }", "{ x: a y: a }"] {
            assert!(run(&documents, bad).is_err() && !is_cached(&documents, bad), "{bad}");
        }
        assert!(
            documents.find("{ a }", &Extensions::default()).is_ok() && !is_cached(&documents, "{ a }"),
            "it has not been executed yet"
        );
    }

    #[test]
    fn a_flood_of_documents_is_limited_and_keeps_frequent_ones() {
        let documents = Documents::new("type Query { a: Int }", Limits::default()).unwrap();
        let used = "query Used { a }";
        let large = format!("{{ {}}}", "a ".repeat(9_000));
        for n in 0..60 {
            run(&documents, &format!("{large}{}", " ".repeat(n))).unwrap();
            run(&documents, used).unwrap();
        }
        documents.0.documents.run_pending_tasks();
        let bytes = documents.0.documents.weighted_size();
        assert!(bytes > DOCUMENT_BYTES / 2 && bytes <= DOCUMENT_BYTES, "{bytes}");
        assert!(is_cached(&documents, used));
    }
}
