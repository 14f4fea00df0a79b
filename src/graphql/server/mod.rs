//! What the server is, and its models.

use async_graphql::{Context, ID, Object, SimpleObject};

use crate::graphql::budget::List;
use crate::graphql::context::ContextExt as _;
use crate::graphql::scalars::Microdollars;
use crate::llm::registry::{self, Registry};

/// What the server says of itself.
#[derive(Debug, SimpleObject)]
pub struct Server {
    /// Always the same, for clients' caches.
    id: ID,
    /// The server's name.
    name: &'static str,
    /// The server's version, after semantic versioning.
    version: &'static str,
    /// Whether anybody may register.
    is_registration_open: bool,
    /// Whether only the demo models are set up, which need no key and no network.
    is_demo: bool,
    /// The longest message, in Unicode characters.
    max_message_length: i32,
}

/// A model that can write replies.
#[derive(Debug, SimpleObject)]
pub struct Model {
    /// What chats and messages name.
    id: ID,
    /// Who runs it.
    provider: String,
    /// For people.
    display_name: String,
    /// How many tokens a chat and its reply may have together.
    context_window: i32,
    /// The most tokens of one reply; null when the provider alone decides.
    max_output_tokens: Option<i32>,
    /// What a million tokens that it reads cost; null when that is not known.
    input_price_per_million_tokens: Option<Microdollars>,
    /// What a million tokens that it writes cost; null when that is not known.
    output_price_per_million_tokens: Option<Microdollars>,
    /// Whether chats that name no model use it.
    is_default: bool,
    /// Whether its provider is set up.
    is_available: bool,
}

impl Model {
    /// Shows a model.
    pub fn new(model: &registry::Model, all: &Registry) -> Self {
        Self {
            id: ID(model.id.clone()),
            provider: model.provider.clone(),
            display_name: model.display_name.clone(),
            context_window: signed(model.context_window),
            max_output_tokens: model.max_output_tokens.map(signed),
            // A picodollar a token is a microdollar a million tokens.
            input_price_per_million_tokens: model.input_price.map(Microdollars),
            output_price_per_million_tokens: model.output_price.map(Microdollars),
            is_default: all.default_model().id == model.id,
            is_available: model.is_available,
        }
    }
}

/// The queries of this slice.
#[derive(Debug, Default)]
pub struct ServerQueries;

#[Object]
impl ServerQueries {
    /// What the server says of itself.
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

    /// The models that this server knows.
    async fn models(&self, ctx: &Context<'_>) -> List<Model> {
        let models = &ctx.state().models;
        models.all().iter().map(|model| Model::new(model, models)).collect()
    }
}

fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
