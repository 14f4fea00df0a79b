//! Information about the server, and its models.

use async_graphql::{Context, ID, Object, SimpleObject};

use crate::domain::{self, Registry};
use crate::graphql::budget::List;
use crate::graphql::context::ContextExt as _;
use crate::graphql::scalars::Microdollars;

/// Information about the server.
#[derive(Debug, SimpleObject)]
pub struct Server {
    /// A constant ID, for client caches.
    id: ID,
    /// The server's name.
    name: &'static str,
    /// The server's version (semantic versioning).
    version: &'static str,
    /// Whether registration is open to everyone.
    is_registration_open: bool,
    /// Whether only the demo models are available, which need no API key and no network.
    is_demo: bool,
    /// The maximum length of a message, in Unicode characters.
    max_message_length: i32,
}

/// A model that generates replies.
#[derive(Debug, SimpleObject)]
pub struct Model {
    /// The model's ID, as used in `modelId`. Not a global object ID.
    id: ID,
    /// The name of the provider.
    provider: String,
    /// The display name.
    display_name: String,
    /// The context window: the maximum number of tokens of the prompt and the reply together.
    context_window: i32,
    /// The maximum number of tokens of one reply. Null if only the provider limits it.
    max_output_tokens: Option<i32>,
    /// The price of a million input tokens. Null if unknown.
    input_price_per_million_tokens: Option<Microdollars>,
    /// The price of a million output tokens. Null if unknown.
    output_price_per_million_tokens: Option<Microdollars>,
    /// Whether this is the default model, used by chats without another model.
    is_default: bool,
    /// Whether the model's provider is configured.
    is_available: bool,
}

impl Model {
    /// Converts a model of the registry.
    pub fn new(model: &domain::Model, all: &Registry) -> Self {
        Self {
            id: ID(model.id.clone()),
            provider: model.provider.clone(),
            display_name: model.display_name.clone(),
            context_window: signed(model.context_window),
            max_output_tokens: model.max_output_tokens.map(signed),
            // One picodollar per token is one microdollar per million tokens.
            input_price_per_million_tokens: model.input_price.map(Microdollars),
            output_price_per_million_tokens: model.output_price.map(Microdollars),
            is_default: all.default_model().id == model.id,
            is_available: model.is_available,
        }
    }
}

/// The queries about the server.
#[derive(Debug, Default)]
pub struct ServerQueries;

#[Object]
impl ServerQueries {
    /// Information about the server.
    async fn server(&self, ctx: &Context<'_>) -> Server {
        let state = ctx.state();
        Server {
            id: ID("server".to_owned()),
            name: "duologue",
            version: env!("CARGO_PKG_VERSION"),
            is_registration_open: state.accounts.is_registration_open(),
            is_demo: state.models.is_demo(),
            max_message_length: i32::try_from(state.max_message_length).unwrap_or(i32::MAX),
        }
    }

    /// The models in the server's configuration.
    async fn models(&self, ctx: &Context<'_>) -> List<Model> {
        let models = &ctx.state().models;
        models.all().iter().map(|model| Model::new(model, models)).collect()
    }
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
