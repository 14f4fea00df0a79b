//! The message tree of a chat: branches, their pages and their cursors.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, Sent, text};
use crate::support::database::on_both_databases;
use crate::support::provider::FakeProvider;
use crate::support::server::Setup;

async fn run(client: &Client, chat: &str, arguments: &str) -> Answer {
    let document = format!(
        "query($id: ID!) {{ chat(id: $id) {{ messages({arguments}) {{ totalCount nodes {{ id }} edges {{ cursor node {{ id }} }}
           pageInfo {{ hasPreviousPage hasNextPage startCursor endCursor }} }} }} }}"
    );
    client.run(&document.replace("messages()", "messages"), json!({ "id": chat })).await
}

/// A page: the ids, the cursors, whether there are previous and next pages, and the length of the branch.
async fn page(client: &Client, chat: &str, arguments: &str) -> (Vec<String>, [String; 2], [bool; 2], i64) {
    let found = run(client, chat, arguments).await.data()["chat"]["messages"].take();
    let nodes: Vec<String> = found["nodes"].as_array().unwrap().iter().map(|node| text(&node["id"])).collect();
    let edges: Vec<String> = found["edges"].as_array().unwrap().iter().map(|edge| text(&edge["node"]["id"])).collect();
    assert_eq!(nodes, edges);
    let info = &found["pageInfo"];
    let cursors = ["startCursor", "endCursor"].map(|name| info[name].as_str().unwrap_or("").to_owned());
    let more = ["hasPreviousPage", "hasNextPage"].map(|name| info[name].as_bool().unwrap());
    (nodes, cursors, more, found["totalCount"].as_i64().unwrap())
}

/// Sends a message below another one and waits for the end of the reply.
async fn branch_off(client: &Client, chat: &str, parent: &str, content: &str) -> Sent {
    let sent = client.send(json!({ "chatId": chat, "parentId": parent, "content": content })).await;
    assert_eq!(client.ended(&sent.reply).await, "COMPLETE");
    sent
}

on_both_databases!(a_branch_is_paged_backwards_and_forwards, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
    let mut all = Vec::new();
    for number in 0..13 {
        let sent = ada.talk(&chat, &number.to_string()).await;
        all.extend([sent.message, sent.reply]);
    }
    let (ids, _, more, total) = page(&ada, &chat, "").await;
    assert_eq!((ids.as_slice(), more, total), (&all[6..], [true, false], 26), "the newest 20");

    // Backwards, in pages of seven.
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let (mut ids, [start, _], [has_previous, has_next], _) = page(&ada, &chat, &format!("last: 7 {before}")).await;
        assert_eq!(has_next, !before.is_empty());
        ids.extend(seen);
        seen = ids;
        before = format!("before: \"{start}\"");
        if !has_previous {
            break;
        }
    }
    assert_eq!(seen, all);
    // Forwards.
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (ids, [_, end], [has_previous, has_next], _) = page(&ada, &chat, &format!("first: 7 {after}")).await;
        assert_eq!(has_previous, !after.is_empty());
        seen.extend(ids);
        after = format!("after: \"{end}\"");
        if !has_next {
            break;
        }
    }
    assert_eq!(seen, all);
    let (_, [start, _], ..) = page(&ada, &chat, "first: 4").await;
    let (_, [_, end], ..) = page(&ada, &chat, "first: 9").await;
    let (ids, ..) = page(&ada, &chat, &format!("after: \"{start}\", before: \"{end}\"")).await;
    assert_eq!(ids, all[1..8], "between two cursors");
    let (ids, ..) = page(&ada, &chat, &format!("after: \"{start}\", before: \"{end}\", last: 2")).await;
    assert_eq!(ids, all[6..8]);

    // New messages do not affect a cursor.
    let next = ada.talk(&chat, "more").await;
    let (ids, _, more, _) = page(&ada, &chat, &format!("last: 100, before: \"{end}\"")).await;
    assert_eq!((ids.as_slice(), more), (&all[..8], [false, true]));
    let (ids, ..) = page(&ada, &chat, "last: 1").await;
    assert_eq!(ids, [next.reply]);
    server.stop().await;
});

