//! Accounts in the schema.

mod lockout;
mod role;
mod session;
mod sign_in;
mod user;

pub use lockout::{LockoutMutations, UnlockUserInput, UnlockUserPayload};
pub use role::{Permission, Role};
pub use session::Session;
pub use sign_in::{AccountMutations, AccountQueries, AuthPayload, LoginInput, LogoutPayload};
pub use sign_in::{RefreshSessionInput, RegisterInput};
pub use user::User;
