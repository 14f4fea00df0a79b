//! The documents that clients send again and again.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Name, Request, Response, ServerError, Value};
use moka::sync::Cache;

use super::build::build;
use super::complete::complete;
use super::document::{Document, Operation};
use super::errors::{invalid_input, too_complex};
use super::limits::Limits;
use super::merge::{self, Plan};
use super::parser::parse;
use super::types::{SchemaError, Types};
use super::validate::validate;
use super::variables::Coerced;

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
    /// By text. The keys are compared as a whole, so no two texts are ever taken for each other.
    documents: Cache<Arc<str>, Arc<Document>>,
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
}

impl Documents {
    /// For the schema of this text, as async-graphql prints it.
    ///
    /// # Errors
    /// The text does not parse.
    pub fn new(sdl: &str, limits: Limits) -> Result<Self, SchemaError> {
        let documents = Cache::builder()
            .max_capacity(DOCUMENT_BYTES)
            .weigher(|text: &Arc<str>, document: &Arc<Document>| {
                let entry = u32::try_from(text.len() + ENTRY_WEIGHT).unwrap_or(u32::MAX);
                document.weight.saturating_add(entry)
            })
            .build();
        let plans = Cache::builder()
            .max_capacity(PLAN_BYTES)
            .weigher(|key: &PlanKey, plan: &Arc<Plan>| {
                let weight = plan.root.size.fields * FIELD_WEIGHT + key.switches.len() + ENTRY_WEIGHT;
                u32::try_from(weight).unwrap_or(u32::MAX)
            })
            .build();
        let types = Types::parse(sdl)?;
        Ok(Self(Arc::new(Inner { types, limits, documents, plans })))
    }

    /// The document of a text, from the cache or parsed and validated now.
    ///
    /// # Errors
    /// INVALID_DOCUMENT for what is no valid document of the schema, QUERY_TOO_COMPLEX for one beyond the limits.
    pub fn parse(&self, text: &str) -> Result<Arc<Document>, Vec<ServerError>> {
        let inner = &*self.0;
        if text.len() > inner.limits.bytes {
            return Err(vec![*too_complex("The document is too long.", None)]);
        }
        if let Some(document) = inner.documents.get(text) {
            return Ok(document);
        }
        let source = parse(text, &inner.limits).map_err(|refusal| vec![*refusal])?;
        let document = Arc::new(validate(source, &inner.types, &inner.limits)?);
        inner.documents.insert(text.into(), document.clone());
        Ok(document)
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
        request.set_parsed_query(executable);
        Ok((request, Prepared { inner: self.0.clone(), plan }))
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
}