on_both_databases!(sending_below_an_older_message_creates_a_branch, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "demo/fast" })).await;
    let one = ada.talk(&chat, "one").await;
    let two = ada.talk(&chat, "two").await;
    let three = ada.talk(&chat, "three").await;
    let first = [&one.message, &one.reply, &two.message, &two.reply, &three.message, &three.reply];
    let (ids, [_, old_end], ..) = page(&ada, &chat, "").await;
    assert_eq!(ids.iter().collect::<Vec<_>>(), first);

    let other = branch_off(&ada, &chat, &one.reply, "other").await;
    let second = [&one.message, &one.reply, &other.message, &other.reply];
    let (ids, _, _, total) = page(&ada, &chat, "").await;
    assert_eq!((ids.iter().collect::<Vec<_>>(), total), (second.to_vec(), 4), "the new branch is active");
    let of = "query($id: ID!) { chat(id: $id) { messageCount lastMessage { id } } }";
    let shown = ada.data(of, json!({ "id": chat })).await;
    assert_eq!(shown["chat"], json!({ "messageCount": 8, "lastMessage": { "id": other.reply } }));

    // `branch` with a message of the inactive branch returns that branch without activating it. With a shared message,
    // it returns the newest branch.
    for through in [&two.message, &two.reply, &three.reply] {
        let (ids, _, _, total) = page(&ada, &chat, &format!("branch: \"{through}\"")).await;
        assert_eq!((ids.iter().collect::<Vec<_>>(), total), (first.to_vec(), 6), "{through}");
    }
    let (ids, ..) = page(&ada, &chat, &format!("branch: \"{}\"", one.reply)).await;
    assert_eq!(ids.iter().collect::<Vec<_>>(), second);
    let (ids, ..) = page(&ada, &chat, "").await;
    assert_eq!(ids.iter().collect::<Vec<_>>(), second, "the active branch is the same");

    // A cursor of a message outside of the active branch continues in the branch of that message.
    let (ids, _, more, total) = page(&ada, &chat, &format!("last: 3, before: \"{old_end}\"")).await;
    assert_eq!((ids.iter().collect::<Vec<_>>(), more, total), (first[2..5].to_vec(), [true, true], 6));
    let (_, [_, shared], ..) = page(&ada, &chat, &format!("first: 2, branch: \"{}\"", two.message)).await;
    let (ids, ..) = page(&ada, &chat, &format!("first: 9, after: \"{shared}\"")).await;
    assert_eq!(
        ids.iter().collect::<Vec<_>>(),
        second[2..],
        "a cursor of a shared message continues in the active branch"
    );
    let both = format!("first: 9, after: \"{shared}\", branch: \"{}\"", two.message);
    assert_eq!(page(&ada, &chat, &both).await.0.iter().collect::<Vec<_>>(), first[2..]);

    // Siblings, children, parents.
    let fields = "parent { id } children { id } siblings { id }";
    let id = |message: &str| json!({ "id": message });
    let shown = ada.message(&two.message, fields).await;
    let siblings = json!([id(&two.message), id(&other.message)]);
    assert_eq!(shown, json!({ "parent": id(&one.reply), "children": [id(&two.reply)], "siblings": siblings }));
    assert_eq!(ada.message(&one.reply, fields).await["children"], siblings);
    assert_eq!(ada.message(&one.message, fields).await["siblings"], json!([id(&one.message)]));
    assert_eq!(ada.message(&three.reply, fields).await["children"], json!([]));

    // A message at the end of the inactive branch activates it.
    let four = branch_off(&ada, &chat, &three.reply, "four").await;
    let (ids, _, _, total) = page(&ada, &chat, "").await;
    assert_eq!((ids.last(), total), (Some(&four.reply), 8));
    server.stop().await;
});

