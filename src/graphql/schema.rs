//! The schema's roots, and running operations on it.

use std::any::{Any, TypeId};
use std::sync::Arc;

use async_graphql::{Data, Executor, MergedObject, MergedSubscription, Request, Response, SDLExportOptions};
use futures_util::stream::BoxStream;

use crate::domain::{Client, Requester};
use crate::graphql::accounts::{AccountMutations, AccountQueries, LockoutMutations, SelfServiceMutations};
use crate::graphql::admin::{AdminQueries, RoleMutations, UserMutations};
use crate::graphql::characters::CharacterQueries;
use crate::graphql::chats::{ChatMutations, ChatQueries};
use crate::graphql::context::State;
use crate::graphql::document::{ConformingExecutor, Documents, Limits, SchemaError};
use crate::graphql::error::{ErrorExtensions, FieldError};
use crate::graphql::for_writers::ForWriters;
use crate::graphql::lists::LISTS;
use crate::graphql::loaders;
use crate::graphql::node::{Node, NodeQueries};
use crate::graphql::replies::{ReplyEvent, ReplyMutations, ReplySubscriptions};
use crate::graphql::server::ServerQueries;

/// What can be asked.
#[derive(MergedObject, Default)]
pub struct Query(NodeQueries, ServerQueries, AccountQueries, CharacterQueries, ChatQueries, AdminQueries);

/// What can be done. Each takes one `input` and answers one payload with what it changed, whole; null, with an error, when it
/// failed.
#[derive(MergedObject, Default)]
#[graphql(name = "Mutation")]
pub struct Mutations(
    AccountMutations,
    LockoutMutations,
    SelfServiceMutations,
    ChatMutations,
    ReplyMutations,
    UserMutations,
    RoleMutations,
);

/// The root of what can be done.
type Mutation = ForWriters<Mutations>;

/// What can be watched.
#[derive(MergedSubscription, Default)]
pub struct Subscription(ReplySubscriptions);

type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

fn builder() -> async_graphql::SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .register_output_type::<Node>()
        .register_output_type::<ReplyEvent>()
        .register_output_type::<ErrorExtensions>()
        .register_output_type::<FieldError>()
}

/// The schema in the schema definition language, as clients commit it.
pub fn sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by().prefer_single_line_descriptions();
    builder().finish().sdl_with_options(options)
}

/// Runs operations on the schema.
#[derive(Clone)]
pub struct Api {
    schema: ConformingExecutor<Schema>,
    state: State,
}

impl Api {
    /// The schema over these parts; `limits` are those of documents.
    ///
    /// # Errors
    /// The schema's own text does not parse.
    pub fn new(state: State, limits: Limits) -> Result<Self, SchemaError> {
        // async-graphql counts inline fragments too, of which there is at most one for each field.
        let builder = builder().data(state.clone()).limit_recursive_depth(2 * limits.depth);
        let documents = Documents::with_lists(&sdl(), LISTS, limits)?;
        Ok(Self { schema: ConformingExecutor::new(builder.finish(), documents), state })
    }

    /// The documents that it executes.
    pub fn documents(&self) -> &Documents {
        self.schema.documents()
    }

    /// Gives the request the loaders that live as long as it does, and a budget where it has none.
    fn prepare(&self, request: Request) -> Request {
        let requester = given(&request).unwrap_or(Requester::Anonymous);
        let client = given::<Client>(&request);
        let budget = given(&request).unwrap_or_else(|| self.documents().budget());
        request.data(loaders::make(self.state.clone(), requester, client, budget.clone())).data(budget)
    }
}

/// What of a type is among a request's data.
fn given<T: Any + Clone>(request: &Request) -> Option<T> {
    request.data.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
}

impl Executor for Api {
    async fn execute(&self, request: Request) -> Response {
        self.schema.execute(self.prepare(request)).await
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        self.schema.execute_stream(self.prepare(request), session_data)
    }
}
