//! The talk in the form that providers take.

use super::{PromptMessage, Speaker};

/// The talk as turns that alternate: messages of one speaker in a row become one, and messages without words go, for Anthropic
/// and many chat templates of open models refuse both.
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
    fn turns_alternate_and_lose_no_words() {
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
