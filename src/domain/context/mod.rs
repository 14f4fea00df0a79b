//! The context of a chat: the prompt for a model, its share of the context window, and the summaries that replace older
//! messages.

mod budget;
mod load;
mod preview;
mod prompt;
mod summaries;
mod usage;

use std::sync::Arc;

pub use preview::Preview;
pub use prompt::{Fit, Origin, Prompt, SystemPart};
pub use summaries::Summaries;
pub use usage::{ContextQuery, ContextUsage, MAX_CONTEXT_STATEMENTS, MAX_CONTEXTS};

use crate::clock::Clock;
use crate::llm::registry::Registry;
use crate::storage::Database;

/// Builds prompts. Cheap to clone.
#[derive(Clone)]
pub struct Contexts {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The models.
    pub models: Arc<Registry>,
    /// The longest message, in Unicode characters.
    pub max_message_length: usize,
}
