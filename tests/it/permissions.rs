//! Access control of every field of the root types, of `Admin` and of `User`: the result for an anonymous client,
//! another user, the owner, a user with each single permission, and a personal access token with all permissions.

mod described;

use std::collections::BTreeSet;

use duologue::entity::enums::Permission;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, User, text};
use crate::support::database::{TestDatabase, on_both_databases};
use crate::support::server::Setup;
use crate::support::staff::{log_in, new_role, root, with_admin, with_permissions};

/// The types whose fields are all in the table.
const TYPES: [&str; 5] = ["Query", "Mutation", "Subscription", "Admin", "User"];

/// The result of a field: `seen` for a value, `null` for null without an error, otherwise the code of its error.
type Outcome = &'static str;

/// The expected result of a field for each caller.
#[derive(Clone, Copy)]
enum Rule {
    /// The same result for all callers.
    Everybody(Outcome),
    /// The result for signed-in users; UNAUTHENTICATED for others.
    SignedIn(Outcome),
    /// The result for the owner, and for other users.
    Owner(Outcome, Outcome),
    /// The permission, the result for the owner and for users with the permission, and the result for other users.
    OwnerOr(&'static str, Outcome, Outcome),
    /// The permission, the result for users with the permission, and for other users.
    Needs(&'static str, Outcome, Outcome),
    /// The permission, and the result for users with it. Users with other permissions get FORBIDDEN. For all others,
    /// `admin` is null.
    Admin(&'static str, Outcome),
}
use Rule::{Admin, Everybody, Needs, Owner, OwnerOr, SignedIn};

const DENIED: Outcome = "FORBIDDEN";
// Callers with access send unknown ids or invalid input, so that the rows of the table do not affect each other.
const PASSED: Outcome = "NOT_FOUND";
const REFUSED: Outcome = "INVALID_INPUT";

/// The type and the field, its selection, and the expected results. `$name` is replaced by an id of the fixture.
const TABLE: &[(&str, &str, Rule)] = &[
    ("Query.node", r#"node(id: "$chat") { id }"#, Owner("seen", "null")),
    ("Query.node", r#"node(id: "$reply") { id }"#, Owner("seen", "null")),
    ("Query.node", r#"node(id: "$owner") { id }"#, SignedIn("seen")),
    ("Query.node", r#"node(id: "$role") { id }"#, Needs("ROLES_WRITE", "seen", "null")),
    ("Query.node", r#"node(id: "$entry") { id }"#, Needs("AUDIT_READ", "seen", "null")),
    ("Query.node", r#"node(id: "$conversation") { id }"#, Owner("seen", "null")),
    ("Query.node", r#"node(id: "$directMessage") { id }"#, Owner("seen", "null")),
    ("Query.nodes", r#"nodes(ids: ["$chat"]) { id }"#, Owner("seen", "null")),
    ("Query.server", "server { id }", Everybody("seen")),
    ("Query.models", "models { id }", Everybody("seen")),
    ("Query.me", "me { id }", Everybody("me")),
    ("Query.currentSession", "currentSession { id }", SignedIn("seen")),
    ("Query.user", r#"user(username: "owner") { id }"#, SignedIn("seen")),
    ("Query.character", r#"character(id: "$character") { id }"#, SignedIn("seen")),
    ("Query.characters", "characters { nodes { id } }", SignedIn("seen")),
    ("Query.searchMessages", r#"searchMessages(query: "Hi") { nodes { snippet } }"#, SignedIn("seen")),
    ("Query.prompts", "prompts { nodes { id } }", SignedIn("seen")),
    ("Query.node", r#"node(id: "$common") { id }"#, Needs("PROMPTS_WRITE", "seen", "null")),
    ("Query.chat", r#"chat(id: "$chat") { id }"#, Owner("seen", "null")),
    (
        "Query.previewPrompt",
        r#"previewPrompt(chatId: "$chat", content: "Hi") { tokens messages { role content } }"#,
        Owner("seen", "null"),
    ),
    ("Query.conversations", "conversations { nodes { id } }", SignedIn("seen")),
    ("Query.conversation", r#"conversation(userId: "$friend") { id }"#, Owner("seen", "null")),
    ("Query.admin", "admin { id }", Everybody("admin")),
    ("Admin.id", "id", Everybody("admin")),
    ("Admin.users", "users { nodes { id } }", Admin("USERS_READ", "seen")),
    ("Admin.roles", "roles { id }", Admin("ROLES_WRITE", "seen")),
    ("Admin.chats", "chats { nodes { id } }", Admin("CHATS_READ", "seen")),
    ("Admin.chat", r#"chat(id: "$chat") { id messages { nodes { id content } } }"#, Admin("CHATS_READ", "seen")),
    ("Admin.stats", "stats { userCount }", Admin("STATS_READ", "seen")),
    ("Admin.streamingReplyCount", "streamingReplyCount", Admin("STATS_READ", "seen")),
    (
        "Admin.usage",
        r#"usage(from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z", interval: MONTH) { start }"#,
        Admin("STATS_READ", "seen"),
    ),
    ("Admin.auditLog", "auditLog { nodes { id } }", Admin("AUDIT_READ", "seen")),
    ("User.id", "id", SignedIn("seen")),
    ("User.username", "username", SignedIn("seen")),
    ("User.fullName", "fullName", SignedIn("seen")),
    ("User.bio", "bio", SignedIn("seen")),
    ("User.isBlocked", "isBlocked", SignedIn("seen")),
    ("User.blockedUsers", "blockedUsers { id }", Owner("seen", "null")),
    ("User.createdAt", "createdAt", SignedIn("seen")),
    ("User.email", "email", OwnerOr("USERS_READ", "seen", "null")),
    ("User.updatedAt", "updatedAt", OwnerOr("USERS_READ", "seen", "null")),
    ("User.isActive", "isActive", OwnerOr("USERS_READ", "seen", "null")),
    ("User.lastSeenAt", "lastSeenAt", OwnerOr("USERS_READ", "seen", "null")),
    ("User.lockedUntil", "lockedUntil", OwnerOr("USERS_READ", "null", "null")),
    ("User.roles", "roles { id }", OwnerOr("USERS_READ", "seen", "null")),
    ("User.permissions", "permissions", OwnerOr("USERS_READ", "seen", "null")),
    ("User.sessions", "sessions { id }", OwnerOr("USERS_READ", "seen", "null")),
    ("User.stats", "stats { chatCount }", OwnerOr("USERS_READ", "seen", "null")),
    ("User.quota", "quota { tokensUsed }", OwnerOr("USERS_READ", "seen", "null")),
    ("User.personalAccessTokens", "personalAccessTokens { id }", OwnerOr("USERS_READ", "seen", "null")),
    ("User.chats", "chats { nodes { id } }", Owner("seen", "null")),
    (
        "Mutation.register",
        r#"register(input: { username: "", email: "", password: "" }) { accessToken }"#,
        Everybody(REFUSED),
    ),
    ("Mutation.login", r#"login(input: { login: "", password: "" }) { accessToken }"#, Everybody(REFUSED)),
    (
        "Mutation.refreshSession",
        r#"refreshSession(input: { refreshToken: "x" }) { accessToken }"#,
        Everybody("INVALID_CREDENTIALS"),
    ),
    (
        "Mutation.resetPassword",
        r#"resetPassword(input: { resetToken: "x", newPassword: "velvet otter counts 42" }) { userId }"#,
        Everybody("INVALID_CREDENTIALS"),
    ),
    ("Mutation.revokeSession", r#"revokeSession(input: { sessionId: "$noSession" }) { sessionId }"#, SignedIn(PASSED)),
    ("Mutation.updateProfile", "updateProfile(input: {}) { user { id } }", SignedIn("seen")),
    (
        "Mutation.changePassword",
        r#"changePassword(input: { currentPassword: "x", newPassword: "" }) { user { id } }"#,
        SignedIn(REFUSED),
    ),
    (
        "Mutation.deactivateAccount",
        r#"deactivateAccount(input: { password: "x" }) { userId }"#,
        SignedIn("INVALID_CREDENTIALS"),
    ),
    (
        "Mutation.deleteAccount",
        r#"deleteAccount(input: { password: "x" }) { userId }"#,
        SignedIn("INVALID_CREDENTIALS"),
    ),
    (
        "Mutation.createPersonalAccessToken",
        r#"createPersonalAccessToken(input: { name: "", scopes: [] }) { secret }"#,
        SignedIn(REFUSED),
    ),
    (
        "Mutation.revokePersonalAccessToken",
        r#"revokePersonalAccessToken(input: { personalAccessTokenId: "$noToken" }) { personalAccessTokenId }"#,
        SignedIn(PASSED),
    ),
    ("Mutation.createChat", r#"createChat(input: { title: "" }) { chat { id } }"#, SignedIn(REFUSED)),
    ("Mutation.updateChat", r#"updateChat(input: { chatId: "$chat" }) { chat { id } }"#, Owner("seen", PASSED)),
    ("Mutation.deleteChat", r#"deleteChat(input: { chatId: "$otherChat" }) { chatId }"#, Owner("seen", PASSED)),
    (
        "Mutation.sendMessage",
        r#"sendMessage(input: { chatId: "$chat", content: "Hi" }) { reply { id } }"#,
        Owner("seen", PASSED),
    ),
    (
        "Mutation.regenerateReply",
        r#"regenerateReply(input: { messageId: "$reply" }) { reply { id } }"#,
        Owner("seen", PASSED),
    ),
    (
        "Mutation.editMessage",
        r#"editMessage(input: { messageId: "$reply", content: "Ho" }) { message { id } }"#,
        Owner("seen", PASSED),
    ),
    (
        "Mutation.selectBranch",
        r#"selectBranch(input: { chatId: "$chat", messageId: "$reply" }) { chat { id } }"#,
        Owner("seen", PASSED),
    ),
    (
        "Mutation.rateMessage",
        r#"rateMessage(input: { messageId: "$reply", rating: UP }) { message { id } }"#,
        Owner("seen", PASSED),
    ),
    (
        "Mutation.deleteMessage",
        r#"deleteMessage(input: { messageId: "$otherReply" }) { messageId }"#,
        Owner("seen", PASSED),
    ),
    ("Mutation.stopReply", r#"stopReply(input: { messageId: "$reply" }) { message { id } }"#, Owner("seen", PASSED)),
    (
        "Mutation.sendDirectMessage",
        r#"sendDirectMessage(input: { recipientId: "$noUser", content: "Hi" }) { directMessage { id } }"#,
        SignedIn(PASSED),
    ),
    (
        "Mutation.markConversationRead",
        r#"markConversationRead(input: { conversationId: "$conversation" }) { conversation { id } }"#,
        Owner("seen", PASSED),
    ),
    ("Mutation.blockUser", r#"blockUser(input: { userId: "$noUser" }) { user { id } }"#, SignedIn(PASSED)),
    ("Mutation.unblockUser", r#"unblockUser(input: { userId: "$noUser" }) { user { id } }"#, SignedIn(PASSED)),
    (
        "Mutation.createUser",
        r#"createUser(input: { username: "", email: "", password: "" }) { user { id } }"#,
        Needs("USERS_WRITE", REFUSED, DENIED),
    ),
    (
        "Mutation.deleteUser",
        r#"deleteUser(input: { userId: "$noUser" }) { userId }"#,
        Needs("USERS_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.setUserActive",
        r#"setUserActive(input: { userId: "$noUser", isActive: false }) { user { id } }"#,
        Needs("USERS_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.setUserQuota",
        r#"setUserQuota(input: { userId: "$noUser" }) { user { id } }"#,
        Needs("USERS_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.setUserRoles",
        r#"setUserRoles(input: { userId: "$noUser", roleIds: [] }) { user { id } }"#,
        Needs("ROLES_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.unlockUser",
        r#"unlockUser(input: { userId: "$noUser" }) { user { id } }"#,
        Needs("USERS_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.endUserSessions",
        r#"endUserSessions(input: { userId: "$noUser" }) { sessionCount }"#,
        Needs("USERS_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.issuePasswordReset",
        r#"issuePasswordReset(input: { userId: "$noUser" }) { resetToken }"#,
        Needs("USERS_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.createRole",
        r#"createRole(input: { name: "", permissions: [] }) { role { id } }"#,
        Needs("ROLES_WRITE", REFUSED, DENIED),
    ),
    (
        "Mutation.updateRole",
        r#"updateRole(input: { roleId: "$noRole" }) { role { id } }"#,
        Needs("ROLES_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.deleteRole",
        r#"deleteRole(input: { roleId: "$noRole" }) { roleId }"#,
        Needs("ROLES_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.createCharacter",
        r#"createCharacter(input: { name: "", systemPrompt: "", isPublic: true }) { character { id } }"#,
        Needs("CHARACTERS_WRITE", REFUSED, DENIED),
    ),
    (
        "Mutation.updateCharacter",
        r#"updateCharacter(input: { characterId: "$character" }) { character { id } }"#,
        Needs("CHARACTERS_WRITE", "seen", DENIED),
    ),
    (
        "Mutation.deleteCharacter",
        r#"deleteCharacter(input: { characterId: "$noCharacter" }) { characterId }"#,
        SignedIn(PASSED),
    ),
    (
        "Mutation.createPrompt",
        r#"createPrompt(input: { title: "", content: "" }) { prompt { id } }"#,
        Needs("PROMPTS_WRITE", REFUSED, DENIED),
    ),
    (
        "Mutation.updatePrompt",
        r#"updatePrompt(input: { promptId: "$noPrompt" }) { prompt { id } }"#,
        Needs("PROMPTS_WRITE", PASSED, DENIED),
    ),
    (
        "Mutation.deletePrompt",
        r#"deletePrompt(input: { promptId: "$noPrompt" }) { promptId }"#,
        Needs("PROMPTS_WRITE", PASSED, DENIED),
    ),
    ("Subscription.chatEvents", r#"chatEvents(chatId: "$chat") { __typename }"#, Owner("seen", PASSED)),
    ("Subscription.directMessages", "directMessages { __typename }", SignedIn("seen")),
    ("Subscription.reply", r#"reply(messageId: "$reply") { position }"#, Owner("seen", PASSED)),
    // These end the session of the caller, caller signs in again before.
    ("Mutation.logout", "logout { sessionId }", SignedIn("seen")),
    ("Mutation.logoutEverywhere", "logoutEverywhere { sessionCount }", SignedIn("seen")),
];

/// The mutations that require a session: FORBIDDEN with a personal access token, whatever its scopes are.
const IN_SESSION: &[&str] = &[
    "Mutation.logout",
    "Mutation.logoutEverywhere",
    "Mutation.revokeSession",
    "Mutation.changePassword",
    "Mutation.deactivateAccount",
    "Mutation.deleteAccount",
    "Mutation.createPersonalAccessToken",
    "Mutation.revokePersonalAccessToken",
    "Mutation.createUser",
    "Mutation.deleteUser",
    "Mutation.setUserActive",
    "Mutation.setUserRoles",
    "Mutation.setUserQuota",
    "Mutation.unlockUser",
    "Mutation.endUserSessions",
    "Mutation.issuePasswordReset",
    "Mutation.createRole",
    "Mutation.updateRole",
    "Mutation.deleteRole",
];

/// The credentials of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Caller {
    Anonymous,
    OtherUser,
    Owner,
    With(&'static str),
    /// A personal access token with every scope, of a user with every permission.
    AccessToken,
}

impl Rule {
    fn expected(self, field: &str, caller: Caller) -> Outcome {
        let has = |permission| caller == Caller::With(permission) || caller == Caller::AccessToken;
        match (self, caller) {
            (_, Caller::AccessToken) if IN_SESSION.contains(&field) => DENIED,
            (_, Caller::AccessToken) if field == "Query.currentSession" => "null",
            (Everybody("admin"), Caller::AccessToken) => "seen",
            (Everybody("me"), Caller::Anonymous) => "null",
            (Everybody("me"), _) => "seen",
            (Everybody("admin"), Caller::With(_)) => "seen",
            (Everybody("admin") | Admin(..), Caller::Anonymous | Caller::OtherUser | Caller::Owner) => "null",
            (Everybody(outcome), _) => outcome,
            (_, Caller::Anonymous) => "UNAUTHENTICATED",
            (SignedIn(outcome), _) => outcome,
            (Owner(own, other), _) => {
                if caller == Caller::Owner {
                    own
                } else {
                    other
                }
            }
            (OwnerOr(permission, own, other), _) => {
                if caller == Caller::Owner || has(permission) {
                    own
                } else {
                    other
                }
            }
            (Needs(permission, own, other), _) => {
                if has(permission) {
                    own
                } else {
                    other
                }
            }
            (Admin(permission, own), _) => {
                if has(permission) {
                    own
                } else {
                    DENIED
                }
            }
        }
    }
}

#[test]
fn every_field_is_in_the_table() {
    let fields: BTreeSet<String> = described::fields().into_keys().collect();
    let listed: BTreeSet<String> = TABLE.iter().map(|(field, ..)| (*field).to_owned()).collect();
    let missing: Vec<_> = fields.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&fields).collect();
    assert!(missing.is_empty(), "add these fields to the table: {missing:?}");
    assert!(gone.is_empty(), "these fields do not exist: {gone:?}");
}

struct Fixture {
    ids: Vec<(&'static str, String)>,
    callers: Vec<(Caller, Client)>,
}

impl Fixture {
    async fn new(root: &User) -> Self {
        let owner = root.sign_up("owner").await;
        let profile = json!({ "fullName": "O", "bio": "Owns" });
        owner.mutate("updateProfile", "user { id }", profile).await.data();
        let sent = owner.ask("demo", "Hi").await;
        owner.ended(&sent.reply).await;
        let other = owner.new_chat(json!({})).await;
        let third = owner.ask("demo/fast", "Hi").await;
        let found =
            root.data("{ characters(first: 1) { nodes { id } } admin { auditLog { nodes { id } } } }", json!({}));
        let found = found.await;
        let common = json!({ "title": "Rules", "content": "Be kind.", "kind": "COMMON" });
        let common = root.mutate("createPrompt", "prompt { id }", common).await.data();
        let friend = root.sign_up("friend").await;
        let message = json!({ "recipientId": friend.id, "content": "Hi" });
        let message = owner.mutate("sendDirectMessage", "directMessage { id conversation { id } }", message).await;
        let message = message.data()["sendDirectMessage"]["directMessage"].take();
        let ids = vec![
            ("$owner", owner.id.clone()),
            ("$chat", sent.chat),
            ("$otherChat", other),
            ("$reply", sent.reply),
            ("$otherReply", third.reply),
            ("$character", text(&found["characters"]["nodes"][0]["id"])),
            ("$entry", text(&found["admin"]["auditLog"]["nodes"][0]["id"])),
            ("$role", new_role(root, "nobody's", &[]).await),
            ("$common", text(&common["createPrompt"]["prompt"]["id"])),
            ("$noCharacter", "char_01h455vb4pex5vsknk084sn02q".to_owned()),
            ("$noPrompt", "prompt_01h455vb4pex5vsknk084sn02q".to_owned()),
            ("$friend", friend.id.clone()),
            ("$directMessage", text(&message["id"])),
            ("$conversation", text(&message["conversation"]["id"])),
            ("$noUser", "user_01h455vb4pex5vsknk084sn02q".to_owned()),
            ("$noRole", "role_01h455vb4pex5vsknk084sn02q".to_owned()),
            ("$noSession", "sess_01h455vb4pex5vsknk084sn02q".to_owned()),
            ("$noToken", "pat_01h455vb4pex5vsknk084sn02q".to_owned()),
        ];
        let nobody = Client::new(root.address);
        let mut callers = vec![(Caller::Anonymous, nobody.clone())];
        callers.push((Caller::OtherUser, (*nobody.sign_up("stranger").await).clone()));
        for (_, permission) in Permission::ALL {
            let user = with_permissions(root, &permission.to_lowercase(), &[permission]).await;
            callers.push((Caller::With(permission), (*user).clone()));
        }
        let token = json!({ "name": "all", "scopes": ["READ", "WRITE", "ADMIN"] });
        let token = root.mutate("createPersonalAccessToken", "secret", token).await.data();
        callers.push((Caller::AccessToken, root.with_token(&text(&token["createPersonalAccessToken"]["secret"]))));
        // The owner comes last, because the owner can delete the chat.
        callers.push((Caller::Owner, (*owner).clone()));
        Self { ids, callers }
    }

    fn name(caller: Caller) -> String {
        match caller {
            Caller::Anonymous => "nobody".to_owned(),
            Caller::OtherUser => "stranger".to_owned(),
            Caller::Owner => "owner".to_owned(),
            Caller::With(permission) => permission.to_lowercase(),
            Caller::AccessToken => "root".to_owned(),
        }
    }

    async fn outcome(&self, caller: Caller, client: &Client, field: &str, document: &str) -> String {
        let selection =
            self.ids.iter().rev().fold(document.to_owned(), |text, (name, id)| {
                text.replace(&format!("\"{name}\""), &format!("\"{id}\""))
            });
        let (kind, name) = field.split_once('.').unwrap();
        let (document, path) = match kind {
            "Query" => (format!("{{ {selection} }}"), vec![name]),
            "Admin" => (format!("{{ admin {{ id {selection} }} }}"), vec!["admin", name]),
            "User" => (
                format!("{{ node(id: \"{}\") {{ ... on User {{ {selection} }} }} }}", self.ids[0].1),
                vec!["node", name],
            ),
            "Mutation" => (format!("mutation {{ {selection} }}"), vec![name]),
            _ => (format!("subscription {{ {selection} }}"), vec![name]),
        };
        let answer = if kind == "Subscription" {
            let mut socket = client.socket().await;
            socket.subscribe("1", &document, json!({})).await;
            first(socket.next().await)
        } else if name.starts_with("logout") && !matches!(caller, Caller::Anonymous | Caller::AccessToken) {
            log_in(client, &Self::name(caller)).await.run(&document, json!({})).await
        } else {
            client.run(&document, json!({})).await
        };
        read(&answer, &path)
    }
}

/// The first response of a subscription.
fn first(mut message: Value) -> Answer {
    match text(&message["type"]).as_str() {
        "next" => Answer(message["payload"].take()),
        "error" => Answer(json!({ "data": null, "errors": message["payload"].take() })),
        other => panic!("{other}: {message}"),
    }
}

fn read(answer: &Answer, path: &[&str]) -> String {
    if !answer.0["errors"].is_null() {
        let at: Vec<String> = answer.0["errors"][0]["path"].as_array().unwrap().iter().map(text).collect();
        assert!(path.starts_with(&at.iter().map(String::as_str).collect::<Vec<_>>()), "{}", answer.0);
        if answer.code() == DENIED && path[0] == "admin" {
            assert!(
                answer.0["data"]["admin"]["id"] == "admin" && at == path,
                "the error must affect this field only: {}",
                answer.0
            );
        }
        return answer.code().to_owned();
    }
    let value = path.iter().fold(&answer.0["data"], |value, name| &value[*name]);
    let value = if value.is_array() && path == ["nodes"] { &value[0] } else { value };
    if value.is_null() { "null" } else { "seen" }.to_owned()
}

on_both_databases!(each_caller_gets_the_result_in_the_table, |database: TestDatabase| async move {
    let server = with_admin(Setup::new(&database).with("LOGIN_LOCKOUT_ATTEMPTS", "0")).start().await;
    let fixture = Fixture::new(&root(&server).await).await;
    let mut wrong = Vec::new();
    for (field, document, rule) in TABLE {
        for (caller, client) in &fixture.callers {
            let (expected, got) =
                (rule.expected(field, *caller), fixture.outcome(*caller, client, field, document).await);
            if got != expected {
                wrong.push(format!("{field} for {caller:?}: {got} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    server.stop().await;
});
