//! Database rows, ids and enumerations, without dependencies on other modules.

pub mod audit_entry;
pub mod character;
pub mod character_tag;
pub mod chat;
pub mod conversation;
pub mod direct_message;
pub mod enums;
pub mod idempotency_key;
pub mod ids;
pub mod ledger_entry;
pub mod login_failure;
pub mod login_network;
pub mod message;
pub mod node;
pub mod password_reset;
pub mod personal_access_token;
pub mod reply_chunk;
pub mod role;
pub mod session;
pub mod tool_call;
pub mod usage_total;
pub mod user;
pub mod user_block;
pub mod user_role;
