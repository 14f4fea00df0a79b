//! What is sent to a model: previews, context windows, and summaries.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::database::on_both_databases;
use crate::support::provider::{Answer, FakeProvider, Purpose, completion};
use crate::support::server::Setup;
use crate::support::staff::{log_in, new_role, root, with_admin};

const USAGE: &str = "query($id: ID!) { chat(id: $id) { messageCount
    contextUsage { tokens window summarizedMessageCount omittedMessageCount } } }";
const PREVIEW: &str = "query($id: ID!, $content: String!) { previewPrompt(chatId: $id, content: $content) {
    tokens messages { role content } } }";

/// Answers replies and titles with a short text, and summaries as `summary` does.
async fn provider(window: u32, summary: impl Fn() -> Answer + Send + Sync + 'static) -> FakeProvider {
    FakeProvider::scripted(window, move |request| match Purpose::of(request) {
        Purpose::Summary => summary(),
        _ => Answer::Events(completion("Because of the air.")),
    })
    .await
}

/// The usage of a chat: tokens, and the numbers of summarised and omitted messages.
async fn usage(user: &Client, chat: &str) -> (i64, i64, i64) {
    let usage = user.data(USAGE, json!({ "id": chat })).await["chat"]["contextUsage"].take();
    let number = |name: &str| usage[name].as_i64().unwrap();
    assert!(number("tokens") <= number("window"), "{usage}");
    (number("tokens"), number("summarizedMessageCount"), number("omittedMessageCount"))
}

/// Waits until the usage of a chat is like this.
async fn has_usage(user: &Client, chat: &str, is_wanted: impl Fn((i64, i64, i64)) -> bool) -> (i64, i64, i64) {
    let start = std::time::Instant::now();
    loop {
        let usage = usage(user, chat).await;
        if is_wanted(usage) {
            return usage;
        }
        assert!(start.elapsed() < Duration::from_secs(40), "the usage stays {usage:?}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn preview(user: &Client, chat: &str, content: &str) -> Value {
    user.data(PREVIEW, json!({ "id": chat, "content": content })).await["previewPrompt"].take()
}

/// The messages of a preview as the provider gets them: system parts are joined.
fn sent(preview: &Value) -> Value {
    let (mut system, mut messages) = (Vec::new(), Vec::new());
    for message in preview["messages"].as_array().unwrap() {
        match text(&message["role"]).as_str() {
            "SYSTEM" => system.push(text(&message["content"])),
            role => messages.push(json!({ "role": role.to_lowercase(), "content": message["content"] })),
        }
    }
    if !system.is_empty() {
        messages.insert(0, json!({ "role": "system", "content": system.join("\n\n") }));
    }
    Value::Array(messages)
}

/// About 100 tokens that name the number.
fn long(number: usize) -> String {
    format!("Question {number}. {}", "word ".repeat(75))
}

on_both_databases!(a_preview_is_exactly_what_is_sent, |database| async move {
    let provider = provider(8192, || Answer::Status(400)).await;
    let setup = with_admin(Setup::new(&database)).with("MODELS_FILE", provider.models_file());
    let server = setup.start().await;
    let (root, ada) = (root(&server).await, server.sign_up("ada").await);
    for (title, content) in [("First", "You answer {{user}} on {{date}}."), ("Second", "Be kind, {{char}}.")] {
        let input = json!({ "title": title, "content": content, "kind": "COMMON" });
        root.mutate("createPrompt", "prompt { id }", input).await.data();
    }
    let character = json!({ "name": "Newton", "systemPrompt": "You are {{char}}.", "greeting": "Hello, {{user}}!" });
    let character = ada.mutate("createCharacter", "character { id }", character).await.data();
    let character = text(&character["createCharacter"]["character"]["id"]);
    let chat = ada.new_chat(json!({ "modelId": "fake/model", "characterId": character })).await;
    ada.talk(&chat, "Why is the sky blue, {{char}}?").await;

    let today = ada.data("query($id: ID!) { chat(id: $id) { createdAt } }", json!({ "id": chat })).await;
    let today = text(&today["chat"]["createdAt"])[..10].to_owned();
    let shown = preview(&ada, &chat, "And at night?").await;
    // The common prompts are not for users, the character's prompt is for its owner.
    assert_eq!(
        shown["messages"],
        json!([
            { "role": "SYSTEM", "content": null },
            { "role": "SYSTEM", "content": null },
            { "role": "SYSTEM", "content": "You are Newton." },
            { "role": "ASSISTANT", "content": "Hello, ada!" },
            { "role": "USER", "content": "Why is the sky blue, {{char}}?" },
            { "role": "ASSISTANT", "content": "Because of the air." },
            { "role": "USER", "content": "And at night?" },
        ])
    );
    let role = new_role(&root, "Prompts", &["PROMPTS_WRITE"]).await;
    root.mutate("setUserRoles", "user { id }", json!({ "userId": ada.id, "roleIds": [role] })).await.data();
    let ada = log_in(&ada, "ada").await;
    let shown = preview(&ada, &chat, "And at night?").await;
    assert_eq!(shown["messages"][0]["content"], format!("You answer ada on {today}."));
    assert_eq!(shown["messages"][1]["content"], "Be kind, Newton.");
    ada.talk(&chat, "And at night?").await;
    assert_eq!(provider.requests(Purpose::Reply)[1]["messages"], sent(&shown));

    // Nobody else sees the prompt, and a text that cannot be sent has none.
    let other = server.sign_up("bob").await;
    assert_eq!(preview(&other, &chat, "Hi").await, Value::Null);
    let blank = ada.run(PREVIEW, json!({ "id": chat, "content": " " })).await;
    assert_eq!(blank.complaint(), "INVALID_INPUT content:REQUIRED");
    let endless = ada.run(PREVIEW, json!({ "id": chat, "content": "x".repeat(8_001) })).await;
    assert_eq!(endless.complaint(), "INVALID_INPUT content:TOO_LONG");
    server.stop().await;
});

on_both_databases!(counts_of_the_provider_correct_the_estimate, |database| async move {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"Because of the air."},"finish_reason":"stop"}]}"#;
    let usage_of = r#"{"choices":[],"usage":{"prompt_tokens":150,"completion_tokens":9}}"#;
    let provider = FakeProvider::answering("openai", &[text, usage_of, "[DONE]"]).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "fake/model", "title": "Words" })).await;
    assert_eq!(preview(&ada, &chat, &long(1)).await["tokens"], 101);
    // 150 tokens for 101 estimated ones, and 9 of the reply.
    ada.talk(&chat, &long(1)).await;
    assert_eq!(usage(&ada, &chat).await, (164, 0, 0));
    assert_eq!(preview(&ada, &chat, &long(2)).await["tokens"], 314);
    server.stop().await;
});

