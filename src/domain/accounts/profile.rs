//! Changes of the viewer's own profile.

use serde_json::json;

use super::reauthentication::lock_checked;
use super::registration::taken;
use super::{Accounts, names};
use crate::domain::audit::Action;
use crate::domain::input::{Change, Checks};
use crate::domain::{Client, Error, FieldErrorCode, Result, Viewer, audit};
use crate::entity::user;
use crate::storage::users;

/// The changes of an update.
#[derive(Clone, Default)]
pub struct ProfileChanges {
    /// As at registration. Cannot be cleared. A change requires a session.
    pub username: Change<String>,
    /// As at registration. Cannot be cleared. A change requires the current password and a session.
    pub email: Change<String>,
    /// The current password.
    pub current_password: Option<String>,
    /// At most 100 characters.
    pub full_name: Change<String>,
    /// At most 1,000 characters.
    pub bio: Change<String>,
}

impl Accounts {
    /// Updates the viewer's profile.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all invalid fields; [`Error::Conflict`] if a name is taken. A new e-mail address:
    /// [`Error::InvalidCredentials`] for a wrong password and [`Error::LockedOut`] after too many of them. A new e-mail
    /// address or username: [`Error::Forbidden`] with a personal access token.
    pub async fn update_profile(
        &self,
        viewer: &Viewer,
        changes: ProfileChanges,
        client: &Client,
    ) -> Result<user::Model> {
        let before = self.account(viewer).await?;
        let mut checks = Checks::default();
        let wanted = Wanted::check(&mut checks, &changes);
        let is_new_email = wanted.email.as_ref().is_some_and(|email| *email != before.email);
        if is_new_email || wanted.username.as_ref().is_some_and(|username| *username != before.username) {
            viewer.session()?;
        }
        if is_new_email && changes.current_password.is_none() {
            let why = "Required to change the e-mail address.";
            checks.fail("currentPassword", FieldErrorCode::Required, why);
        }
        checks.finish()?;
        let checked = match changes.current_password {
            Some(password) if is_new_email => Some(self.check_password(viewer, password, client).await?),
            _ => None,
        };

        let transaction = self.0.database.begin().await?;
        let before = match &checked {
            Some(checked) => lock_checked(&transaction, checked).await?,
            None => users::lock(&transaction, viewer.user_id).await?.ok_or(Error::Unauthenticated)?,
        };
        let after = wanted.apply(&before);
        let changed = changed_fields(&before, &after);
        if changed.is_empty() {
            return Ok(before);
        }
        let after = user::Model { updated_at: self.0.clock.now(), ..after };
        if !users::update(&transaction, after.clone()).await? {
            drop(transaction);
            let reader = self.0.database.reader();
            let (username, email) = users::taken(reader, &after.username_key, &after.email_key).await?;
            let is_other = |key: &str, own: &str| key != own;
            return Err(taken(
                username && is_other(&after.username_key, &before.username_key),
                email && is_other(&after.email_key, &before.email_key),
            ));
        }
        let action = if is_new_email { Action::EmailChanged } else { Action::ProfileChanged };
        let entry = self.audit(action, client).by(viewer.user_id).on(viewer.user_id);
        audit::record(&transaction, entry.detail(json!({ "fields": changed }))).await?;
        transaction.commit().await?;
        Ok(after)
    }
}

/// The given fields, validated.
struct Wanted {
    username: Option<String>,
    email: Option<String>,
    full_name: Option<Option<String>>,
    bio: Option<Option<String>>,
}

impl Wanted {
    fn check(checks: &mut Checks, changes: &ProfileChanges) -> Self {
        for (field, is_cleared) in
            [("username", changes.username == Change::Clear), ("email", changes.email == Change::Clear)]
        {
            if is_cleared {
                checks.fail(field, FieldErrorCode::Required, "This cannot be null.");
            }
        }
        let given = |change: &Change<String>| match change {
            Change::Keep => None,
            Change::Clear => Some(None),
            Change::Set(text) => Some(Some(text.clone())),
        };
        Self {
            username: given(&changes.username).flatten().map(|text| names::username(checks, "username", &text)),
            email: given(&changes.email).flatten().map(|text| names::email(checks, "email", &text)),
            full_name: given(&changes.full_name).map(|text| names::full_name(checks, "fullName", text.as_deref())),
            bio: given(&changes.bio).map(|text| names::bio(checks, "bio", text.as_deref())),
        }
    }

    fn apply(self, user: &user::Model) -> user::Model {
        let mut user = user.clone();
        if let Some(username) = self.username {
            (user.username_key, user.username) = (names::key(&username), username);
        }
        if let Some(email) = self.email {
            (user.email_key, user.email) = (names::key(&email), email);
        }
        if let Some(full_name) = self.full_name {
            (user.full_name_key, user.full_name) = (names::full_name_key(full_name.as_deref()), full_name);
        }
        if let Some(bio) = self.bio {
            user.bio = bio;
        }
        user
    }
}

fn changed_fields(before: &user::Model, after: &user::Model) -> Vec<&'static str> {
    let fields = [
        ("username", before.username != after.username),
        ("email", before.email != after.email),
        ("fullName", before.full_name != after.full_name),
        ("bio", before.bio != after.bio),
    ];
    fields.into_iter().filter(|(_, is_changed)| *is_changed).map(|(field, _)| field).collect()
}
