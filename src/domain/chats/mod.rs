//! Chats: finding, listing, creating, updating and deleting them.

mod access;
mod admin;
pub mod branches;
mod deletion;
mod events;
mod message;
pub(in crate::domain) mod titles;
pub(in crate::domain) mod tree;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use access::ChatAccess;
pub use events::ChatEvent;
pub use message::{MAX_SIBLINGS, message};

use crate::clock::{Clock, IdGenerator};
use crate::domain::idempotency::{self, Answer, Key};
use crate::domain::input::{Change, Checks, Lines};
use crate::domain::macros::Macros;
use crate::domain::{Error, FieldErrorCode, Result, Viewer, characters, search};
use crate::entity::enums::{MessageRole, TitleState};
use crate::entity::ids::{CharacterId, ChatId, MessageId, UserId};
use crate::entity::{self, character, chat};
use crate::events::{Bus, Event};
use crate::llm::registry::{Model, Registry};
use crate::storage::chats::{ChatCursor, Filter};
use crate::storage::page::{Page, Window};
use crate::storage::{self, Database};

/// The messages that one transaction removes. On SQLite, the removal of a message from the full-text index, which
/// overwrites each of its words, takes up to 4 ms.
const SWEEP_BATCH: u64 = 20;
/// The longest title, in characters.
const MAX_TITLE: usize = 200;

/// The input for a new chat.
#[derive(Debug, Clone, Default)]
pub struct NewChat {
    /// The character. If none, the chat is with the bare model.
    pub character_id: Option<CharacterId>,
    /// Its title.
    pub title: Option<String>,
    /// The model of the replies. If none, the character's model or the server's default is used.
    pub model_id: Option<String>,
    /// The idempotency key. A repeated call with the same key returns the same chat.
    pub idempotency_key: Option<String>,
}

impl NewChat {
    /// Checks everything that does not need the database. `prefix` is the path to the input (`newChat.`).
    pub fn check(&self, checks: &mut Checks, prefix: &str) {
        if let Some(title) = &self.title {
            checks.text(&format!("{prefix}title"), title, 1..=MAX_TITLE, Lines::One);
        }
    }
}

/// The changes of an update.
#[derive(Debug, Clone, Default)]
pub struct ChatChanges {
    /// The title.
    pub title: Change<String>,
    /// The model. Cannot be cleared.
    pub model_id: Change<String>,
    /// The character. If cleared, the chat is with the bare model.
    pub character_id: Change<CharacterId>,
    /// Whether the chat is pinned. Cannot be cleared.
    pub is_pinned: Change<bool>,
    /// Whether the chat is archived. Cannot be cleared.
    pub is_archived: Change<bool>,
}

/// Stops running replies when they or their chats are deleted.
pub trait StopReplies: Send + Sync {
    /// Stops those of these replies that this node writes.
    fn stop(&self, replies: &[MessageId]);

    /// Stops the replies in a chat.
    fn stop_chat(&self, chat: ChatId);

    /// Stops the replies of a user.
    fn stop_user(&self, owner: UserId);
}

/// Reads and writes chats. Cheap to clone.
#[derive(Clone)]
pub struct Chats {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Generates ids.
    pub ids: Arc<IdGenerator>,
    /// The models.
    pub models: Arc<Registry>,
    /// The running replies, which are stopped when their chat is deleted.
    pub running: Arc<dyn StopReplies>,
    /// Carries changes to subscribers.
    pub bus: Arc<dyn Bus>,
}

impl Chats {
    /// A chat of the viewer.
    ///
    /// # Errors
    /// When the database fails. The same holds for the methods below.
    pub async fn find(&self, viewer: &Viewer, id: ChatId) -> Result<Option<chat::Model>> {
        Ok(storage::chats::find(self.database.reader(), viewer.user_id, id).await?)
    }

    /// The readable ones of these chats.
    pub async fn find_all(&self, access: ChatAccess, ids: &[ChatId]) -> Result<Vec<chat::Model>> {
        Ok(storage::chats::find_all(self.database.reader(), access.readable(), ids).await?)
    }

    /// A page of the viewer's chats, most recently active first.
    pub async fn page(
        &self,
        viewer: &Viewer,
        filter: &Filter,
        window: Window<ChatCursor>,
    ) -> Result<Page<chat::Model>> {
        Ok(storage::chats::page(self.database.reader(), ChatAccess::from(viewer).readable(), filter, window).await?)
    }

    /// The number of the viewer's chats that match the filter.
    pub async fn count(&self, viewer: &Viewer, filter: &Filter) -> Result<u64> {
        Ok(storage::chats::count(self.database.reader(), ChatAccess::from(viewer).readable(), filter).await?)
    }

