//! Any sequence of changes keeps the tree of a chat consistent: what the server answers is what a simple model of the
//! tree says, and the rows fulfil every invariant.

use std::collections::BTreeMap;

use duologue::entity::enums::MessageRole;
use duologue::entity::ids::{ChatId, MessageId};
use duologue::entity::{chat, message};
use duologue::storage::Database;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use crate::support::client::{Answer, User, text};
use crate::support::database::on_both_databases;
use crate::support::provider::FakeProvider;
use crate::support::server::Setup;

/// The number of sequences, for each database.
const CASES: u32 = 24;

/// A change. A number chooses one of the messages, oldest first.
#[derive(Debug, Clone)]
enum Change {
    /// At the end of the active branch, or below a message. The reply stalls, or is complete at once.
    Send {
        below: Option<usize>,
        stalls: bool,
    },
    Edit(usize),
    Regenerate {
        of: usize,
        stalls: bool,
    },
    Select(usize),
    Stop(usize),
    Delete(usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    let message = 0_usize..1_000;
    prop_oneof![
        6 => (proptest::option::of(message.clone()), any::<bool>()).prop_map(|(below, stalls)| Change::Send { below, stalls }),
        3 => message.clone().prop_map(Change::Edit),
        3 => (message.clone(), any::<bool>()).prop_map(|(of, stalls)| Change::Regenerate { of, stalls }),
        3 => message.clone().prop_map(Change::Select),
        2 => message.clone().prop_map(Change::Stop),
        3 => message.prop_map(Change::Delete),
    ]
}

/// The model: the messages in the order of their creation, which is the order of their ids.
#[derive(Debug, Default)]
struct Tree {
    messages: BTreeMap<String, Node>,
    leaf: Option<String>,
}

#[derive(Debug, Clone)]
struct Node {
    parent: Option<String>,
    is_user: bool,
    is_streaming: bool,
}

impl Tree {
    fn add(&mut self, id: &Value, parent: Option<&str>, is_user: bool, is_streaming: bool) {
        let node = Node { parent: parent.map(str::to_owned), is_user, is_streaming };
        self.messages.insert(text(id), node);
        self.leaf = Some(text(id));
    }

    fn choose(&self, number: usize) -> Option<String> {
        let count = self.messages.len();
        (count > 0).then(|| self.messages.keys().nth(number % count).cloned()).flatten()
    }

    fn parent(&self, id: &str) -> Option<&str> {
        self.messages[id].parent.as_deref()
    }

    fn children(&self, parent: Option<&str>) -> Vec<String> {
        let children = self.messages.iter().filter(|(_, node)| node.parent.as_deref() == parent);
        children.map(|(id, _)| id.clone()).collect()
    }

    fn branch(&self, leaf: Option<&str>) -> Vec<String> {
        let mut branch: Vec<String> = std::iter::successors(leaf, |id| self.parent(id)).map(str::to_owned).collect();
        branch.reverse();
        branch
    }

    fn is_below(&self, id: &str, top: &str) -> bool {
        self.branch(Some(id)).iter().any(|above| above == top)
    }

    /// The newest leaf at or below a message, or of the whole tree.
    fn newest(&self, top: Option<&str>) -> Option<String> {
        let leaves = self.messages.keys().rev().filter(|id| self.children(Some(id)).is_empty());
        leaves.into_iter().find(|id| top.is_none_or(|top| self.is_below(id, top))).cloned()
    }

    fn delete(&mut self, top: &str) {
        let parent = self.parent(top).map(str::to_owned);
        let gone: Vec<String> = self.messages.keys().filter(|id| self.is_below(id, top)).cloned().collect();
        self.messages.retain(|id, _| !gone.contains(id));
        if self.leaf.as_ref().is_some_and(|leaf| gone.contains(leaf)) {
            self.leaf = self.newest(parent.as_deref());
        }
    }
}

struct Case<'a> {
    user: &'a User,
    storage: &'a Database,
    chat: String,
    tree: Tree,
}

fn model(stalls: bool) -> &'static str {
    if stalls { "demo/stalls" } else { "fake/model" }
}

