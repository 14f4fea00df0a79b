//! Prompts: reading, creating, updating and deleting them. Writing requires PROMPTS_WRITE. Without it, only templates
//! are visible.

use std::sync::Arc;

use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::clock::{Clock, IdGenerator};
use crate::domain::audit::{self, Action, Entry};
use crate::domain::input::{Change, Checks, Lines, search_key};
use crate::domain::{Client, Error, Result, Viewer, tags};
use crate::entity::enums::{Permission, PromptKind};
use crate::entity::ids::PromptId;
use crate::entity::prompt::Model;
use crate::storage::page::{Page, Window};
use crate::storage::prompts::{self as rows, Filter, PromptCursor, Visible};
use crate::storage::{Database, Transaction};

/// The longest title, in characters.
const MAX_TITLE: usize = 100;
/// The longest content, in characters.
const MAX_CONTENT: usize = 32_000;
/// The maximum number of common prompts. They are part of every system prompt.
pub const MAX_COMMON: usize = 20;
/// The maximum number of characters in all common prompts together.
pub const MAX_COMMON_LENGTH: usize = 64_000;

/// The input for a new prompt.
#[derive(Debug, Clone)]
pub struct NewPrompt {
    /// 1 to 100 characters.
    pub title: String,
    /// 1 to 32,000 characters.
    pub content: String,
    /// The kind. A template if none.
    pub kind: Option<PromptKind>,
    /// At most 10 tags of 50 characters.
    pub tags: Vec<String>,
}

/// The changes of an update. No field can be cleared.
#[derive(Debug, Clone, Default)]
pub struct PromptChanges {
    /// The title.
    pub title: Change<String>,
    /// The content.
    pub content: Change<String>,
    /// The kind.
    pub kind: Change<PromptKind>,
    /// The tags.
    pub tags: Change<Vec<String>>,
}

/// Reads and writes prompts. Cheap to clone.
#[derive(Clone)]
pub struct Prompts {
    /// The database.
    pub database: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Generates ids.
    pub ids: Arc<IdGenerator>,
}

impl Prompts {
    /// Those of these prompts that are visible to the viewer.
    ///
    /// # Errors
    /// When the database fails. The same holds for the methods below.
    pub async fn find_all(&self, viewer: &Viewer, ids: &[PromptId]) -> Result<Vec<Model>> {
        Ok(rows::find_all(self.database.reader(), visible_to(viewer), ids).await?)
    }

    /// A page of the prompts that are visible to the viewer, by title.
    pub async fn page(&self, viewer: &Viewer, filter: &Filter, window: Window<PromptCursor>) -> Result<Page<Model>> {
        Ok(rows::page(self.database.reader(), visible_to(viewer), filter, window).await?)
    }

    /// The number of visible prompts that match the filter.
    pub async fn count(&self, viewer: &Viewer, filter: &Filter) -> Result<u64> {
        Ok(rows::count(self.database.reader(), visible_to(viewer), filter).await?)
    }

    /// The tags of these prompts, with the id of their prompt, in the order of each prompt.
    pub async fn tags(&self, ids: &[PromptId]) -> Result<Vec<(PromptId, String)>> {
        Ok(rows::tags(self.database.reader(), ids).await?)
    }

    /// Creates a prompt.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without PROMPTS_WRITE; [`Error::Invalid`]; [`Error::Conflict`] beyond the limits of common
    /// prompts.
    pub async fn create(&self, viewer: &Viewer, client: &Client, new: NewPrompt) -> Result<Model> {
        viewer.require(Permission::PromptsWrite)?;
        let mut checks = Checks::default();
        let title = title(&mut checks, &new.title);
        content(&mut checks, &new.content);
        let tags = tags::check(&mut checks, "tags", new.tags);
        checks.finish()?;
        let now = self.clock.now();
        let prompt = Model {
            id: PromptId(self.ids.next(now)),
            title_key: title.to_lowercase(),
            title,
            content: new.content,
            kind: new.kind.unwrap_or(PromptKind::Template),
            created_at: now,
            updated_at: now,
        };
        let transaction = self.database.begin().await?;
        rows::lock_table(&transaction).await?;
        rows::insert(&transaction, prompt.clone()).await?;
        rows::set_tags(&transaction, prompt.id, &tags).await?;
        limit_common(&transaction, &prompt).await?;
        self.commit(transaction, viewer, client, Action::PromptCreated, &prompt, &[]).await?;
        Ok(prompt)
    }