    /// Creates a chat. If its character has a greeting, that becomes the first message.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`] for a character that is not visible to the viewer; [`Error::Conflict`]
    /// if the idempotency key was used with other input.
    pub async fn create(&self, viewer: &Viewer, input: NewChat) -> Result<chat::Model> {
        let mut checks = Checks::default();
        input.check(&mut checks, "");
        idempotency::check(&mut checks, input.idempotency_key.as_deref());
        checks.finish()?;
        let now = self.clock.now();
        let chat_id = ChatId(self.ids.next(now));
        let key = create_key(viewer, &input);
        let chat = if key.is_none() && input.character_id.is_none() {
            // A single statement, which needs no transaction.
            self.insert(self.database.writer(), viewer, &input, chat_id, now).await?
        } else {
            let transaction = self.database.begin().await?;
            if let Some(key) = key {
                let answer = Answer { chat_id, message_id: None, reply_id: None };
                if let Some(first) = idempotency::take(&transaction, key, answer, now).await? {
                    let chat = storage::chats::find(&transaction, viewer.user_id, first.chat_id).await?;
                    return chat.ok_or(Error::NotFound);
                }
            }
            let chat = self.insert(&transaction, viewer, &input, chat_id, now).await?;
            transaction.commit().await?;
            chat
        };
        self.bus.publish(viewer.user_id, &[Event::ChatAdded(chat_id)]);
        Ok(chat)
    }

    async fn insert(
        &self,
        db: &impl ConnectionTrait,
        viewer: &Viewer,
        input: &NewChat,
        id: ChatId,
        now: DateTime<Utc>,
    ) -> Result<chat::Model> {
        let plan = NewChatPlan::make(db, viewer, input, "", id, &self.models, &self.ids, now).await?;
        plan.write(db).await?;
        Ok(plan.chat)
    }

    /// Updates a chat.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`] for a chat of another user or a character that is not visible to the
    /// viewer.
    pub async fn update(&self, viewer: &Viewer, id: ChatId, changes: ChatChanges) -> Result<chat::Model> {
        let mut checks = Checks::default();
        if let Change::Set(title) = &changes.title {
            checks.text("title", title, 1..=MAX_TITLE, Lines::One);
        }
        let cleared = [
            ("modelId", changes.model_id == Change::Clear),
            ("isPinned", changes.is_pinned == Change::Clear),
            ("isArchived", changes.is_archived == Change::Clear),
        ];
        for (field, _) in cleared.iter().filter(|(_, is_cleared)| *is_cleared) {
            checks.fail(field, FieldErrorCode::Required, "This cannot be null.");
        }
        checks.finish()?;

        let transaction = self.database.begin().await?;
        let mut chat = storage::chats::lock(&transaction, viewer.user_id, id).await?.ok_or(Error::NotFound)?;
        let before = chat.clone();
        match changes.title {
            Change::Keep => {}
            Change::Clear => {
                (chat.title, chat.title_key) = (None, None);
                if chat.title_state != TitleState::Due {
                    chat.title_state = TitleState::Final;
                }
            }
            Change::Set(title) => {
                (chat.title, chat.title_key) = (Some(title.clone()), Some(title.to_lowercase()));
                chat.title_state = TitleState::Final;
            }
        }
        match changes.character_id {
            Change::Keep => {}
            Change::Clear => chat.character_id = None,
            Change::Set(character) => {
                chat.character_id =
                    Some(characters::find_in(&transaction, viewer, character).await?.ok_or(Error::NotFound)?.id);
            }
        }
        if let Change::Set(model) = changes.model_id {
            chat.model_id = available_model(&self.models, &model, "modelId")?.id.clone();
        }
        if let Change::Set(is_pinned) = changes.is_pinned {
            chat.is_pinned = is_pinned;
        }
        if let Change::Set(is_archived) = changes.is_archived {
            chat.is_archived = is_archived;
        }
        let is_changed = chat != before;
        chat.updated_at = self.clock.now();
        storage::chats::update(&transaction, chat.clone()).await?;
        transaction.commit().await?;
        if is_changed {
            self.bus.publish(viewer.user_id, &[Event::ChatChanged(id)]);
        }
        Ok(chat)
    }

    /// Deletes a chat. It is hidden from all readers at once, its running reply is stopped, and its messages are
    /// removed later by [`Chats::sweep`].
    ///
    /// # Errors
    /// [`Error::NotFound`] if the viewer has no such chat.
    pub async fn delete(&self, viewer: &Viewer, id: ChatId) -> Result<()> {
        let transaction = self.database.begin().await?;
        if !storage::chats::mark_deleted(&transaction, viewer.user_id, id, self.clock.now()).await? {
            return Err(Error::NotFound);
        }
        storage::messages::request_stop_in(&transaction, id).await?;
        transaction.commit().await?;
        self.running.stop_chat(id);
        self.bus.publish(viewer.user_id, &[Event::ChatDeleted(id)]);
        Ok(())
    }

