//! Accounts: users, sessions, personal access tokens and roles.

mod lockout;
mod personal_access_token;
mod role;
mod self_service;
mod session;
mod sign_in;
mod user;

pub use lockout::{LockoutMutations, UnlockUserInput, UnlockUserPayload};
pub use personal_access_token::{PersonalAccessToken, TokenScope};
pub use role::{Permission, Role};
pub use self_service::SelfServiceMutations;
pub use session::Session;
pub use sign_in::{AccountMutations, AccountQueries, AuthPayload, LoginInput, LogoutPayload};
pub use sign_in::{RefreshSessionInput, RegisterInput};
pub use user::User;
