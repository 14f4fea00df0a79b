//! How long messages and how many replies may be.

use super::values::number;

/// The section.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ReplySettings {
    /// Longest message that a user may send, in Unicode characters.
    #[arg(long, default_value = "8000", value_parser = number::<u32>(1..=200_000))]
    pub max_message_length: u32,
    /// Replies that may be written at once for one user.
    #[arg(long, default_value = "3", value_parser = number::<u32>(1..=1000))]
    pub max_replies_per_user: u32,
    /// Replies that may be written at once by this node.
    #[arg(long, default_value = "2000", value_parser = number::<u32>(1..=100_000))]
    pub max_replies: u32,
}
