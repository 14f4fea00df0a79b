//! Reading branches of a chat with thousands of leaves takes as long as in a chat with a few.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::User;
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::trees::LargeTree;

/// The number of measurements of an operation in each chat.
const TIMES: usize = 15;
/// The leaves of the large chat.
const LEAVES: usize = 5_000;
/// Reading all leaves takes several times as long.
const FACTOR: u32 = 3;
/// A message with more than a few messages below it, all of which are older than the leaves: each leaf is tested.
const OLD: &str = "the branch through an older message";
const FACTOR_OF_OLD: u32 = 40;

async fn timed(user: &User, document: &str, variables: Value) -> Duration {
    let start = Instant::now();
    user.data(document, variables).await;
    start.elapsed()
}

/// The medians of an operation in two chats, measured alternately.
async fn medians(user: &User, document: &str, variables: [Value; 2]) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..TIMES {
        for (times, variables) in times.iter_mut().zip(&variables) {
            times.push(timed(user, document, variables.clone()).await);
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[TIMES / 2]
    })
}

#[expect(clippy::print_stdout, reason = "the figures")]
fn report(name: &str, [few, many]: [Duration; 2]) {
    println!("{name}: {few:?} with 40 leaves, {many:?} with {LEAVES}");
}

on_both_databases!(thousands_of_leaves_below_one_message_are_not_read, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let small = LargeTree::wide(&database, &ada, 40, 40).await;
    let large = LargeTree::wide(&database, &ada, 40, LEAVES).await;
    let page = |through: &str| {
        format!(
            "query($chat: ID!, ${through}: ID!) {{ chat(id: $chat) {{ messages(last: 5, branch: ${through}) {{ totalCount nodes {{ id }} }} }} }}"
        )
    };
    let select = "mutation($chat: ID!, $parent: ID!) {
        selectBranch(input: { chatId: $chat, messageId: $parent }) { chat { lastMessage { id } } } }";
    for (name, document) in [
        ("the branch through the parent of the leaves", page("parent")),
        ("the branch through a leaf", page("leaf")),
        ("selectBranch", select.to_owned()),
        (OLD, page("old")),
    ] {
        let variables = [&small, &large]
            .map(|tree| json!({ "chat": tree.chat, "parent": tree.id(42), "leaf": tree.id(45), "old": tree.id(2) }));
        let [few, many] = medians(&ada, &document, variables).await;
        report(name, [few, many]);
        let factor = if name == OLD { FACTOR_OF_OLD } else { FACTOR };
        assert!(many < few * factor, "{name}: {few:?} with 40 leaves, {many:?} with {LEAVES}");
    }
    server.stop().await;
});
