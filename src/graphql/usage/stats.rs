//! The types of statistics: totals of a user and of the system, and the buckets of a usage series.

use async_graphql::{Enum, ID, Object, SimpleObject};

use crate::domain::usage::{self as domain, Sums};
use crate::graphql::accounts::User;
use crate::graphql::characters::Character;
use crate::graphql::scalars::{Count, DateTime, Microdollars};

/// Statistics of a user. Usage includes titles and summaries, and remains when chats are deleted.
#[derive(Debug, SimpleObject)]
pub struct UserStats {
    /// The number of chats of the user.
    chat_count: Count,
    /// The number of messages in these chats, on all branches, including replies and greetings.
    message_count: Count,
    /// The number of input tokens, including cached ones.
    input_tokens: Count,
    /// The number of output tokens.
    output_tokens: Count,
    /// The cost. Models without prices are not included.
    cost: Microdollars,
    /// The time when the oldest of these messages was created. Null if there are none.
    first_message_at: Option<DateTime>,
    /// The time when the newest of these messages was created. Null if there are none.
    last_message_at: Option<DateTime>,
}

impl From<domain::UserStats> for UserStats {
    fn from(stats: domain::UserStats) -> Self {
        let owned = stats.owned.as_ref();
        Self {
            chat_count: Count(owned.map_or(0, |owned| owned.chat_count)),
            message_count: Count(owned.map_or(0, |owned| owned.message_count)),
            input_tokens: Count(stats.calls.input_tokens),
            output_tokens: Count(stats.calls.output_tokens),
            cost: Microdollars::from_nanodollars(stats.calls.cost),
            first_message_at: owned.and_then(|owned| owned.first_message_at).map(DateTime),
            last_message_at: owned.and_then(|owned| owned.last_message_at).map(DateTime),
        }
    }
}

/// Statistics of the whole system for a time range. Tokens and cost include titles and summaries, and remain when chats
/// and users are deleted.
#[derive(Debug, SimpleObject)]
pub struct SystemStats {
    /// The number of accounts that were created in the range and still exist.
    user_count: Count,
    /// The number of existing users who sent a message, or asked for another reply, in the range.
    active_user_count: Count,
    /// The number of chats that were created in the range and still exist.
    chat_count: Count,
    /// The number of messages that were created in the range and still exist, including replies and greetings.
    message_count: Count,
    /// The number of replies that started in the range and have ended, with any status.
    reply_count: Count,
    /// The number of these replies that are FAILED or INTERRUPTED.
    failed_reply_count: Count,
    /// The number of input tokens, including cached ones.
    input_tokens: Count,
    /// The number of output tokens.
    output_tokens: Count,
    /// The cost. Models without prices are not included.
    cost: Microdollars,
}

impl From<domain::SystemStats> for SystemStats {
    fn from(stats: domain::SystemStats) -> Self {
        let domain::SystemStats { created, active_users, calls } = stats;
        Self {
            user_count: Count(created.users),
            active_user_count: Count(active_users),
            chat_count: Count(created.chats),
            message_count: Count(created.messages),
            reply_count: Count(calls.replies),
            failed_reply_count: Count(calls.failed_replies),
            input_tokens: Count(calls.input_tokens),
            output_tokens: Count(calls.output_tokens),
            cost: Microdollars::from_nanodollars(calls.cost),
        }
    }
}

/// The length of the buckets of a usage series, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::entity::enums::Span")]
pub enum UsageInterval {
    /// An hour.
    Hour,
    /// A day, from midnight to midnight.
    Day,
    /// A calendar month.
    Month,
}

/// The grouping of the buckets of a usage series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::usage::Group")]
pub enum UsageGroup {
    /// The user.
    User,
    /// The model.
    Model,
    /// The character of the chat.
    Character,
}

/// A bucket of a usage series: the provider calls that started in it and have ended. `user`, `modelId` or `character`
/// is set, depending on `groupBy`. All are null without `groupBy`, with `isRest`, and in the groups of deleted users
/// and of chats without a character that the viewer may see.
#[derive(Debug, Clone)]
pub struct UsageBucket(pub domain::UsageBucket);

impl UsageBucket {
    fn calls(&self) -> Sums {
        self.0.calls
    }
}

/// A bucket of a usage series: the provider calls that started in it and have ended. `user`, `modelId` or `character`
/// is set, depending on `groupBy`. All are null without `groupBy`, with `isRest`, and in the groups of deleted users
/// and of chats without a character that the viewer may see.
#[Object]
impl UsageBucket {
    /// The start of the bucket.
    async fn start(&self) -> DateTime {
        DateTime(self.0.start)
    }

    /// Whether the bucket sums all groups beyond the first 20.
    async fn is_rest(&self) -> bool {
        self.0.is_rest
    }

    /// The user of the group.
    async fn user(&self) -> Option<User> {
        match &self.0.subject {
            domain::Subject::User(row) => Some(User::from(row.as_ref().clone())),
            _ => None,
        }
    }

    /// The ID of the model of the group. The model may no longer be configured.
    async fn model_id(&self) -> Option<ID> {
        match &self.0.subject {
            domain::Subject::Model(id) => Some(ID(id.clone())),
            _ => None,
        }
    }

    /// The character of the group.
    async fn character(&self) -> Option<Character> {
        match &self.0.subject {
            domain::Subject::Character(row) => Some(Character(row.as_ref().clone())),
            _ => None,
        }
    }

    /// The number of ended replies, with any status.
    async fn reply_count(&self) -> Count {
        Count(self.calls().replies)
    }

    /// The number of these replies that are FAILED or INTERRUPTED.
    async fn failed_reply_count(&self) -> Count {
        Count(self.calls().failed_replies)
    }

    /// The number of input tokens, including cached ones. Titles and summaries are included.
    async fn input_tokens(&self) -> Count {
        Count(self.calls().input_tokens)
    }

    /// The number of output tokens. Titles and summaries are included.
    async fn output_tokens(&self) -> Count {
        Count(self.calls().output_tokens)
    }

    /// The cost, including titles and summaries. Models without prices are not included.
    async fn cost(&self) -> Microdollars {
        Microdollars::from_nanodollars(self.calls().cost)
    }
}
