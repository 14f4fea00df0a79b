//! The conversation in the form that providers accept.

use super::{PromptMessage, Speaker};

/// The conversation as alternating turns: consecutive messages of one author are merged, and messages without text are
/// dropped. Anthropic and many chat templates of open models require this.
pub(super) fn turns(messages: &[PromptMessage]) -> Vec<(Speaker, String)> {
    let mut turns: Vec<(Speaker, String)> = Vec::with_capacity(messages.len());
    for message in messages.iter().filter(|message| !message.content.trim().is_empty()) {
        match turns.last_mut() {
            Some((speaker, text)) if *speaker == message.speaker => {
                text.push_str("\n\n");
                text.push_str(&message.content);
            }
            _ => turns.push((message.speaker, message.content.clone())),
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_alternate_and_keep_all_text() {
        let said = |speaker, content: &str| PromptMessage { speaker, content: content.to_owned() };
        let talk = [
            said(Speaker::Assistant, "Hello."),
            said(Speaker::User, "One"),
            said(Speaker::Assistant, " \n"),
            said(Speaker::User, "Two"),
        ];
        let expected = [(Speaker::Assistant, "Hello.".to_owned()), (Speaker::User, "One\n\nTwo".to_owned())];
        assert_eq!(turns(&talk), expected);
    }
}
