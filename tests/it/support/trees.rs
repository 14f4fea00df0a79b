//! Large trees, written past the API.

use duologue::domain::chats;
use duologue::entity::enums::MessageRole;
use duologue::entity::ids::{ChatId, MessageId};
use duologue::entity::message;
use duologue::storage::{Database, messages};
use uuid::Uuid;

use super::client::User;
use super::database::TestDatabase;

/// A part of each message: fifty of them fill the context window of a model.
const TEXT: &str = "Seven sailors sold silver spoons. ";

/// The messages of a large tree, in the order of their creation.
pub(crate) struct LargeTree {
    pub(crate) chat: String,
    rows: Vec<message::Model>,
}

impl LargeTree {
    /// A chat with a branch of `length` messages and `branches` more of two messages each, at points that are spread
    /// over the whole branch, and that are older than its last two messages. The last message of the branch is the end
    /// of the active branch.
    pub(crate) async fn create(database: &TestDatabase, user: &User, length: usize, branches: usize) -> Self {
        let storage = Database::connect(database.url(), 2).await.unwrap();
        let mut tree = Self::start(&storage, user).await;
        let chat = tree.rows[0].chat_id;
        for above in 1..length - 3 {
            tree.grow(chat, above);
        }
        for number in 0..branches {
            // Below a message of the assistant.
            let above = number * (length - 4) / branches / 2 * 2 + 1;
            tree.grow(chat, above);
            tree.grow(chat, tree.rows.len() - 1);
        }
        let last = tree.grow(chat, length - 3);
        tree.grow(chat, last);
        tree.save(&storage, user).await;
        storage.close().await;
        tree
    }

    /// A chat in which the second message has two children: the third message begins a branch of `length` messages, and
    /// the last child has `leaves` children. The newest of them is the end of the active branch.
    pub(crate) async fn wide(database: &TestDatabase, user: &User, length: usize, leaves: usize) -> Self {
        let storage = Database::connect(database.url(), 2).await.unwrap();
        let mut tree = Self::start(&storage, user).await;
        let chat = tree.rows[0].chat_id;
        let mut last = 1;
        for _ in 0..length {
            last = tree.grow(chat, last);
        }
        let parent = tree.grow(chat, 1);
        for _ in 0..leaves {
            tree.grow(chat, parent);
        }
        tree.save(&storage, user).await;
        storage.close().await;
        tree
    }

    /// A chat with a message and its reply.
    async fn start(storage: &Database, user: &User) -> Self {
        let sent = user.ask("demo/fast", "Hi").await;
        assert_eq!(user.ended(&sent.reply).await, "COMPLETE");
        let db = storage.reader();
        let root = messages::find_any(db, sent.message.parse().unwrap()).await.unwrap().unwrap();
        let reply = messages::find_any(db, sent.reply.parse().unwrap()).await.unwrap().unwrap();
        Self { chat: sent.chat, rows: vec![root, reply] }
    }

    /// Inserts the messages after the first two.
    async fn save(&self, storage: &Database, user: &User) {
        let (tree, chat) = (self, self.rows[0].chat_id);
        let transaction = storage.begin().await.unwrap();
        for parent in &tree.rows[..2] {
            messages::mark_followed(&transaction, parent.id).await.unwrap();
        }
        for rows in tree.rows[2..].chunks(500) {
            messages::insert(&transaction, rows).await.unwrap();
        }
        let owner = user.id.parse().unwrap();
        let mut row = duologue::storage::chats::find(&transaction, owner, chat).await.unwrap().unwrap();
        row.message_count = i32::try_from(tree.rows.len()).unwrap();
        row.leaf_id = tree.rows.last().map(|row| row.id);
        duologue::storage::chats::update(&transaction, row).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Adds a message below another one, and returns its number.
    fn grow(&mut self, chat: ChatId, parent: usize) -> usize {
        let above = self.rows[parent].clone();
        let beyond = self.rows.iter().find(|row| row.id == above.jump_id).unwrap();
        let is_double = above.depth - above.jump_depth == above.jump_depth - beyond.jump_depth;
        let jump = if is_double { (beyond.jump_id, beyond.jump_depth) } else { (above.id, above.depth) };
        let id = MessageId(Uuid::from_u128(self.rows[0].id.0.as_u128() + self.rows.len() as u128 + 1_000));
        let role = if above.role == MessageRole::User { MessageRole::Assistant } else { MessageRole::User };
        self.rows[parent].is_leaf = false;
        self.rows.push(message::Model {
            parent_id: Some(above.id),
            depth: above.depth + 1,
            jump_id: jump.0,
            jump_depth: jump.1,
            ..chats::message(id, chat, role, &TEXT.repeat(40), Some(&above), above.created_at)
        });
        self.rows.len() - 1
    }

    /// The id of a message, counted from the first.
    pub(crate) fn id(&self, number: usize) -> String {
        self.rows[number].id.to_string()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
