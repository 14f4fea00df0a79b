//! Closed sets of values that rows hold.

use sea_orm::{DeriveActiveEnum, EnumIter};

/// Whose words a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum MessageRole {
    /// A person's.
    User = 0,
    /// The model's.
    Assistant = 1,
    /// Instructions that stand outside the talk.
    System = 2,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum MessageStatus {
    /// Whole.
    Complete = 0,
    /// A reply that is being written.
    Streaming = 1,
    /// A reply that its reader stopped; what had arrived is kept.
    Stopped = 2,
    /// A reply that ended with an error; what had arrived is kept.
    Failed = 3,
    /// The server died while the reply was being written; what had been saved is kept.
    Interrupted = 4,
}

/// Why the model stopped writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum FinishReason {
    /// It had said everything.
    Stop = 0,
    /// It reached the limit of output tokens.
    Length = 1,
    /// The provider's filter cut it.
    ContentFilter = 2,
    /// It asked for tools.
    ToolCalls = 3,
    /// Something that the provider alone knows.
    Other = 4,
}

/// Why a reply failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum ReplyErrorCode {
    /// The provider could not be reached, or answered with a server error.
    ProviderUnavailable = 0,
    /// The provider says that it is overloaded.
    ProviderOverloaded = 1,
    /// The provider's rate limit for this server is used up.
    ProviderRateLimited = 2,
    /// The provider refused the request: a bad key, an unknown model, parameters it does not take.
    ProviderRejected = 3,
    /// The provider's stream ended without its own end event.
    ProviderTruncated = 4,
    /// The chat does not fit the model's window.
    ContextTooLong = 5,
    /// The provider's filter refused the chat.
    ContentFiltered = 6,
    /// The provider did not answer, or fell silent, for too long.
    TimedOut = 7,
    /// The server stopped while the reply was being written.
    Interrupted = 8,
    /// Something went wrong in this server.
    Internal = 9,
}

/// What a role may allow.
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
    /// Create, change and delete every character.
    CharactersWrite,
    /// Create, change and delete prompts.
    PromptsWrite,
    /// See statistics and usage of the whole system.
    StatsRead,
    /// Read the audit log.
    AuditRead,
}

impl Permission {
    /// Every permission with the name that rows and clients use.
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

    /// The permissions named in a role's row, separated by spaces; names of a newer version are passed over.
    pub fn parse_list(names: &str) -> Vec<Self> {
        names
            .split_ascii_whitespace()
            .filter_map(|name| Self::ALL.iter().find(|(_, known)| *known == name).map(|(permission, _)| *permission))
            .collect()
    }

    /// The text that a role's row holds for these permissions.
    pub fn join(permissions: &[Self]) -> String {
        let names: Vec<&str> = Self::ALL
            .iter()
            .filter(|(permission, _)| permissions.contains(permission))
            .map(|(_, name)| *name)
            .collect();
        names.join(" ")
    }
}

/// What a personal access token may do. Each lets it read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenScope {
    /// Nothing beyond reading.
    Read,
    /// Mutations.
    Write,
    /// What the roles of its user allow.
    Admin,
}

impl TokenScope {
    /// Every scope with the name that rows and clients use.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Read, "READ"), (Self::Write, "WRITE"), (Self::Admin, "ADMIN")];

    /// The scopes named in a token's row, separated by spaces; names of a newer version are passed over.
    pub fn parse_list(names: &str) -> Vec<Self> {
        names
            .split_ascii_whitespace()
            .filter_map(|name| Self::ALL.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope))
            .collect()
    }

    /// The text that a token's row holds for these scopes: each once, in the order given.
    pub fn join(scopes: &[Self]) -> String {
        let mut names: Vec<&str> = Vec::new();
        for wanted in scopes {
            let name = Self::ALL.iter().find(|(scope, _)| scope == wanted).map(|(_, name)| *name);
            names.extend(name.filter(|name| !names.contains(name)));
        }
        names.join(" ")
    }
}

/// What a piece of a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum PieceKind {
    /// The answer.
    Text = 0,
    /// The model's reasoning.
    Reasoning = 1,
    /// A tool call.
    Call = 2,
    /// What a tool answered.
    Result = 3,
}
