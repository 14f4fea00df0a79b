//! The root types of the schema, and the executor of operations.

use std::any::{Any, TypeId};
use std::sync::Arc;

use async_graphql::{
    Data, Executor, MergedObject, MergedSubscription, Request, Response, SDLExportOptions, ServerError,
};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};

use crate::domain::{Client, Requester};
use crate::graphql::accounts::{
    SelfServiceMutations, SessionMutations, SessionQueries, SignInMutations, TokenMutations, UserQueries,
};
use crate::graphql::admin::{AdminQueries, RoleMutations, UserMutations};
use crate::graphql::characters::{CharacterMutations, CharacterQueries};
use crate::graphql::chats::{
    ChatMutations, ChatQueries, ChatSubscriptions, ContextQueries, MessageMutations, SearchQueries,
};
use crate::graphql::context::State;
use crate::graphql::direct_messages::{ConversationQueries, DirectMessageMutations, DirectMessageSubscriptions};
use crate::graphql::document::{ConformingExecutor, Documents, Limits, PreparedRequest, SchemaError};
use crate::graphql::error::{ErrorExtensions, FieldError};
use crate::graphql::lists::LISTS;
use crate::graphql::loaders;
use crate::graphql::loads::Loads;
use crate::graphql::node::{Node, NodeQueries};
use crate::graphql::prompts::{PromptMutations, PromptQueries};
use crate::graphql::replies::{PlannedReply, ReplyEvent, ReplyMutations, ReplySubscriptions, can_plan};
use crate::graphql::require_write::RequireWrite;
use crate::graphql::server::ServerQueries;
use crate::graphql::subscriptions::{Subscribe, SubscriptionEvent};

/// The query root: fields that read data.
#[derive(MergedObject, Default)]
pub struct Query(
    NodeQueries,
    ServerQueries,
    UserQueries,
    SessionQueries,
    CharacterQueries,
    PromptQueries,
    ChatQueries,
    SearchQueries,
    ContextQueries,
    ConversationQueries,
    AdminQueries,
);

/// The mutation root: fields that change data. A mutation takes at most one argument, `input`, and returns a payload
/// with the complete changed entities. If it fails, it is null with an error.
#[derive(MergedObject, Default)]
#[graphql(name = "Mutation")]
pub struct Mutations(
    SignInMutations,
    SessionMutations,
    SelfServiceMutations,
    TokenMutations,
    ChatMutations,
    ReplyMutations,
    MessageMutations,
    CharacterMutations,
    PromptMutations,
    DirectMessageMutations,
    UserMutations,
    RoleMutations,
);

/// The mutation root, which requires the right to write.
type Mutation = RequireWrite<Mutations>;

/// The subscription root: fields that stream events.
#[derive(MergedSubscription, Default)]
pub struct Subscription(ReplySubscriptions, ChatSubscriptions, DirectMessageSubscriptions);

type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

fn builder() -> async_graphql::SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .register_output_type::<Node>()
        .register_output_type::<ReplyEvent>()
        .register_output_type::<ErrorExtensions>()
        .register_output_type::<FieldError>()
}

/// The description of the schema.
const DESCRIPTION: &str = "\
The API of duologue: accounts, characters, chats, and durable, streamed replies.

IDs are opaque. A malformed ID, or an ID of another type, is INVALID_INPUT. A query that looks up an object that does
not exist, or that the viewer may not see, returns null without an error; a mutation or subscription returns NOT_FOUND.
Lists that grow are connections (Relay), with 20 items by default and at most 100. Time ranges include their start and
not their end, in UTC. Every error has `extensions` as in ErrorExtensions. Enums, unions and interfaces may get new
members, so clients need a default branch.";

/// The schema in the GraphQL schema definition language.
pub fn sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by().prefer_single_line_descriptions();
    let sdl = builder().finish().sdl_with_options(options);
    // async-graphql has no description of the schema.
    sdl.replacen("\nschema {", &format!("\n\"\"\"\n{DESCRIPTION}\n\"\"\"\nschema {{"), 1)
}

/// More than the depth of `document/everything.graphql`.
const INTROSPECTION_DEPTH: usize = 32;

/// Executes operations on the schema.
#[derive(Clone)]
pub struct Api {
    schema: ConformingExecutor<Schema>,
    state: Arc<State>,
}

impl Api {
    /// Creates the executor. `limits` apply to documents.
    ///
    /// # Errors
    /// If the printed schema does not parse.
    pub fn new(state: State, limits: Limits) -> Result<Self, SchemaError> {
        // async-graphql also counts inline fragments; an expanded document has at most one for each field. The server
        // reads its own introspection, whatever the limit is for clients.
        let depth = (2 * limits.depth).max(INTROSPECTION_DEPTH);
        let builder = builder().data(state.clone()).limit_recursive_depth(depth);
        let documents = Documents::with_lists(&sdl(), LISTS, limits)?;
        Ok(Self { schema: ConformingExecutor::new(builder.finish(), documents), state: Arc::new(state) })
    }

    /// The parser, validator and cache of documents.
    pub fn documents(&self) -> &Documents {
        self.schema.documents()
    }

    /// Adds the loaders of the request, and a budget if it has none. `data` is the data of the requester.
    fn prepare(&self, request: Request, loads: &Loads, data: Option<&Data>) -> Request {
        let data = data.unwrap_or(&request.data);
        let requester = get(data).unwrap_or(Requester::Anonymous);
        let client = get::<Client>(data);
        let budget = get(data).unwrap_or_else(|| self.documents().budget());
        let loaders = loaders::make(State::clone(&self.state), requester, client, budget.clone(), loads.clone());
        request.data(loaders).data(budget).data(loads.clone())
    }

    fn execute_prepared(
        &self,
        request: Request,
        prepared: Arc<PreparedRequest>,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let loads = Loads::default();
        let request = self.prepare(request, &loads, session_data.as_deref());
        loads.run_stream(self.schema.execute_prepared(request, prepared, session_data)).boxed()
    }
}

/// A clone of the value of type `T` in the data.
fn get<T: Any + Clone>(data: &Data) -> Option<T> {
    data.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
}

impl Executor for Api {
    async fn execute(&self, request: Request) -> Response {
        let loads = Loads::default();
        let request = self.prepare(request, &loads, None);
        loads.run(self.schema.execute(request)).await
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        match self.documents().prepare(request) {
            Ok((request, prepared)) => self.execute_prepared(request, prepared, session_data),
            Err(errors) => refused(errors).boxed(),
        }
    }
}

impl Subscribe for Api {
    fn subscribe(&self, request: Request) -> BoxStream<'static, SubscriptionEvent> {
        match self.documents().prepare(request) {
            Ok((request, prepared)) if can_plan(&prepared) => {
                let api = self.clone();
                PlannedReply::start(request, prepared, move |request, prepared, data| {
                    api.execute_prepared(request, prepared, Some(data))
                })
                .boxed()
            }
            Ok((request, prepared)) => {
                self.execute_prepared(request, prepared, None).map(SubscriptionEvent::Response).boxed()
            }
            Err(errors) => refused(errors).map(SubscriptionEvent::Response).boxed(),
        }
    }
}

fn refused(errors: Vec<ServerError>) -> impl Stream<Item = Response> + Send + 'static {
    stream::iter([Response::from_errors(errors)])
}