on_both_databases!(a_long_chat_is_summarised, |database| async move {
    let provider = provider(2_000, || Answer::Events(completion("They talked about words."))).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "fake/model", "title": "Words" })).await;
    assert_eq!(usage(&ada, &chat).await, (0, 0, 0));
    // 1,500 tokens are for the prompt; three fourths of them are 1,125. An exchange takes about 110.
    for number in 1..=9 {
        ada.talk(&chat, &long(number)).await;
        let (tokens, summarized, omitted) = usage(&ada, &chat).await;
        assert!(tokens > 0 && (summarized, omitted) == (0, 0), "{number}: {tokens} {summarized} {omitted}");
    }
    assert!(provider.requests(Purpose::Summary).is_empty());
    for number in 10..=11 {
        ada.talk(&chat, &long(number)).await;
    }
    let (tokens, summarized, _) = has_usage(&ada, &chat, |(_, summarized, _)| summarized > 0).await;
    assert!(tokens < 800, "{tokens}");
    // Whole exchanges, each once.
    let requests = provider.requests(Purpose::Summary);
    let content = text(&requests[0]["messages"][1]["content"]);
    let lines: Vec<Value> = content.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((requests.len(), summarized % 2, lines.len()), (1, 0, usize::try_from(summarized).unwrap()));
    assert_eq!(lines[0], json!({ "role": "user", "content": long(1) }));

    // The next reply gets the summary and the rest, as its preview shows.
    let shown = preview(&ada, &chat, "Go on").await;
    let first = text(&shown["messages"][0]["content"]);
    assert!(first.contains("only a record") && first.ends_with("They talked about words."), "{first}");
    let kept = usize::try_from(summarized / 2 + 1).unwrap();
    assert_eq!(shown["messages"][1], json!({ "role": "USER", "content": long(kept) }));
    ada.talk(&chat, "Go on").await;
    assert_eq!(provider.requests(Purpose::Reply).last().unwrap()["messages"], sent(&shown));

    // The next summary is written from this one and the exchanges since.
    let before = summarized;
    for number in 12..=18 {
        ada.talk(&chat, &long(number)).await;
    }
    let (_, summarized, omitted) = has_usage(&ada, &chat, |(_, summarized, _)| summarized > before).await;
    let requests = provider.requests(Purpose::Summary);
    let content = text(&requests[1]["messages"][1]["content"]);
    let lines: Vec<Value> = content.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({ "role": "summary", "content": "They talked about words." }));
    assert_eq!(lines[1], json!({ "role": "user", "content": long(kept) }));
    assert_eq!((lines.len() - 1, omitted), (usize::try_from(summarized - before).unwrap(), 0));
    assert_eq!(requests.len(), 2, "summaries are rare");
    server.stop().await;
});