    /// Updates a prompt.
    ///
    /// # Errors
    /// As [`Prompts::create`], and [`Error::NotFound`].
    pub async fn update(
        &self,
        viewer: &Viewer,
        client: &Client,
        id: PromptId,
        changes: PromptChanges,
    ) -> Result<Model> {
        viewer.require(Permission::PromptsWrite)?;
        let mut checks = Checks::default();
        let new_title = checks.required("title", changes.title);
        let new_title = new_title.map(|text| title(&mut checks, &text));
        let new_content = checks.required("content", changes.content);
        if let Some(text) = &new_content {
            content(&mut checks, text);
        }
        let new_kind = checks.required("kind", changes.kind);
        let new_tags = checks.required("tags", changes.tags);
        let new_tags = new_tags.map(|tags| tags::check(&mut checks, "tags", tags));
        checks.finish()?;
        let fields = [
            ("title", new_title.is_some()),
            ("content", new_content.is_some()),
            ("kind", new_kind.is_some()),
            ("tags", new_tags.is_some()),
        ];
        let transaction = self.database.begin().await?;
        rows::lock_table(&transaction).await?;
        let mut prompt = rows::find_any(&transaction, id).await?.ok_or(Error::NotFound)?;
        if let Some(title) = new_title {
            (prompt.title_key, prompt.title) = (title.to_lowercase(), title);
        }
        prompt.content = new_content.unwrap_or(prompt.content);
        prompt.kind = new_kind.unwrap_or(prompt.kind);
        prompt.updated_at = self.clock.now();
        rows::update(&transaction, prompt.clone()).await?;
        if let Some(tags) = new_tags {
            rows::set_tags(&transaction, id, &tags).await?;
        }
        limit_common(&transaction, &prompt).await?;
        let fields: Vec<&str> = fields.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| field).collect();
        self.commit(transaction, viewer, client, Action::PromptUpdated, &prompt, &fields).await?;
        Ok(prompt)
    }

    /// Deletes a prompt.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without PROMPTS_WRITE; [`Error::NotFound`].
    pub async fn delete(&self, viewer: &Viewer, client: &Client, id: PromptId) -> Result<()> {
        viewer.require(Permission::PromptsWrite)?;
        let transaction = self.database.begin().await?;
        rows::lock_table(&transaction).await?;
        let prompt = rows::find_any(&transaction, id).await?.ok_or(Error::NotFound)?;
        rows::delete(&transaction, id).await?;
        self.commit(transaction, viewer, client, Action::PromptDeleted, &prompt, &[]).await
    }

    async fn commit(
        &self,
        transaction: Transaction,
        viewer: &Viewer,
        client: &Client,
        action: Action,
        prompt: &Model,
        fields: &[&str],
    ) -> Result<()> {
        let kind = match prompt.kind {
            PromptKind::Template => "TEMPLATE",
            PromptKind::Common => "COMMON",
        };
        let detail = match action {
            Action::PromptUpdated => json!({ "title": prompt.title, "kind": kind, "fields": fields }),
            _ => json!({ "title": prompt.title, "kind": kind }),
        };
        let entry = Entry::new(action, &self.ids, self.clock.now()).by(viewer.user_id).on(prompt.id).from(client.ip);
        audit::record(&transaction, entry.detail(detail)).await?;
        Ok(transaction.commit().await?)
    }
}

/// The filter of a list, from its arguments.
///
/// # Errors
/// [`Error::Invalid`] for a malformed text or tag.
pub fn filter(query: Option<&str>, kind: Option<PromptKind>, tags: Vec<String>) -> Result<Filter> {
    let title_key = search_key("filter.query", query)?;
    let mut checks = Checks::default();
    let tags = tags::check(&mut checks, "filter.tags", tags);
    checks.finish()?;
    Ok(Filter { title_key, kind, tags })
}

fn visible_to(viewer: &Viewer) -> Visible {
    if viewer.may(Permission::PromptsWrite) { Visible::All } else { Visible::Templates }
}

/// Checks the limits of all common prompts after a common prompt was written.
async fn limit_common(db: &impl ConnectionTrait, written: &Model) -> Result<()> {
    if written.kind != PromptKind::Common {
        return Ok(());
    }
    let common = rows::common(db).await?;
    let length: usize = common.iter().map(|prompt| prompt.content.chars().count()).sum();
    let message = match (common.len() > MAX_COMMON, length > MAX_COMMON_LENGTH) {
        (true, _) => "At most 20 common prompts are allowed.",
        (_, true) => "All common prompts together have at most 64,000 characters.",
        _ => return Ok(()),
    };
    Err(Error::Conflict { message, fields: Vec::new() })
}

fn title(checks: &mut Checks, text: &str) -> String {
    let title = text.trim();
    checks.text("title", title, 1..=MAX_TITLE, Lines::One);
    title.to_owned()
}

fn content(checks: &mut Checks, text: &str) {
    checks.text("content", text, 1..=MAX_CONTENT, Lines::Many);
}
