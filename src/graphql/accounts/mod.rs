//! Accounts: users, sessions, personal access tokens and roles.

mod personal_access_token;
mod role;
mod self_service;
mod session;
mod sign_in;
mod user;

pub use personal_access_token::{PersonalAccessToken, TokenMutations, TokenScope};
pub use role::{Permission, Role};
pub use self_service::SelfServiceMutations;
pub use session::{Session, SessionMutations, SessionQueries};
pub use sign_in::SignInMutations;
pub use user::{User, UserQueries};
