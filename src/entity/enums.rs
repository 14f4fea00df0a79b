//! Enumerations that rows contain.

use sea_orm::{DeriveActiveEnum, EnumIter};

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum MessageRole {
    /// A user.
    User = 0,
    /// The model.
    Assistant = 1,
    /// Instructions for the model.
    System = 2,
}

/// State of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum MessageStatus {
    /// Complete and final.
    Complete = 0,
    /// The reply is being written.
    Streaming = 1,
    /// The user stopped the reply. The content so far is kept.
    Stopped = 2,
    /// The reply failed. The content so far is kept.
    Failed = 3,
    /// The server stopped or crashed while it wrote the reply. The saved content is kept.
    Interrupted = 4,
}

impl MessageStatus {
    /// The name that is shown to clients.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "COMPLETE",
            Self::Streaming => "STREAMING",
            Self::Stopped => "STOPPED",
            Self::Failed => "FAILED",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

/// The reason why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum FinishReason {
    /// The reply is complete.
    Stop = 0,
    /// The limit of output tokens was reached.
    Length = 1,
    /// The provider's content filter stopped the reply.
    ContentFilter = 2,
    /// The model requested tool calls.
    ToolCalls = 3,
    /// Another reason of the provider.
    Other = 4,
}

/// The reason why a reply failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum ReplyErrorCode {
    /// The provider could not be reached, or returned a server error.
    ProviderUnavailable = 0,
    /// The provider is overloaded.
    ProviderOverloaded = 1,
    /// The provider's rate limit for this server is exceeded.
    ProviderRateLimited = 2,
    /// The provider rejected the request: an invalid key, an unknown model, or unsupported parameters.
    ProviderRejected = 3,
    /// The provider's stream ended without its end event.
    ProviderTruncated = 4,
    /// The chat exceeds the model's context window.
    ContextTooLong = 5,
    /// The provider's content filter rejected the chat.
    ContentFiltered = 6,
    /// The provider did not send anything within the time limit.
    TimedOut = 7,
    /// The server stopped or crashed while it wrote the reply.
    Interrupted = 8,
    /// An internal error of this server.
    Internal = 9,
}

/// The use of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum PromptKind {
    /// A text from which users start a message.
    Template = 0,
    /// Prepended to the system prompt of every chat.
    Common = 1,
}

/// The state of a chat's title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum TitleState {
    /// The first complete reply gives it a title.
    Due = 0,
    /// An excerpt of the first message is the title, until the model has written one.
    Excerpt = 1,
    /// The excerpt is the title, and a node has sent the request for a better one.
    Requested = 2,
    /// It does not change by itself any more.
    Final = 3,
}

impl ReplyErrorCode {
    /// The name that is shown to clients.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::ProviderOverloaded => "PROVIDER_OVERLOADED",
            Self::ProviderRateLimited => "PROVIDER_RATE_LIMITED",
            Self::ProviderRejected => "PROVIDER_REJECTED",
            Self::ProviderTruncated => "PROVIDER_TRUNCATED",
            Self::ContextTooLong => "CONTEXT_TOO_LONG",
            Self::ContentFiltered => "CONTENT_FILTERED",
            Self::TimedOut => "TIMED_OUT",
            Self::Interrupted => "INTERRUPTED",
            Self::Internal => "INTERNAL",
        }
    }
}

/// The owner's rating of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Rating {
    /// Helpful.
    Up = 0,
    /// Not helpful.
    Down = 1,
}

/// The permissions of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// See every user's account data.
    UsersRead,
    /// Create, change and delete users.
    UsersWrite,
    /// Create, change, delete and assign roles.
    RolesWrite,
    /// Read any user's chats.
    ChatsRead,
    /// Create, change and delete public characters.
    CharactersWrite,
    /// Create, change and delete prompts.
    PromptsWrite,
    /// See statistics and usage of the whole system.
    StatsRead,
    /// Read the audit log.
    AuditRead,
}

impl Permission {
    /// All permissions with the names that are stored and shown to clients.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::UsersRead, "USERS_READ"),
        (Self::UsersWrite, "USERS_WRITE"),
        (Self::RolesWrite, "ROLES_WRITE"),
        (Self::ChatsRead, "CHATS_READ"),
        (Self::CharactersWrite, "CHARACTERS_WRITE"),
        (Self::PromptsWrite, "PROMPTS_WRITE"),
        (Self::StatsRead, "STATS_READ"),
        (Self::AuditRead, "AUDIT_READ"),
    ];

    /// Parses the permissions in a role's row, separated by spaces. Unknown names, from a newer version, are skipped.
    pub fn parse_list(names: &str) -> Vec<Self> {
        names
            .split_ascii_whitespace()
            .filter_map(|name| Self::ALL.iter().find(|(_, known)| *known == name).map(|(permission, _)| *permission))
            .collect()
    }

    /// Formats permissions for a role's row.
    pub fn join(permissions: &[Self]) -> String {
        let names: Vec<&str> = Self::ALL
            .iter()
            .filter(|(permission, _)| permissions.contains(permission))
            .map(|(_, name)| *name)
            .collect();
        names.join(" ")
    }
}

/// The scopes of a personal access token. Every scope includes reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenScope {
    /// Only reading.
    Read,
    /// Mutations.
    Write,
    /// The permissions of the user's roles.
    Admin,
}

impl TokenScope {
    /// All scopes with the names that are stored and shown to clients.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Read, "READ"), (Self::Write, "WRITE"), (Self::Admin, "ADMIN")];

    /// Parses the scopes in a token's row, separated by spaces. Unknown names, from a newer version, are skipped.
    pub fn parse_list(names: &str) -> Vec<Self> {
        names
            .split_ascii_whitespace()
            .filter_map(|name| Self::ALL.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope))
            .collect()
    }

    /// Formats scopes for a token's row, without duplicates, in the given order.
    pub fn join(scopes: &[Self]) -> String {
        let mut names: Vec<&str> = Vec::new();
        for wanted in scopes {
            let name = Self::ALL.iter().find(|(scope, _)| scope == wanted).map(|(_, name)| *name);
            names.extend(name.filter(|name| !names.contains(name)));
        }
        names.join(" ")
    }
}

/// The kind of a piece of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum PieceKind {
    /// Text of the answer.
    Text = 0,
    /// Text of the reasoning.
    Reasoning = 1,
    /// A tool call.
    Call = 2,
    /// The result of a tool call.
    Result = 3,
}

/// The purpose of a provider call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum CallKind {
    /// A reply to a user.
    Reply = 0,
    /// The title of a chat.
    Title = 1,
    /// A summary of the older messages of a chat.
    Summary = 2,
}

/// What usage totals are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Dimension {
    /// User, model and character.
    User = 0,
    /// Model.
    Model = 1,
    /// Character.
    Character = 2,
}

/// The length of a bucket of usage totals, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Span {
    /// An hour.
    Hour = 0,
    /// A day.
    Day = 1,
    /// A calendar month.
    Month = 2,
}