impl Case<'_> {
    /// Makes a change on the server and in the model. What the model refuses, the server refuses with the same code.
    async fn make(&mut self, change: &Change) -> Result<(), TestCaseError> {
        match *change {
            Change::Send { below, stalls } => {
                let parent = below.and_then(|number| self.tree.choose(number));
                let input =
                    json!({ "chatId": self.chat, "parentId": parent, "content": "Hi", "modelId": model(stalls) });
                let above = parent.or_else(|| self.tree.leaf.clone());
                let refused = above.as_ref().and_then(|above| match &self.tree.messages[above] {
                    Node { is_user: true, .. } => Some("INVALID_INPUT"),
                    Node { is_streaming: true, .. } => Some("CONFLICT"),
                    _ => None,
                });
                let answer = self.user.mutate("sendMessage", "message { id } reply { id }", input).await;
                if let Some(code) = refused {
                    prop_assert_eq!(answer.code(), code);
                    return Ok(());
                }
                let sent = answer.data()["sendMessage"].take();
                self.tree.add(&sent["message"]["id"], above.as_deref(), true, false);
                self.replied(&sent["reply"]["id"], &text(&sent["message"]["id"]), stalls).await;
            }
            Change::Edit(number) => {
                let Some(id) = self.tree.choose(number) else { return Ok(()) };
                let node = self.tree.messages[&id].clone();
                let input = json!({ "messageId": id, "content": "Ho", "modelId": "fake/model" });
                let edited = self.user.mutate("editMessage", "message { id } reply { id }", input).await.data();
                let edited = &edited["editMessage"];
                self.tree.add(&edited["message"]["id"], node.parent.as_deref(), node.is_user, false);
                prop_assert_eq!(edited["reply"].is_null(), !node.is_user);
                if node.is_user {
                    self.replied(&edited["reply"]["id"], &text(&edited["message"]["id"]), false).await;
                }
            }
            Change::Regenerate { of, stalls } => {
                let Some(id) = self.tree.choose(of) else { return Ok(()) };
                let node = self.tree.messages[&id].clone();
                let input = json!({ "messageId": id, "modelId": model(stalls) });
                let answer = self.user.mutate("regenerateReply", "reply { id }", input).await;
                let Some(question) = (if node.is_user { Some(id) } else { node.parent }) else {
                    prop_assert_eq!(answer.code(), "INVALID_INPUT");
                    return Ok(());
                };
                let reply = answer.data()["regenerateReply"]["reply"]["id"].take();
                self.replied(&reply, &question, stalls).await;
            }
            Change::Select(number) => {
                let Some(id) = self.tree.choose(number) else { return Ok(()) };
                let input = json!({ "chatId": self.chat, "messageId": id });
                self.user.mutate("selectBranch", "chat { id }", input).await.data();
                self.tree.leaf = self.tree.newest(Some(&id));
            }
            Change::Stop(number) => {
                let Some(id) = self.tree.choose(number) else { return Ok(()) };
                let answer = self.user.mutate("stopReply", "message { status }", json!({ "messageId": id })).await;
                let Some(node) = self.tree.messages.get_mut(&id).filter(|node| !node.is_user) else {
                    prop_assert_eq!(answer.code(), "NOT_FOUND");
                    return Ok(());
                };
                let stopped = answer.data()["stopReply"]["message"]["status"].take();
                prop_assert_eq!(stopped == "STOPPED", node.is_streaming || stopped == "STOPPED");
                node.is_streaming = false;
            }
            Change::Delete(number) => {
                let Some(id) = self.tree.choose(number) else { return Ok(()) };
                let payload = "messageId chat { messageCount }";
                let deleted = self.user.mutate("deleteMessage", payload, json!({ "messageId": id })).await.data();
                self.tree.delete(&id);
                prop_assert_eq!(&deleted["deleteMessage"]["chat"]["messageCount"], &json!(self.tree.messages.len()));
            }
        }
        Ok(())
    }

    /// Adds a reply to the model, and waits for its end unless it stalls.
    async fn replied(&mut self, reply: &Value, question: &str, stalls: bool) {
        self.tree.add(reply, Some(question), false, stalls);
        if !stalls {
            assert_eq!(self.user.ended(&text(reply)).await, "COMPLETE");
        }
    }

    /// What the API shows: the active branch, the number of messages, and the siblings of one message.
    async fn check_answers(&self, number: usize) -> Result<(), TestCaseError> {
        let document = "query($id: ID!) { chat(id: $id) { messageCount lastMessage { id } messages(last: 100) { totalCount nodes { id } } } }";
        let shown = self.user.data(document, json!({ "id": self.chat })).await["chat"].take();
        let branch = self.tree.branch(self.tree.leaf.as_deref());
        let nodes: Vec<Value> = branch.iter().map(|id| json!({ "id": id })).collect();
        let last = nodes.last().cloned().unwrap_or(Value::Null);
        let expected = json!({
            "messageCount": self.tree.messages.len(),
            "lastMessage": last,
            "messages": { "totalCount": nodes.len(), "nodes": nodes },
        });
        prop_assert_eq!(shown, expected);
        let Some(id) = self.tree.choose(number) else { return Ok(()) };
        let list = |ids: Vec<String>| ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>();
        let family = self.user.message(&id, "siblings { id } children { id }").await;
        let siblings = list(self.tree.children(self.tree.parent(&id)));
        prop_assert_eq!(family, json!({ "siblings": siblings, "children": list(self.tree.children(Some(&id))) }));
        let document = format!(
            "query($id: ID!) {{ chat(id: $id) {{ messages(last: 1, branch: \"{id}\") {{ totalCount nodes {{ id }} }} }} }}"
        );
        let through = self.user.data(&document, json!({ "id": self.chat })).await["chat"]["messages"].take();
        let newest = self.tree.newest(Some(&id));
        let length = self.tree.branch(newest.as_deref()).len();
        prop_assert_eq!(through, json!({ "totalCount": length, "nodes": [{ "id": newest }] }));
        Ok(())
    }

    /// The rows.
    async fn check_rows(&self) -> Result<(), TestCaseError> {
        let db = self.storage.reader();
        let id: ChatId = self.chat.parse().unwrap();
        let chat = chat::Entity::find_by_id(id).one(db).await.unwrap().unwrap();
        let rows = message::Entity::find().filter(message::Column::ChatId.eq(id)).all(db).await.unwrap();
        let rows: BTreeMap<MessageId, message::Model> = rows.into_iter().map(|row| (row.id, row)).collect();
        prop_assert_eq!(i64::from(chat.message_count), rows.len() as i64);
        prop_assert_eq!(chat.leaf_id.is_some(), !rows.is_empty());
        if let Some(leaf) = chat.leaf_id {
            prop_assert!(rows[&leaf].is_leaf, "the active branch ends in a leaf");
        }
        for row in rows.values() {
            let has_children = rows.values().any(|child| child.parent_id == Some(row.id));
            prop_assert_eq!(row.is_leaf, !has_children, "{}", row.id);
            let Some(parent) = row.parent_id else {
                prop_assert_eq!((row.depth, row.jump_id, row.jump_depth), (0, row.id, 0));
                continue;
            };
            let parent = rows.get(&parent);
            prop_assert!(parent.is_some(), "the parent is in the same chat");
            let parent = parent.unwrap();
            prop_assert_eq!(row.depth, parent.depth + 1);
            prop_assert!(row.role != parent.role && [row.role, parent.role].contains(&MessageRole::User));
            // A skew-binary jump: both jumps of the parent, if they have the same length.
            let beyond = &rows[&parent.jump_id];
            let is_double = parent.depth - parent.jump_depth == parent.jump_depth - beyond.jump_depth;
            let jump = if is_double { (beyond.jump_id, beyond.jump_depth) } else { (parent.id, parent.depth) };
            prop_assert_eq!((row.jump_id, row.jump_depth), jump);
        }
        Ok(())
    }
}