on_both_databases!(the_branch_through_each_message_of_a_deep_chat_is_found, |database| async move {
    let provider = FakeProvider::start().await;
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let chat = ada.new_chat(json!({ "modelId": "fake/model" })).await;
    let mut all = Vec::new();
    for number in 0..40 {
        let sent = ada.talk(&chat, &number.to_string()).await;
        all.extend([sent.message, sent.reply]);
    }
    // A short branch starts in the middle. `branch` with each message returns the newest branch through it.
    let off = branch_off(&ada, &chat, &all[41], "off").await;
    for (depth, message) in all.iter().enumerate() {
        let (ids, _, _, total) = page(&ada, &chat, &format!("first: 100, branch: \"{message}\"")).await;
        let (expected, length) = if depth <= 41 { (&off.reply, 44) } else { (all.last().unwrap(), 80) };
        assert_eq!((ids.len(), total), (length, length as i64), "{depth}");
        assert_eq!((ids.last(), ids.get(depth)), (Some(expected), Some(message)), "{depth}");
    }
    server.stop().await;
});

on_both_databases!(messages_and_cursors_of_other_chats_are_rejected, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let mine = ada.ask("demo/fast", "mine").await;
    let other = ada.ask("demo/fast", "other").await;
    let hers = eve.ask("demo/fast", "hers").await;
    for sent in [&mine, &other] {
        ada.ended(&sent.reply).await;
    }
    eve.ended(&hers.reply).await;
    let none = "msg_01h455vb4pex5vsknk084sn02q";
    for parent in [other.reply.as_str(), &hers.reply, none] {
        let input = json!({ "chatId": mine.chat, "parentId": parent, "content": "Hi" });
        assert_eq!(ada.try_send(input).await.unwrap().code(), "NOT_FOUND");
        for arguments in ["", "first: 5, ", "last: 5, "] {
            let (ids, cursors, more, total) = page(&ada, &mine.chat, &format!("{arguments}branch: \"{parent}\"")).await;
            assert_eq!(
                (ids.len(), more, total),
                (0, [false, false], 0),
                "an unknown id is an empty page, not an error: {cursors:?}"
            );
        }
    }
    let input = json!({ "chatId": mine.chat, "parentId": mine.chat, "content": "Hi" });
    assert_eq!(ada.try_send(input).await.unwrap().complaint(), "INVALID_INPUT parentId:MALFORMED");
    let answer = run(&ada, &mine.chat, "branch: \"x\"").await;
    assert_eq!(answer.complaint(), "INVALID_INPUT branch:MALFORMED");

    // Cursors of another chat, and forged ones.
    let (_, [cursor, _], ..) = page(&ada, &other.chat, "").await;
    let answer = run(&ada, &mine.chat, &format!("first: 1, after: \"{cursor}\"")).await;
    assert_eq!(answer.code(), "INVALID_INPUT");
    let honest = String::from_utf8(URL_SAFE_NO_PAD.decode(&cursor).unwrap()).unwrap();
    let honest: Value =
        serde_json::from_str(&honest.replace(&other.message, &mine.message).replace(&other.reply, &mine.reply))
            .unwrap();
    for depth in [-1, -1_000, i64::from(i32::MIN), i64::from(i32::MAX), 1_000, i64::MAX] {
        let mut forged = honest.clone();
        forged["depth"] = json!(depth);
        let forged = URL_SAFE_NO_PAD.encode(forged.to_string());
        for arguments in [format!("first: 5, after: \"{forged}\""), format!("last: 5, before: \"{forged}\"")] {
            let answer = run(&ada, &mine.chat, &arguments).await;
            assert!(answer.0["errors"].is_null() || answer.code() == "INVALID_INPUT", "{depth}: {}", answer.0);
        }
    }
    server.stop().await;
});

