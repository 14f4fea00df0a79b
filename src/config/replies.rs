//! Settings for messages and replies.

use super::values::number;

/// Settings for messages and replies.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Replies")]
pub struct ReplySettings {
    /// Maximum length of a message, in Unicode characters.
    #[arg(long, default_value = "8000", value_parser = number::<u32>(1..=200_000))]
    pub max_message_length: u32,
    /// Concurrent replies per user.
    #[arg(long, default_value = "3", value_parser = number::<u32>(1..=1000))]
    pub max_replies_per_user: u32,
    /// Concurrent replies per server process.
    #[arg(long, default_value = "2000", value_parser = number::<u32>(1..=100_000))]
    pub max_replies: u32,
}
