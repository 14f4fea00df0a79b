//! The fields of a character that users write, and their limits.

use chrono::DateTime;
use uuid::Uuid;

use crate::domain::input::{Change, Checks, Lines};
use crate::domain::{FieldErrorCode, Registry, Result, tags};
use crate::entity::character::Model;
use crate::entity::ids::CharacterId;

/// The longest name, in characters.
const MAX_NAME: usize = 100;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1_000;
/// The longest greeting, in characters.
const MAX_GREETING: usize = 8_000;
/// The longest instructions, in characters.
const MAX_SYSTEM_PROMPT: usize = 32_000;
/// The longest URL of a picture, in characters.
const MAX_AVATAR_URL: usize = 2_000;
/// The highest temperature.
const MAX_TEMPERATURE: f64 = 2.0;

/// The input for a new character.
#[derive(Debug, Clone, Default)]
pub struct NewCharacter {
    /// 1 to 100 characters.
    pub name: String,
    /// At most 1,000 characters.
    pub description: Option<String>,
    /// An http or https URL of at most 2,000 characters.
    pub avatar_url: Option<String>,
    /// At most 8,000 characters.
    pub greeting: Option<String>,
    /// 1 to 32,000 characters.
    pub system_prompt: String,
    /// A configured model.
    pub model_id: Option<String>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// At least 1.
    pub max_output_tokens: Option<i32>,
    /// Whether it is visible to all users. False if none.
    pub is_public: Option<bool>,
    /// At most 10 tags of 50 characters.
    pub tags: Vec<String>,
}

/// The changes of an update.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CharacterChanges {
    /// The name. Cannot be cleared.
    pub name: Change<String>,
    /// The description.
    pub description: Change<String>,
    /// The URL of the picture.
    pub avatar_url: Change<String>,
    /// The greeting.
    pub greeting: Change<String>,
    /// The instructions. Cannot be cleared.
    pub system_prompt: Change<String>,
    /// The model.
    pub model_id: Change<String>,
    /// The temperature.
    pub temperature: Change<f64>,
    /// The maximum number of output tokens.
    pub max_output_tokens: Change<i32>,
    /// Whether it is public. Cannot be cleared.
    pub is_public: Change<bool>,
    /// The tags. Cannot be cleared.
    pub tags: Change<Vec<String>>,
}

/// Checked changes. None leaves a field unchanged.
#[derive(Debug, Clone, Default)]
pub(super) struct Checked {
    name: Option<String>,
    description: Option<Option<String>>,
    avatar_url: Option<Option<String>>,
    greeting: Option<Option<String>>,
    system_prompt: Option<String>,
    model_id: Option<Option<String>>,
    temperature: Option<Option<f64>>,
    max_output_tokens: Option<Option<i32>>,
    is_public: Option<bool>,
    pub(super) tags: Option<Vec<String>>,
}

impl NewCharacter {
    /// Checks the input, and returns the row, whose id, owner, visibility and times the caller sets, and the tags.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`].
    pub(super) fn check(self, models: &Registry) -> Result<(Model, Vec<String>)> {
        let set = |value: Option<String>| value.map_or(Change::Keep, Change::Set);
        let changes = CharacterChanges {
            name: Change::Set(self.name),
            description: set(self.description),
            avatar_url: set(self.avatar_url),
            greeting: set(self.greeting),
            system_prompt: Change::Set(self.system_prompt),
            model_id: set(self.model_id),
            temperature: self.temperature.map_or(Change::Keep, Change::Set),
            max_output_tokens: self.max_output_tokens.map_or(Change::Keep, Change::Set),
            is_public: Change::Keep,
            tags: Change::Set(self.tags),
        };
        let checked = changes.check(models)?;
        let tags = checked.tags.clone().unwrap_or_default();
        let empty = Model {
            id: CharacterId(Uuid::nil()),
            owner_id: None,
            name: String::new(),
            name_key: String::new(),
            description: None,
            avatar_url: None,
            greeting: None,
            system_prompt: String::new(),
            model_id: None,
            temperature: None,
            max_output_tokens: None,
            is_public: false,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            deleted_at: None,
        };
        Ok((checked.apply(empty), tags))
    }
}