    /// Deletes all chats of a user, as [`Chats::delete`] does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_all(&self, owner: UserId) -> Result<()> {
        let transaction = self.database.begin().await?;
        storage::chats::mark_all_deleted(&transaction, owner, self.clock.now()).await?;
        storage::messages::request_stop_of(&transaction, owner).await?;
        transaction.commit().await?;
        self.running.stop_user(owner);
        Ok(())
    }

    /// Removes deleted chats and their messages in batches, and pauses after each for as long as it took, so that other
    /// writers of SQLite do not wait for long. After a restart it continues where it stopped. A chat with a reply that
    /// is still streaming is left to the next call, so that the end of the reply is saved.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, stop: &CancellationToken) -> Result<()> {
        let mut after = None;
        while let Some(id) = storage::chats::find_deleted(self.database.reader(), after).await? {
            self.complete_deletion(id).await?;
            let mut has_more = true;
            while has_more && !stop.is_cancelled() {
                let start = Instant::now();
                let transaction = self.database.begin().await?;
                has_more = storage::chats::sweep(&transaction, id, SWEEP_BATCH).await?;
                transaction.commit().await?;
                stop.run_until_cancelled(tokio::time::sleep(start.elapsed())).await;
            }
            if stop.is_cancelled() {
                break;
            }
            after = Some(id);
        }
        Ok(())
    }

    /// Removes expired idempotency keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_old_keys(&self) -> Result<()> {
        let transaction = self.database.begin().await?;
        storage::idempotency::delete_older(&transaction, self.clock.now() - idempotency::LIFETIME).await?;
        Ok(transaction.commit().await?)
    }
}

/// The rows of a new chat, before they are inserted.
pub struct NewChatPlan {
    /// The chat.
    pub chat: chat::Model,
    /// Its character.
    pub character: Option<character::Model>,
    /// The character's greeting, which becomes the first message.
    pub greeting: Option<entity::message::Model>,
}

impl NewChatPlan {
    /// Checks the input against the database and builds the rows.
    ///
    /// # Errors
    /// As [`Chats::create`].
    #[expect(clippy::too_many_arguments, reason = "the inputs of the two mutations that create chats")]
    pub async fn make(
        db: &impl ConnectionTrait,
        viewer: &Viewer,
        input: &NewChat,
        prefix: &str,
        id: ChatId,
        models: &Registry,
        ids: &IdGenerator,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let character = match input.character_id {
            Some(character) => Some(characters::find_in(db, viewer, character).await?.ok_or(Error::NotFound)?),
            None => None,
        };
        let preferred = character.as_ref().and_then(|character| character.model_id.as_deref());
        let preferred = preferred.and_then(|id| models.get(id)).filter(|model| model.is_available);
        let model = match (&input.model_id, preferred) {
            (Some(model), _) => available_model(models, model, &format!("{prefix}modelId"))?,
            (None, Some(model)) => model,
            (None, None) => Arc::clone(models.default_model()),
        };
        let greeting = match &character {
            Some(character) => greeting(db, viewer, character, now).await?,
            None => None,
        };
        let greeting =
            greeting.map(|words| message(MessageId(ids.next(now)), id, MessageRole::Assistant, &words, None, now));
        let chat = chat::Model {
            id,
            owner_id: viewer.user_id,
            title: input.title.clone(),
            title_key: input.title.as_ref().map(|title| title.to_lowercase()),
            title_state: if input.title.is_some() { TitleState::Final } else { TitleState::Due },
            character_id: input.character_id,
            model_id: model.id.clone(),
            is_pinned: false,
            is_archived: false,
            message_count: greeting.iter().map(|_| 1).sum(),
            leaf_id: greeting.as_ref().map(|greeting| greeting.id),
            created_at: now,
            updated_at: now,
            active_at: now,
            deleted_at: None,
        };
        Ok(Self { chat, character, greeting })
    }

    /// Inserts the rows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(&self, db: &impl ConnectionTrait) -> Result<()> {
        storage::chats::insert(db, self.chat.clone()).await?;
        if let Some(greeting) = &self.greeting {
            storage::messages::insert(db, std::slice::from_ref(greeting)).await?;
            search::index(db, [greeting]).await?;
        }
        Ok(())
    }
}

/// The greeting of a character for the viewer.
async fn greeting(
    db: &impl ConnectionTrait,
    viewer: &Viewer,
    character: &character::Model,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    let Some(greeting) = &character.greeting else { return Ok(None) };
    let user = storage::users::find_all(db, &[viewer.user_id]).await?.pop().ok_or(Error::Unauthenticated)?;
    Ok(Some(Macros::new(&user, Some(character), now).expand(greeting)))
}

/// Checks that a model is available.
///
/// # Errors
/// [`Error::Invalid`] at `path` if the model does not exist or its provider is not configured.
pub fn available_model(models: &Registry, id: &str, path: &str) -> Result<Arc<Model>> {
    match models.get(id) {
        Some(model) if model.is_available => Ok(model),
        Some(_) => Err(Error::invalid(
            path,
            FieldErrorCode::NotAllowed,
            "This model is not available: its provider is not configured.",
        )),
        None => Err(Error::invalid(path, FieldErrorCode::Unknown, "This model does not exist.")),
    }
}

fn create_key(viewer: &Viewer, input: &NewChat) -> Option<Key> {
    let key = input.idempotency_key.clone()?;
    let character = input.character_id.map(|id| id.to_string());
    let values = [character.as_deref(), input.title.as_deref(), input.model_id.as_deref()];
    Some(Key { user_id: viewer.user_id, field: "createChat", key, input_hash: idempotency::fingerprint(&values) })
}
