use std::sync::Arc;

use proptest::prelude::*;

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

/// A branch from its root.
fn branch(contents: &[&str]) -> Vec<message::Model> {
    let roles = [MessageRole::User, MessageRole::Assistant].into_iter().cycle();
    let mut rows: Vec<message::Model> = Vec::new();
    for ((depth, content), role) in (0..).zip(contents).zip(roles) {
        let (id, chat) = (MessageId(uuid::Uuid::from_u128(depth as u128)), ChatId(uuid::Uuid::nil()));
        let row = chats::message(id, chat, role, content, rows.last(), chrono::DateTime::UNIX_EPOCH);
        rows.push(message::Model { depth, ..row });
    }
    rows
}

fn checkpoint(rows: &[message::Model], index: usize, content: &str) -> Checkpoint {
    Checkpoint {
        message_id: rows[index].id,
        content: content.to_owned(),
        tokens: message_tokens(&summary_text(content)),
        depth: rows[index].depth,
        branch_tokens: rows[index].branch_tokens,
    }
}

fn prompt(system: &[&str], checkpoint: Option<Checkpoint>, rows: &[message::Model]) -> Prompt {
    let parts = system.iter().map(|text| SystemPart { origin: Origin::Common, text: (*text).to_owned() });
    Prompt::new(parts.collect(), None, checkpoint, rows)
}

fn contents(request: &CompletionRequest) -> Vec<&str> {
    request.messages.iter().map(|message| message.content.as_str()).collect()
}

#[test]
fn the_newest_messages_that_fit_are_sent() {
    let (old, long) = ("o".repeat(400), "n".repeat(200));
    let prompt = prompt(&[], None, &branch(&[&old, "answer", &long]));
    assert_eq!(contents(&prompt.request(&demo(1_000, None))), [&old, "answer", &long]);
    assert_eq!(contents(&prompt.request(&demo(100, None))), ["answer", &long]);
    assert_eq!(contents(&prompt.request(&demo(4, None))), [&long], "the last one always goes along");
    let omitted = |window| prompt.fit(&demo(window, None)).omitted;
    assert_eq!([omitted(1_000), omitted(100), omitted(4)], [0, 1, 2]);
}

#[test]
fn messages_without_text_are_left_out() {
    let prompt = prompt(&["Be brief.", " "], None, &branch(&["one", "", "two", " \n"]));
    let request = prompt.request(&demo(1_000, None));
    assert_eq!(contents(&request), ["one", "two"]);
    assert_eq!(request.system, ["Be brief."]);
}

#[test]
fn a_summary_stands_for_the_messages_above_it() {
    let rows = branch(&["a", "b", "c", "d", "e"]);
    let prompt = prompt(&["Be brief."], Some(checkpoint(&rows, 1, "They said a and b.")), &rows);
    let fit = prompt.fit(&demo(1_000, None));
    assert_eq!((fit.summarized, fit.omitted), (2, 0));
    let request = prompt.request(&demo(1_000, None));
    assert_eq!(contents(&request), ["c", "d", "e"]);
    assert_eq!(request.system[0], "Be brief.");
    assert!(request.system[1].starts_with("Summary of the earlier part") && request.system[1].ends_with("a and b."));
    // It would take more than half of a small window.
    let fit = prompt.fit(&demo(80, None));
    assert_eq!((fit.summarized, fit.omitted), (0, 2));
    assert_eq!(prompt.request(&demo(80, None)).system, ["Be brief."]);
}

#[test]
fn a_reported_count_moves_the_limit() {
    let text = "w".repeat(160);
    let mut rows = branch(&[&text, &text, &text, &text]);
    let sent = |rows: &[message::Model]| contents(&prompt(&[], None, rows).request(&demo(200, None))).len();
    assert_eq!(sent(&rows), 3);
    rows.last_mut().unwrap().token_ratio = 2_000;
    assert_eq!(sent(&rows), 1);
    rows.last_mut().unwrap().token_ratio = 750;
    assert_eq!(sent(&rows), 4);
}

#[test]
fn a_reply_is_as_long_as_the_model_allows() {
    let one = Prompt { max_output_tokens: Some(500), ..prompt(&[], None, &[]) };
    assert_eq!(one.request(&demo(1_000, Some(300))).max_output_tokens, Some(300));
    assert_eq!(one.request(&demo(1_000, None)).max_output_tokens, Some(500));
    assert_eq!(prompt(&[], None, &[]).request(&demo(1_000, Some(300))).max_output_tokens, Some(300));
}

proptest! {
    #[test]
    fn every_message_is_sent_summarised_or_omitted(
        lengths in prop::collection::vec(1..400_usize, 1..40),
        covered in prop::option::of((0..40_usize, 1..600_usize)),
        read in 1..40_usize,
        system in 0..800_usize,
        window in 40..3_000_u32,
        ratio in 750..2_000_i32,
    ) {
        let texts: Vec<String> = lengths.iter().map(|length| "w".repeat(*length)).collect();
        let mut rows = branch(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        rows.last_mut().unwrap().token_ratio = ratio;
        let count = rows.len();
        let checkpoint = covered
            .filter(|(index, _)| index + 1 < count)
            .map(|(index, length)| checkpoint(&rows, index, &"s".repeat(length)));
        let system = "p".repeat(system);
        // Only the newest messages were read, but at least one above the last.
        let newest = &rows[count.saturating_sub(read + 1)..];
        let prompt = prompt(&[&system], checkpoint, newest);
        let model = demo(window, None);
        let (fit, request) = (prompt.fit(&model), prompt.request(&model));
        let sent = request.messages.len();
        prop_assert_eq!(usize::try_from(fit.summarized + fit.omitted).unwrap() + sent, count);
        prop_assert!(fit.summarized >= 0 && fit.omitted >= 0);
        let expected: Vec<&str> = texts[count - sent..].iter().map(String::as_str).collect();
        prop_assert_eq!(contents(&request), expected, "the newest, in order, the last one in any case");
        prop_assert_eq!(fit.estimated_tokens, crate::domain::tokens::request_tokens(&request));
        let budget = i32::try_from(window - window / 4).unwrap();
        prop_assert!(sent == 1 || fit.tokens <= budget, "{} of {budget}", fit.tokens);
    }
}