on_both_databases!(each_branch_has_its_own_summary, |database| async move {
    let provider = provider(2_000, || Answer::Events(completion("They talked about words."))).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "fake/model", "title": "Words" })).await;
    let mut replies = Vec::new();
    for number in 1..=11 {
        replies.push(ada.talk(&chat, &long(number)).await.reply);
    }
    let (_, summarized, _) = has_usage(&ada, &chat, |(_, summarized, _)| summarized > 0).await;
    let branch = |parent: &str, number: usize| {
        let (ada, chat, parent) = (ada.clone(), chat.clone(), parent.to_owned());
        async move {
            let input = json!({ "chatId": chat, "parentId": parent, "content": long(number) });
            let sent = ada.send(input).await;
            ada.ended(&sent.reply).await;
            sent
        }
    };
    // A branch from below the checkpoint shares its summary.
    branch(&replies[9], 20).await;
    assert_eq!(usage(&ada, &chat).await.1, summarized);
    // A branch from above has none, until it needs one of its own.
    let mut last = branch(&replies[1], 30).await.reply;
    assert_eq!(usage(&ada, &chat).await.1, 0);
    let shown = preview(&ada, &chat, "Go on").await;
    assert_eq!(shown["messages"][0], json!({ "role": "USER", "content": long(1) }));
    for number in 31..=38 {
        last = branch(&last, number).await.reply;
    }
    has_usage(&ada, &chat, |(_, summarized, _)| summarized > 0).await;
    let requests = provider.requests(Purpose::Summary);
    let content = text(&requests[1]["messages"][1]["content"]);
    assert!(content.contains("Question 2.") && content.contains("Question 30.") && !content.contains("Question 3."));
    // The first branch still has its summary.
    branch(&replies[10], 40).await;
    assert_eq!((usage(&ada, &chat).await.1, provider.requests(Purpose::Summary).len()), (summarized, 2));
    server.stop().await;
});

on_both_databases!(without_a_summary_messages_are_omitted, |database| async move {
    let provider = provider(2_000, || Answer::Status(400)).await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "fake/model", "title": "Words" })).await;
    for number in 1..=20 {
        ada.talk(&chat, &long(number)).await;
    }
    let (tokens, summarized, omitted) = usage(&ada, &chat).await;
    assert!(summarized == 0 && omitted > 0 && (1_000..=1_500).contains(&tokens), "{tokens} {summarized} {omitted}");
    assert_eq!(provider.requests(Purpose::Summary).len(), 1, "a failed attempt is not repeated for each message");
    // The prompt has all messages that are not omitted, and the new one.
    let last = provider.requests(Purpose::Reply).pop().unwrap()["messages"].take();
    assert_eq!(last.as_array().unwrap().len(), usize::try_from(40 - omitted).unwrap() - 1);
    let shown = preview(&ada, &chat, &long(21)).await;
    assert!((1_000..=1_500).contains(&shown["tokens"].as_i64().unwrap()), "{}", shown["tokens"]);

    // A model that is no longer configured has no context.
    server.stop().await;
    let server = Setup::new(&database).start().await;
    let ada = ada.at(server.address);
    let chats = ada.data("{ me { chats { nodes { id contextUsage { tokens } } } } }", json!({})).await;
    assert_eq!(chats["me"]["chats"]["nodes"], json!([{ "id": chat, "contextUsage": null }]));
    assert_eq!(preview(&ada, &chat, "Hi").await, Value::Null);
    server.stop().await;
});
