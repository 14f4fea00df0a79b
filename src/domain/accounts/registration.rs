//! Creating accounts: by registration, by an operator, and the default admin.

use super::{Accounts, SignedIn, names};
use crate::config::auth::DefaultAdmin;
use crate::domain::audit::Action;
use crate::domain::input::Checks;
use crate::domain::{Client, Error, FieldError, FieldErrorCode, Result, audit};
use crate::entity::ids::UserId;
use crate::entity::{role, user};
use crate::storage::{roles, sessions, users};

/// The input for a new account.
#[derive(Clone)]
pub struct NewUser {
    /// 3 to 32 ASCII letters, digits, dots, hyphens and underscores; unique without regard to case.
    pub username: String,
    /// An e-mail address; unique without regard to case.
    pub email: String,
    /// 8 to 128 characters. Must not be easy to guess.
    pub password: String,
    /// At most 100 characters.
    pub full_name: Option<String>,
}

/// The input for a new account and its first session.
#[derive(Clone)]
pub struct Registration {
    /// The account.
    pub user: NewUser,
    /// A name for the device; at most 100 characters.
    pub device: Option<String>,
}

/// Whether the strength of a password is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    Required,
    /// Not checked here: the configuration has its own rules for this password.
    Unchecked,
}

impl Accounts {
    /// Creates an account and signs it in.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if registration is closed, [`Error::Invalid`] with all invalid fields, [`Error::Conflict`]
    /// if a name is taken.
    pub async fn register(&self, registration: Registration, client: &Client) -> Result<SignedIn> {
        if !self.0.is_registration_open {
            return Err(Error::Forbidden);
        }
        let mut checks = Checks::default();
        let device = names::device(&mut checks, "device", registration.device.as_deref());
        let mut user = self.prepare(checks, registration.user, Strength::Required).await?;
        user.last_seen_at = Some(user.created_at);
        let session = self.new_session(user.id, device, client)?;
        let transaction = self.0.database.begin().await?;
        if !users::insert(&transaction, user.clone()).await? {
            drop(transaction);
            return Err(self.conflict(&user).await?);
        }
        roles::assign(&transaction, user.id, role::USER).await?;
        sessions::insert(&transaction, session.row.clone()).await?;
        self.know_network(&transaction, user.id, &client.network().to_string()).await?;
        let entry = self.audit(Action::UserRegistered, client).by(user.id).on(user.id);
        audit::record(&transaction, entry).await?;
        transaction.commit().await?;
        self.signed_in(user, session).await
    }

    /// Creates an account without signing in, for the command line.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all invalid fields, [`Error::Conflict`] if a name is taken.
    pub async fn create_user(&self, user: NewUser, is_admin: bool) -> Result<user::Model> {
        self.create(user, is_admin, Strength::Required).await
    }

    /// Creates the default admin, unless an admin exists. Returns whether it was created.
    ///
    /// # Errors
    /// As [`Accounts::create_user`]. The strength of the password is not checked: the configuration does that in
    /// production.
    pub async fn create_default_admin(&self, admin: DefaultAdmin) -> Result<bool> {
        if roles::is_assigned(self.0.database.reader(), role::ADMIN).await? {
            return Ok(false);
        }
        let DefaultAdmin { username, email, password } = admin;
        let user = NewUser { username, email, password: password.expose().to_owned(), full_name: None };
        match self.create(user, true, Strength::Unchecked).await {
            Ok(_) => Ok(true),
            // Another node that started at the same time has created it.
            Err(Error::Conflict { .. }) if roles::is_assigned(self.0.database.reader(), role::ADMIN).await? => {
                Ok(false)
            }
            Err(cause) => Err(cause),
        }
    }

    async fn create(&self, user: NewUser, is_admin: bool, strength: Strength) -> Result<user::Model> {
        let user = self.prepare(Checks::default(), user, strength).await?;
        let transaction = self.0.database.begin().await?;
        if !users::insert(&transaction, user.clone()).await? {
            drop(transaction);
            return Err(self.conflict(&user).await?);
        }
        roles::assign(&transaction, user.id, role::USER).await?;
        if is_admin {
            roles::assign(&transaction, user.id, role::ADMIN).await?;
        }
        transaction.commit().await?;
        Ok(user)
    }

    /// Validates the input and hashes the password. The result only needs to be inserted.
    pub(super) async fn prepare(&self, mut checks: Checks, new: NewUser, strength: Strength) -> Result<user::Model> {
        let username = names::username(&mut checks, "username", &new.username);
        let email = names::email(&mut checks, "email", &new.email);
        let full_name = names::full_name(&mut checks, "fullName", new.full_name.as_deref());
        if strength == Strength::Required {
            let known = [username.as_str(), email.as_str(), full_name.as_deref().unwrap_or_default()];
            if let Some((code, advice)) = self.0.passwords.check_strength(&new.password, &known).await? {
                checks.fail("password", code, advice);
            }
        }
        checks.finish()?;
        let now = self.0.clock.now();
        let mut user = user::Model {
            id: UserId(self.0.ids.next(now)),
            username_key: names::key(&username),
            username,
            email_key: names::key(&email),
            email,
            password_hash: String::new(),
            full_name_key: names::full_name_key(full_name.as_deref()),
            full_name,
            bio: None,
            is_active: true,
            created_at: now,
            updated_at: now,
            last_seen_at: None,
            deleted_at: None,
            cost_limit: None,
            token_limit: None,
        };
        // Checked before the hash, which is expensive. The unique indexes have the final say.
        let (username, email) = users::taken(self.0.database.reader(), &user.username_key, &user.email_key).await?;
        if username || email {
            return Err(taken(username, email));
        }
        user.password_hash = self.0.passwords.hash(new.password).await?;
        Ok(user)
    }

    /// The error for a user that violates a unique index.
    pub(super) async fn conflict(&self, user: &user::Model) -> Result<Error> {
        let (username, email) = users::taken(self.0.database.reader(), &user.username_key, &user.email_key).await?;
        Ok(taken(username, email))
    }
}

/// The error for a taken username or e-mail address.
pub(super) fn taken(username: bool, email: bool) -> Error {
    let field = |is_taken: bool, path, message| is_taken.then(|| FieldError::new(path, FieldErrorCode::Taken, message));
    let fields = [
        field(username, "username", "This username is taken."),
        field(email, "email", "This e-mail address is taken."),
    ];
    let message = "The username or the e-mail address is taken.";
    Error::Conflict { message, fields: fields.into_iter().flatten().collect() }
}
