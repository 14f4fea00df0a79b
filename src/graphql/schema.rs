//! The root types of the schema, and the executor of operations.

use std::sync::Arc;

use async_graphql::{MergedObject, MergedSubscription, Request, Response, SDLExportOptions, ValidationMode};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use crate::graphql::accounts::{
    SelfServiceMutations, SessionMutations, SessionQueries, SignInMutations, TokenMutations, UserQueries,
};
use crate::graphql::admin::{AdminQueries, RoleMutations, UserMutations};
use crate::graphql::budget::Budget;
use crate::graphql::characters::{CharacterMutations, CharacterQueries};
use crate::graphql::chats::{
    ChatMutations, ChatQueries, ChatSubscriptions, ContextQueries, MessageMutations, SearchQueries,
};
use crate::graphql::context::State;
use crate::graphql::direct_messages::{ConversationQueries, DirectMessageMutations, DirectMessageSubscriptions};
use crate::graphql::document::{ConformingExecutor, Documents, Limits, Operation, PreparedRequest, SchemaError};
use crate::graphql::error::{ErrorExtensions, FieldError};
use crate::graphql::execution::{Caller, Execute, SubscriptionEvent};
use crate::graphql::lists::LISTS;
use crate::graphql::loaders;
use crate::graphql::loads::Loads;
use crate::graphql::node::{Node, NodeQueries};
use crate::graphql::prompts::{PromptMutations, PromptQueries};
use crate::graphql::replies::{PlannedReply, ReplyEvent, ReplyMutations, ReplySubscriptions, can_plan};
use crate::graphql::require_write::RequireWrite;
use crate::graphql::server::ServerQueries;

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
        // The document layer has validated the document.
        let builder = builder().validation_mode(ValidationMode::Fast);
        let builder = builder.data(state.clone()).limit_recursive_depth(depth);
        let documents = Documents::with_lists(&sdl(), LISTS, limits)?;
        Ok(Self { schema: ConformingExecutor::new(builder.finish(), documents), state: Arc::new(state) })
    }

    fn run_subscription(
        &self,
        request: Request,
        prepared: Arc<PreparedRequest>,
        caller: Caller,
    ) -> BoxStream<'static, Response> {
        let loads = Loads::default();
        let request = self.with_data(request, caller, prepared.budget.clone(), loads.clone());
        loads.run_stream(self.schema.subscribe(request, prepared)).boxed()
    }

    /// Adds the data of the resolvers. No other code does.
    fn with_data(&self, request: Request, caller: Caller, budget: Arc<Budget>, loads: Loads) -> Request {
        let loaders = loaders::make(State::clone(&self.state), caller.clone(), budget.clone(), loads.clone());
        request.data(caller).data(loaders).data(budget).data(loads)
    }
}

impl Execute for Api {
    fn documents(&self) -> &Documents {
        self.schema.documents()
    }

    async fn execute(&self, operation: Operation, caller: Caller) -> Response {
        match self.documents().prepare(operation) {
            Ok((request, prepared)) => {
                let loads = Loads::default();
                let request = self.with_data(request, caller, prepared.budget.clone(), loads.clone());
                loads.run(self.schema.execute(request, &prepared)).await
            }
            Err(errors) => Response::from_errors(errors),
        }
    }

    fn subscribe(&self, operation: Operation, caller: Caller) -> BoxStream<'static, SubscriptionEvent> {
        match self.documents().prepare(operation) {
            Ok((request, prepared)) if can_plan(&prepared) => {
                let api = self.clone();
                let execute = move |request, prepared| api.run_subscription(request, prepared, caller.clone());
                PlannedReply::start(request, prepared, execute).boxed()
            }
            Ok((request, prepared)) => {
                self.run_subscription(request, prepared, caller).map(SubscriptionEvent::Response).boxed()
            }
            Err(errors) => stream::iter([SubscriptionEvent::Response(Response::from_errors(errors))]).boxed(),
        }
    }
}
