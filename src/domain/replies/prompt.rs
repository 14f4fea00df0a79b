//! What a model is sent: the character's instructions and as much of the branch as its window holds.

use crate::domain::replies::parts;
use crate::entity::character;
use crate::entity::enums::MessageRole;
use crate::entity::message;
use crate::llm::registry::Model;
use crate::llm::{CompletionRequest, PromptMessage, Speaker};

/// What a message costs beside its words, in tokens.
const MESSAGE_TOKENS: i32 = 4;
/// The part of a window that is kept for the reply when the model does not say how long replies may be.
const REPLY_SHARE: u32 = 4;

/// An estimate of a text's tokens: four ASCII characters or one other make a token. It errs on the high side for code and
/// for most languages, so that windows and quotas hold.
pub(super) fn estimate_tokens(text: &str) -> i32 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().count() - ascii;
    i32::try_from(ascii.div_ceil(4) + others).unwrap_or(i32::MAX)
}

/// An estimate of a message's tokens.
pub fn message_tokens(content: &str) -> i32 {
    estimate_tokens(content).saturating_add(MESSAGE_TOKENS)
}

/// What a reply is to be written from.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    system: Option<String>,
    temperature: Option<f32>,
    max_output_tokens: Option<u32>,
    /// Oldest first, each with its tokens.
    talk: Vec<(PromptMessage, i32)>,
}

impl Prompt {
    /// The prompt of a branch, oldest first, that ends with what is to be answered.
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

    /// The request for one model: the newest messages that fit its window beside the instructions and the reply. The last
    /// message always goes along; a provider refuses it when even that is too long.
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

/// An estimate of a request's tokens.
pub(super) fn request_tokens(request: &CompletionRequest) -> i32 {
    let system = request.system.as_deref().map_or(0, message_tokens);
    request.messages.iter().fold(system, |sum, message| sum.saturating_add(message_tokens(&message.content)))
}