/// The newest leaf below a message, computed recursively, to compare with the result of the storage.
fn leaf_below(
    rows: &[duologue::entity::message::Model],
    id: duologue::entity::ids::MessageId,
) -> duologue::entity::ids::MessageId {
    let below = rows.iter().filter(|row| row.parent_id == Some(id));
    below.map(|row| leaf_below(rows, row.id)).max().unwrap_or(id)
}

on_both_databases!(many_branches_are_found_in_one_batch, |database| async move {
    use duologue::entity::ids::{ChatId, MessageId};
    use duologue::storage::{Database, branches as tree, messages};

    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo/unicode", "Hi").await;
    ada.ended(&sent.reply).await;
    let chat_id: ChatId = ada.new_chat(json!({ "modelId": "demo/unicode" })).await.parse().unwrap();
    let storage = Database::connect(database.url(), 2).await.unwrap();
    let template = messages::find_any(storage.reader(), sent.message.parse().unwrap()).await.unwrap().unwrap();
    // A trunk of ten messages with older branches at each, and 40 leaves at its end, more than one query reads.
    let id = |n: u128| MessageId(uuid::Uuid::from_u128(chat_id.0.as_u128() + 1 + n));
    let mut rows = vec![duologue::entity::message::Model { id: id(0), chat_id, jump_id: id(0), ..template }];
    let mut grow = |parent: usize| {
        let (of, id) = (rows[parent].clone(), id(rows.len() as u128));
        rows[parent].is_leaf = false;
        let place = duologue::entity::message::Model {
            id,
            parent_id: Some(of.id),
            depth: of.depth + 1,
            is_leaf: true,
            ..of.clone()
        };
        rows.push(duologue::entity::message::Model { jump_id: of.id, jump_depth: of.depth, ..place });
        rows.len() - 1
    };
    let trunk: Vec<usize> = (0..10)
        .scan(0, |last, _| {
            *last = grow(*last);
            Some(*last)
        })
        .collect();
    for (number, node) in trunk.iter().enumerate() {
        let mut last = *node;
        for _ in 0..number % 4 {
            last = grow(last);
        }
    }
    for _ in 0..40 {
        grow(trunk[9]);
    }
    let transaction = storage.begin().await.unwrap();
    messages::insert(&transaction, &rows).await.unwrap();
    transaction.commit().await.unwrap();

    let db = storage.reader();
    let ids: Vec<MessageId> = rows.iter().map(|row| row.id).collect();
    let newest = tree::newest_leaves_below(db, &ids).await.unwrap();
    for row in &rows {
        let (found, wanted) = (newest[&row.id], leaf_below(&rows, row.id));
        assert_eq!((found.id, found.chat_id), (wanted, chat_id), "below depth {}", row.depth);
    }
    let parts: Vec<_> =
        rows.iter().map(|row| tree::BranchPart { below: row.id, from: row.depth / 2, to: row.depth + 1 }).collect();
    let found = tree::branches(db, &parts, u64::MAX).await.unwrap();
    let ancestors =
        tree::ancestors(db, &rows.iter().map(|row| (row.id, row.depth / 2)).collect::<Vec<_>>()).await.unwrap();
    for (number, part) in parts.iter().enumerate() {
        let alone = messages::branch(db, part.below, part.from, part.to).await.unwrap();
        let of_part: Vec<_> = found.iter().filter(|(of, _)| *of == number).map(|(_, row)| row.clone()).collect();
        assert_eq!(of_part, alone);
        assert_eq!(ancestors.iter().find(|(of, _)| *of == number).unwrap().1, alone[0].id);
    }
    // No row is read after the first one beyond the limit of bytes.
    assert_eq!(tree::branches(db, &parts, 0).await.unwrap().len(), 1);
    assert_eq!(tree::branches(db, &[], 0).await.unwrap(), []);
    storage.close().await;
    server.kill().await;
});
