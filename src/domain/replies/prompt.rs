//! Builds the prompt: the character's instructions, and the newest messages of the branch that fit the model's context
//! window.

use crate::domain::chats::message_tokens;
use crate::domain::replies::parts;
use crate::entity::character;
use crate::entity::enums::MessageRole;
use crate::entity::message;
use crate::llm::registry::Model;
use crate::llm::{CompletionRequest, PromptMessage, Speaker};

/// The fraction of the context window (one fourth) that is reserved for the reply if the model has no limit for output
/// tokens.
const REPLY_SHARE: u32 = 4;

/// The input of a reply.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    system: Option<String>,
    temperature: Option<f32>,
    max_output_tokens: Option<u32>,
    /// The messages, oldest first, each with its tokens.
    talk: Vec<(PromptMessage, i32)>,
}

impl Prompt {
    /// The prompt for a branch, oldest message first. The last message is the one to be answered.
    #[expect(clippy::cast_possible_truncation, reason = "a temperature has two digits that matter")]
    pub(super) fn new(character: Option<&character::Model>, branch: &[message::Model]) -> Self {
        let talk = branch.iter().map(|message| {
            let speaker = if message.role == MessageRole::Assistant { Speaker::Assistant } else { Speaker::User };
            PromptMessage { speaker, content: parts::content(message) }
        });
        let said = talk.filter(|message| !message.content.trim().is_empty());
        Self {
            system: character
                .map(|character| character.system_prompt.clone())
                .filter(|system| !system.trim().is_empty()),
            temperature: character.and_then(|character| character.temperature).map(|value| value as f32),
            max_output_tokens: character
                .and_then(|one| one.max_output_tokens)
                .and_then(|most| u32::try_from(most).ok()),
            talk: said
                .map(|message| (message_tokens(&message.content), message))
                .map(|(tokens, message)| (message, tokens))
                .collect(),
        }
    }

    /// The request for one model: the newest messages that fit its context window together with the instructions and
    /// the reply. The last message is always included; if it is too long, the provider rejects the request.
    pub(super) fn request(&self, model: &Model) -> CompletionRequest {
        let wanted = self.max_output_tokens.or(model.max_output_tokens);
        let share = model.context_window / REPLY_SHARE;
        let reserved = wanted.unwrap_or(share).min(share);
        let system = self.system.as_deref().map_or(0, message_tokens);
        let window = i32::try_from(model.context_window - reserved).unwrap_or(i32::MAX);
        let mut room = window.saturating_sub(system);
        let fitting = self.talk.iter().rev().enumerate().take_while(|(index, (_, tokens))| {
            room = room.saturating_sub(*tokens);
            *index == 0 || room >= 0
        });
        let mut messages: Vec<PromptMessage> = fitting.map(|(_, (message, _))| message.clone()).collect();
        messages.reverse();
        CompletionRequest {
            model: model.upstream.clone(),
            system: self.system.clone(),
            messages,
            max_output_tokens: match (self.max_output_tokens, model.max_output_tokens) {
                (Some(wanted), Some(most)) => Some(wanted.min(most)),
                (wanted, most) => wanted.or(most),
            },
            temperature: self.temperature,
        }
    }
}

/// Estimates the tokens of a request.
pub(super) fn request_tokens(request: &CompletionRequest) -> i32 {
    let system = request.system.as_deref().map_or(0, message_tokens);
    request.messages.iter().fold(system, |sum, message| sum.saturating_add(message_tokens(&message.content)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::models::{ModelSettings, ProviderKeys};
    use crate::domain::chats;
    use crate::entity::ids::{ChatId, MessageId};
    use crate::llm::registry::Registry;

    fn demo(context_window: u32, max_output_tokens: Option<u32>) -> Model {
        let settings = ModelSettings::load(None, &ProviderKeys::default(), None, &|_| None).unwrap();
        drop(rustls::crypto::ring::default_provider().install_default());
        let registry = Registry::build(&settings, crate::llm::http_client().unwrap()).unwrap();
        Model { context_window, max_output_tokens, ..Model::clone(&Arc::clone(registry.default_model())) }
    }

    fn branch(contents: &[&str]) -> Vec<message::Model> {
        let (id, chat) = (MessageId(uuid::Uuid::nil()), ChatId(uuid::Uuid::nil()));
        let roles = [MessageRole::User, MessageRole::Assistant].into_iter().cycle();
        let now = chrono::DateTime::UNIX_EPOCH;
        contents.iter().zip(roles).map(|(content, role)| chats::message(id, chat, role, content, None, now)).collect()
    }

    fn contents(request: &CompletionRequest) -> Vec<&str> {
        request.messages.iter().map(|message| message.content.as_str()).collect()
    }

    #[test]
    fn the_newest_messages_that_fit_are_sent() {
        let (old, long) = ("o".repeat(400), "n".repeat(200));
        let prompt = Prompt::new(None, &branch(&[&old, "answer", &long]));
        assert_eq!(contents(&prompt.request(&demo(1_000, None))), [&old, "answer", &long]);
        assert_eq!(contents(&prompt.request(&demo(100, None))), ["answer", &long]);
        assert_eq!(contents(&prompt.request(&demo(4, None))), [&long], "the last one always goes along");
    }

    #[test]
    fn empty_replies_are_left_out() {
        let prompt = Prompt::new(None, &branch(&["one", "", "two", " \n"]));
        assert_eq!(contents(&prompt.request(&demo(1_000, None))), ["one", "two"]);
    }

    #[test]
    fn a_reply_is_as_long_as_the_model_allows() {
        let prompt = Prompt { max_output_tokens: Some(500), ..Prompt::new(None, &[]) };
        assert_eq!(prompt.request(&demo(1_000, Some(300))).max_output_tokens, Some(300));
        assert_eq!(prompt.request(&demo(1_000, None)).max_output_tokens, Some(500));
        assert_eq!(Prompt::new(None, &[]).request(&demo(1_000, Some(300))).max_output_tokens, Some(300));
    }
}