impl CharacterChanges {
    /// # Errors
    /// [`crate::domain::Error::Invalid`].
    pub(super) fn check(self, models: &Registry) -> Result<Checked> {
        let mut checks = Checks::default();
        let name = checks.required("name", self.name).map(|name| name.trim().to_owned());
        if let Some(name) = &name {
            checks.text("name", name, 1..=MAX_NAME, Lines::One);
        }
        let description = optional(self.description).map(|text| {
            let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
            text.inspect(|text| checks.text("description", text, 0..=MAX_DESCRIPTION, Lines::Many))
        });
        let avatar_url = optional(self.avatar_url).map(|url| url.inspect(|url| avatar_url(&mut checks, url)));
        let greeting = optional(self.greeting).map(|text| {
            let text = text.filter(|text| !text.trim().is_empty());
            text.inspect(|text| checks.text("greeting", text, 0..=MAX_GREETING, Lines::Many))
        });
        let system_prompt = checks.required("systemPrompt", self.system_prompt);
        if let Some(text) = &system_prompt {
            checks.text("systemPrompt", text, 1..=MAX_SYSTEM_PROMPT, Lines::Many);
        }
        let model_id = optional(self.model_id);
        if let Some(Some(_)) = model_id.as_ref().map(|id| id.as_ref().filter(|id| models.get(id).is_none())) {
            checks.fail("modelId", FieldErrorCode::Unknown, "This model does not exist.");
        }
        let temperature = optional(self.temperature);
        // NaN is not in the range either.
        if let Some(Some(value)) = temperature
            && !(0.0..=MAX_TEMPERATURE).contains(&value)
        {
            checks.fail("temperature", FieldErrorCode::OutOfRange, "Must be between 0 and 2.");
        }
        let max_output_tokens = optional(self.max_output_tokens);
        if let Some(Some(..1)) = max_output_tokens {
            checks.fail("maxOutputTokens", FieldErrorCode::OutOfRange, "Must be at least 1.");
        }
        let is_public = checks.required("isPublic", self.is_public);
        let tags = checks.required("tags", self.tags).map(|tags| tags::check(&mut checks, "tags", tags));
        checks.finish()?;
        Ok(Checked {
            name,
            description,
            avatar_url,
            greeting,
            system_prompt,
            model_id,
            temperature,
            max_output_tokens,
            is_public,
            tags,
        })
    }
}

impl Checked {
    /// The names of the changed fields.
    pub(super) fn fields(&self) -> Vec<&'static str> {
        let fields = [
            ("name", self.name.is_some()),
            ("description", self.description.is_some()),
            ("avatarUrl", self.avatar_url.is_some()),
            ("greeting", self.greeting.is_some()),
            ("systemPrompt", self.system_prompt.is_some()),
            ("modelId", self.model_id.is_some()),
            ("temperature", self.temperature.is_some()),
            ("maxOutputTokens", self.max_output_tokens.is_some()),
            ("isPublic", self.is_public.is_some()),
            ("tags", self.tags.is_some()),
        ];
        fields.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| field).collect()
    }

    /// The row with these changes.
    pub(super) fn apply(self, row: Model) -> Model {
        let name = self.name.unwrap_or(row.name);
        Model {
            name_key: name.to_lowercase(),
            name,
            description: self.description.unwrap_or(row.description),
            avatar_url: self.avatar_url.unwrap_or(row.avatar_url),
            greeting: self.greeting.unwrap_or(row.greeting),
            system_prompt: self.system_prompt.unwrap_or(row.system_prompt),
            model_id: self.model_id.unwrap_or(row.model_id),
            temperature: self.temperature.unwrap_or(row.temperature),
            max_output_tokens: self.max_output_tokens.unwrap_or(row.max_output_tokens),
            is_public: self.is_public.unwrap_or(row.is_public),
            ..row
        }
    }
}

/// The new value of a field that can be cleared. None leaves it unchanged.
fn optional<T>(change: Change<T>) -> Option<Option<T>> {
    match change {
        Change::Keep => None,
        Change::Clear => Some(None),
        Change::Set(value) => Some(Some(value)),
    }
}

/// Checks that browsers load a picture from this URL over http or https.
fn avatar_url(checks: &mut Checks, url: &str) {
    let is_http = reqwest::Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
    // The parser skips control characters, and space around the URL.
    let is_plain = !url.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if url.trim().is_empty() || (is_http && is_plain) {
        checks.text("avatarUrl", url, 1..=MAX_AVATAR_URL, Lines::One);
    } else {
        checks.fail("avatarUrl", FieldErrorCode::Malformed, "Not an http or https URL.");
    }
}
