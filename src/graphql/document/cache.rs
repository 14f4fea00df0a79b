//! The documents that clients send again and again.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_graphql::parser::types::OperationType;
use async_graphql::{Extensions, Name, Request, Response, ServerError, Value};
use moka::sync::Cache;

use super::build::build;
use super::complete::complete;
use super::document::{Document, Operation};
use super::errors::{invalid_input, too_complex};
use super::limits::Limits;
use super::merge::{self, Plan};
use super::parser::parse;
use super::persisted::{self, DocumentHash};
use super::types::{Lists, SchemaError, Types};
use super::validate::validate;
use super::variables::Coerced;
use crate::graphql::budget::Budget;

/// How much memory parsed documents may take, in bytes.
const DOCUMENT_BYTES: u64 = 32 << 20;
/// How much memory plans may take, in bytes.
const PLAN_BYTES: u64 = 32 << 20;
/// About what a field of a plan takes, in bytes.
const FIELD_WEIGHT: usize = 160;
/// What an entry takes beside its content, in bytes.
const ENTRY_WEIGHT: usize = 512;

/// Prepares the documents of one schema. Clones share what they know.
#[derive(Clone)]
pub struct Documents(Arc<Inner>);

struct Inner {
    types: Types,
    limits: Limits,
    /// Those that were asked for within all limits. A flood of new ones pushes none out that clients send often: what is
    /// admitted is weighed by how often it was asked for (TinyLFU).
    documents: Cache<DocumentHash, Arc<Document>>,
    plans: Cache<PlanKey, Arc<Plan>>,
}

/// A plan follows from the operation and from what its switches are.
#[derive(PartialEq, Eq, Hash)]
struct PlanKey {
    document: u64,
    operation: usize,
    switches: Box<[bool]>,
}

/// What is to be known of a request after its execution.
#[derive(Clone)]
pub(super) struct Prepared {
    inner: Arc<Inner>,
    plan: Arc<Plan>,
    pub(super) budget: Arc<Budget>,
}

impl Documents {
    /// For the schema of this text, as async-graphql prints it.
    ///
    /// # Errors
    /// The text does not parse.
    pub fn new(sdl: &str, limits: Limits) -> Result<Self, SchemaError> {
        Self::with_lists(sdl, &[], limits)
    }

    /// The same with what is known about the lists of the schema.
    ///
    /// # Errors
    /// The text does not parse.
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
                let weight = plan.root.size.fields * FIELD_WEIGHT + key.switches.len() + ENTRY_WEIGHT;
                u32::try_from(weight).unwrap_or(u32::MAX)
            })
            .build();
        let types = Types::parse(sdl, lists)?;
        Ok(Self(Arc::new(Inner { types, limits, documents, plans })))
    }

    /// What a request for one of the documents may use.
    pub fn budget(&self) -> Arc<Budget> {
        Arc::new(self.0.limits.budget())
    }

    /// The document of a request: that of its text, or that of the hash which stands for a text among its extensions. With
    /// both, they must agree.
    ///
    /// # Errors
    /// As [`Documents::parse`]; PERSISTED_QUERY_NOT_FOUND for a hash alone that is not known here, INVALID_INPUT for one that is
    /// ill-typed or of another text.
    pub fn find(&self, text: &str, extensions: &Extensions) -> Result<Arc<Document>, Vec<ServerError>> {
        match DocumentHash::named_in(extensions).map_err(|error| vec![error])? {
            Some(hash) if text.is_empty() => self.0.documents.get(&hash).ok_or_else(|| vec![persisted::not_found()]),
            named => self.parse_named(text, named),
        }
    }

    /// The document of a text, from the cache or parsed and validated now.
    ///
    /// # Errors
    /// INVALID_DOCUMENT for what is no valid document of the schema, QUERY_TOO_COMPLEX for one beyond the limits.
    pub fn parse(&self, text: &str) -> Result<Arc<Document>, Vec<ServerError>> {
        self.parse_named(text, None)
    }

    fn parse_named(&self, text: &str, named: Option<DocumentHash>) -> Result<Arc<Document>, Vec<ServerError>> {
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

    /// Makes a request one that async-graphql executes exactly. Its document may be among its data already, from
    /// [`Documents::parse`] of these `Documents`.
    pub(super) fn prepare(&self, mut request: Request) -> Result<(Request, Prepared), Vec<ServerError>> {
        let parsed =
            request.data.get(&TypeId::of::<Arc<Document>>()).and_then(|data| data.downcast_ref::<Arc<Document>>());
        let document = match parsed {
            Some(document) => document.clone(),
            None => self.parse(&request.query)?,
        };
        let name = request.operation_name.take();
        let index = document.operation_index(name.as_deref()).map_err(|error| vec![error])?;
        let operation = &document.operations[index];
        let inner = &*self.0;
        let given = std::mem::take(&mut request.variables);
        let variables = Coerced::new(&inner.types, &operation.variables, given)?;
        let plan = self.plan(&document, index, operation, &variables)?;
        let executable = build(&plan, &inner.types, &variables, &inner.limits).map_err(|refusal| vec![*refusal])?;
        let budget = self.budget_of(&mut request);
        let selection = executable.operations.iter().next().map(|(_, operation)| &operation.node.selection_set.node);
        let drawn = selection.map_or(Ok(()), |selection| budget.selection(selection));
        drawn.map_err(|_| vec![*too_complex("The query is too complex.", Some(operation.pos))])?;
        request.set_parsed_query(executable);
        // Only now is it known to be within the limits that depend on variables, too.
        if !document.is_kept.swap(true, Ordering::Relaxed) {
            inner.documents.insert(document.hash, document);
        }
        Ok((request, Prepared { inner: self.0.clone(), plan, budget }))
    }

    /// The budget among a request's data; a whole one where there is none.
    fn budget_of(&self, request: &mut Request) -> Arc<Budget> {
        let given = request.data.get(&TypeId::of::<Arc<Budget>>()).and_then(|data| data.downcast_ref::<Arc<Budget>>());
        if let Some(budget) = given {
            return budget.clone();
        }
        let budget = self.budget();
        request.data.insert(budget.clone());
        budget
    }

    fn plan(
        &self,
        document: &Document,
        index: usize,
        operation: &Operation,
        variables: &Coerced,
    ) -> Result<Arc<Plan>, Vec<ServerError>> {
        let inner = &*self.0;
        let switches = switches(operation, variables)?;
        let key = PlanKey {
            document: document.serial,
            operation: index,
            switches: switches.iter().map(|(_, on)| *on).collect(),
        };
        if let Some(plan) = inner.plans.get(&key) {
            return Ok(plan);
        }
        let switches: HashMap<&Name, bool> = switches.into_iter().collect();
        let plan = merge::merge(operation, &document.sets, &inner.types, &inner.limits, &switches);
        let plan = Arc::new(plan.map_err(|refusal| vec![*refusal])?);
        inner.plans.insert(key, plan.clone());
        Ok(plan)
    }
}

