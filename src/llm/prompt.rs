//! The conversation in the form that providers accept.

use super::{PromptMessage, Speaker};

/// The system prompt as one text, because many providers and chat templates take only one: the parts that are not
/// blank, separated by blank lines.
pub(super) fn system_text(parts: &[String]) -> Option<String> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.trim().is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

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
    fn system_parts_are_joined() {
        let text = |parts: &[&str]| system_text(&parts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(text(&["One.", " \n", "Two."]).as_deref(), Some("One.\n\nTwo."));
        assert_eq!((text(&[]), text(&[""])), (None, None));
    }

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