async fn run(user: &User, storage: &Database, greeting: Option<&str>, changes: &[Change]) -> Result<(), TestCaseError> {
    let payload = "chat { id lastMessage { id } }";
    let input = json!({ "characterId": greeting, "modelId": "fake/model" });
    let Answer(made) = user.mutate("createChat", payload, input).await;
    let made = &made["data"]["createChat"]["chat"];
    let mut case = Case { user, storage, chat: text(&made["id"]), tree: Tree::default() };
    if greeting.is_some() {
        case.tree.add(&made["lastMessage"]["id"], None, false, false);
    }
    for (number, change) in changes.iter().enumerate() {
        case.make(change).await?;
        case.check_answers(number * 7).await?;
        case.check_rows().await?;
    }
    user.mutate("deleteChat", "chatId", json!({ "chatId": case.chat })).await.data();
    Ok(())
}

on_both_databases!(any_changes_keep_the_tree_consistent, |database| async move {
    let provider = FakeProvider::start().await;
    // Beside a real model, the demo models are shown that the file names.
    let models = std::fs::read_to_string(provider.models_file()).unwrap();
    std::fs::write(provider.models_file(), format!("{models}[[models]]\nid = \"demo/stalls\"\n")).unwrap();
    let server = Setup::new(&database).with("MODELS_FILE", provider.models_file()).start().await;
    let ada = server.sign_up("ada").await;
    let found = ada.data("{ characters { nodes { id greeting } } }", json!({})).await;
    let nodes = found["characters"]["nodes"].as_array().unwrap().clone();
    let character = nodes.iter().find(|one| one["greeting"].is_string()).map(|one| text(&one["id"])).unwrap();
    let storage = Database::connect(database.url(), 2).await.unwrap();

    let strategy = (any::<bool>(), proptest::collection::vec(any_change(), 1..24));
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let outcome = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&strategy, |(is_greeted, changes)| {
            let greeting = is_greeted.then_some(character.as_str());
            tokio::runtime::Handle::current().block_on(run(&ada, &storage, greeting, &changes))
        })
    });
    outcome.unwrap();
    storage.close().await;
    server.stop().await;
});