/// The values of an operation's switches. Validation saw to it that they are booleans; only a null may have been given for one
/// that has a default.
fn switches<'a>(operation: &'a Operation, variables: &Coerced) -> Result<Vec<(&'a Name, bool)>, Vec<ServerError>> {
    let value = |name: &'a Name| match variables.get(name) {
        Some(Value::Boolean(value)) => Ok((name, *value)),
        _ => {
            let message = format!("Variable \"${name}\" decides what is asked for, and cannot be null.");
            Err(vec![*invalid_input(message, operation.pos)])
        }
    };
    operation.switches.iter().map(value).collect()
}

impl Prepared {
    /// Makes what was executed what the specification says.
    pub(super) fn complete(&self, response: &mut Response) {
        complete(&self.plan, &self.inner.types, response);
    }

    /// Whether the operation ends here. A mutation does not: what it did, it did.
    pub(super) fn is_exhausted(&self) -> bool {
        self.plan.kind != OperationType::Mutation && self.budget.is_exceeded()
    }

    /// The answer of an operation that asked for too much.
    pub(super) fn exhausted(&self) -> Response {
        let message = "The request asks for too much at once.";
        Response::from_errors(vec![*too_complex(message, Some(self.plan.pos))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(documents: &Documents, text: &str) -> Result<(), Vec<ServerError>> {
        documents.prepare(Request::new(text)).map(drop)
    }

    fn is_kept(documents: &Documents, text: &str) -> bool {
        documents.0.documents.contains_key(&DocumentHash::of(text))
    }

    #[test]
    fn keeps_what_was_within_every_limit() {
        let limits = Limits { aliases: 1, ..Limits::default() };
        let documents = Documents::new("type Query { a: Int }", limits).unwrap();
        assert!(run(&documents, "{ x: a }").is_ok() && is_kept(&documents, "{ x: a }"));
        for bad in ["{", "{ b }", "{ x: a y: a }"] {
            assert!(run(&documents, bad).is_err() && !is_kept(&documents, bad), "{bad}");
        }
        assert!(documents.parse("{ a }").is_ok() && !is_kept(&documents, "{ a }"), "nobody has run it yet");
    }

    #[test]
    fn a_flood_takes_no_more_than_its_bytes_and_leaves_what_is_in_use() {
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
        assert!(is_kept(&documents, used));
    }
}
