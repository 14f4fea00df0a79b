//! Typed ids: internally a UUIDv7, externally a TypeID (<https://github.com/jetify-com/typeid>), for example
//! `user_01h455vb4pex5vsknk084sn02q`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use sea_orm::DeriveValueType;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

/// The text is not an id of the expected type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this type")]
pub struct MalformedId;

/// Parses an id of any type, as `node` accepts it, into its type prefix and UUID.
pub fn parse_any(text: &str) -> Result<(String, Uuid), MalformedId> {
    // The parser truncates a long prefix at a byte, which panics inside of a character.
    if !text.is_ascii() {
        return Err(MalformedId);
    }
    let id: TypeSafeId<DynamicType> = text.parse().map_err(|_| MalformedId)?;
    Ok((id.type_prefix().to_owned(), id.uuid()))
}

fn show(prefix: &str, uuid: Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let prefix = DynamicType::new(prefix).map_err(|_| fmt::Error)?;
    fmt::Display::fmt(&TypeSafeId::from_type_and_uuid(prefix, uuid), f)
}

/// SeaORM requires that every primary key can be converted from a row number. A UUID cannot.
macro_rules! no_row_number {
    ($name:ident) => {
        impl sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    };
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, DeriveValueType)]
        pub struct $name(pub Uuid);

        no_row_number!($name);

        impl $name {
            /// The type prefix of the text form.
            pub const PREFIX: &'static str = $prefix;
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(Self::PREFIX, self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                match parse_any(text)? {
                    (prefix, uuid) if prefix == Self::PREFIX => Ok(Self(uuid)),
                    _ => Err(MalformedId),
                }
            }
        }
    };
}

typed_id!(
    /// The id of a user.
    UserId,
    "user"
);
typed_id!(
    /// The id of a session.
    SessionId,
    "sess"
);
typed_id!(
    /// The id of a personal access token.
    PersonalAccessTokenId,
    "pat"
);
typed_id!(
    /// The id of a role.
    RoleId,
    "role"
);
typed_id!(
    /// The id of a character.
    CharacterId,
    "char"
);
typed_id!(
    /// The id of a chat.
    ChatId,
    "chat"
);
typed_id!(
    /// The id of a message.
    MessageId,
    "msg"
);
typed_id!(
    /// The id of a tool call.
    ToolCallId,
    "call"
);
typed_id!(
    /// The id of a prompt.
    PromptId,
    "prompt"
);
typed_id!(
    /// The id of a conversation between two users.
    ConversationId,
    "conv"
);
typed_id!(
    /// The id of a direct message.
    DirectMessageId,
    "dm"
);
typed_id!(
    /// The id of an audit log entry.
    AuditEntryId,
    "audit"
);

/// The id of one run of the server process. Never shown to clients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, DeriveValueType)]
pub struct BootId(pub Uuid);

no_row_number!(BootId);

/// The id of an open WebSocket. Never shown to clients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionId(pub Uuid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip() {
        let id: UserId = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        assert_eq!(id.0.to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
        assert_eq!(id.to_string(), "user_01h455vb4pex5vsknk084sn02q");
    }

    #[test]
    fn refuses_other_types_and_malformed_ids() {
        for text in [
            "chat_01h455vb4pex5vsknk084sn02q",
            "user_",
            "user",
            "",
            "_",
            "user_01H455VB4PEX5VSKNK084SN02Q",
            "user_é1h455vb4pex5vsknk084sn02q",
            "user_81h455vb4pex5vsknk084sn02q",
            &format!("{}é_01h455vb4pex5vsknk084sn02q", "x".repeat(62)),
            &format!("{}_01h455vb4pex5vsknk084sn02q", "x".repeat(64)),
        ] {
            assert_eq!(text.parse::<UserId>(), Err(MalformedId), "{text}");
        }
    }
}
