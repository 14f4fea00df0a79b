//! Who may ask for what: every field of the roots, of `Admin` and of `User`, for nobody, for anybody, for the owner,
//! for who has each permission alone, and for a program with every permission.

mod described;

use std::collections::BTreeSet;

use duologue::entity::enums::Permission;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, User, text};
use crate::support::database::{TestDatabase, on_both_databases};
use crate::support::server::Setup;
use crate::support::staff::{log_in, new_role, root, with_admin, with_permissions};

/// The types whose every field stands in the table.
const TYPES: [&str; 5] = ["Query", "Mutation", "Subscription", "Admin", "User"];

/// What comes of a field: `seen` for a value, `null` for null without an error, else the code of its error.
type Outcome = &'static str;

/// Who gets what.
#[derive(Clone, Copy)]
enum Rule {
    /// Everybody gets the same.
    Everybody(Outcome),
    /// Who is signed in gets this.
    SignedIn(Outcome),
    /// The owner gets the one, who else is signed in the other.
    Owner(Outcome, Outcome),
    /// The owner and who has the permission get the one, who else is signed in the other.
    OwnerOr(&'static str, Outcome, Outcome),
    /// Who has the permission gets the one, who else is signed in the other.
    Needs(&'static str, Outcome, Outcome),
    /// Who has the permission gets this, who has another one FORBIDDEN; nobody else has an `admin` to ask.
    Admin(&'static str, Outcome),
}
use Rule::{Admin, Everybody, Needs, Owner, OwnerOr, SignedIn};

const DENIED: Outcome = "FORBIDDEN";
/// Where something was let through, and found nothing or mistakes, it changed nothing: the table has one server.
const PASSED: Outcome = "NOT_FOUND";
const REFUSED: Outcome = "INVALID_INPUT";

/// The type and the field, how it is asked for, and who gets what. `$name` stands for an id of the fixture.
const TABLE: &[(&str, &str, Rule)] = &[
    ("Query.node", r#"node(id: "$chat") { id }"#, Owner("seen", "null")),
    ("Query.node", r#"node(id: "$reply") { id }"#, Owner("seen", "null")),
    ("Query.node", r#"node(id: "$owner") { id }"#, SignedIn("seen")),
    ("Query.node", r#"node(id: "$role") { id }"#, Needs("ROLES_WRITE", "seen", "null")),
    ("Query.node", r#"node(id: "$entry") { id }"#, Needs("AUDIT_READ", "seen", "null")),
    ("Query.nodes", r#"nodes(ids: ["$chat"]) { id }"#, Owner("seen", "null")),
    ("Query.server", "server { id }", Everybody("seen")),
    ("Query.models", "models { id }", Everybody("seen")),
    ("Query.me", "me { id }", Everybody("me")),
    ("Query.currentSession", "currentSession { id }", SignedIn("seen")),
    ("Query.user", r#"user(username: "owner") { id }"#, SignedIn("seen")),
    ("Query.character", r#"character(id: "$character") { id }"#, SignedIn("seen")),
    ("Query.characters", "characters { nodes { id } }", SignedIn("seen")),
    ("Query.chat", r#"chat(id: "$chat") { id }"#, Owner("seen", "null")),
    ("Query.admin", "admin { id }", Everybody("admin")),
    ("Admin.id", "id", Everybody("admin")),
    ("Admin.users", "users { nodes { id } }", Admin("USERS_READ", "seen")),
    ("Admin.roles", "roles { id }", Admin("ROLES_WRITE", "seen")),
    ("Admin.chats", "chats { nodes { id } }", Admin("CHATS_READ", "seen")),
    ("Admin.chat", r#"chat(id: "$chat") { id messages { nodes { id content } } }"#, Admin("CHATS_READ", "seen")),
    ("Admin.auditLog", "auditLog { nodes { id } }", Admin("AUDIT_READ", "seen")),
    ("User.id", "id", SignedIn("seen")),
    ("User.username", "username", SignedIn("seen")),
    ("User.fullName", "fullName", SignedIn("seen")),
    ("User.bio", "bio", SignedIn("seen")),
    ("User.createdAt", "createdAt", SignedIn("seen")),
    ("User.email", "email", OwnerOr("USERS_READ", "seen", "null")),
    ("User.updatedAt", "updatedAt", OwnerOr("USERS_READ", "seen", "null")),
    ("User.isActive", "isActive", OwnerOr("USERS_READ", "seen", "null")),
    ("User.lastSeenAt", "lastSeenAt", OwnerOr("USERS_READ", "seen", "null")),
    ("User.lockedUntil", "lockedUntil", OwnerOr("USERS_READ", "null", "null")),
    ("User.roles", "roles { id }", OwnerOr("USERS_READ", "seen", "null")),
    ("User.permissions", "permissions", OwnerOr("USERS_READ", "seen", "null")),
    ("User.sessions", "sessions { id }", OwnerOr("USERS_READ", "seen", "null")),
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
    ("Mutation.stopReply", r#"stopReply(input: { messageId: "$reply" }) { message { id } }"#, Owner("seen", PASSED)),
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
    ("Subscription.reply", r#"reply(messageId: "$reply") { position }"#, Owner("seen", PASSED)),
    // The last two end what the others use; whoever asks for them signs in again before.
    ("Mutation.logout", "logout { sessionId }", SignedIn("seen")),
    ("Mutation.logoutEverywhere", "logoutEverywhere { sessionCount }", SignedIn("seen")),
];

/// The mutations that require a session: FORBIDDEN with a personal access token, whatever it carries.
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
    "Mutation.unlockUser",
    "Mutation.endUserSessions",
    "Mutation.issuePasswordReset",
    "Mutation.createRole",
    "Mutation.updateRole",
    "Mutation.deleteRole",
];

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Anonymous,
    Stranger,
    Owner,
    With(&'static str),
    /// A personal access token with every scope, of a user with every permission.
    Program,
}

impl Rule {
    fn expected(self, field: &str, who: Who) -> Outcome {
        let has = |permission| who == Who::With(permission) || who == Who::Program;
        match (self, who) {
            (_, Who::Program) if IN_SESSION.contains(&field) => DENIED,
            (_, Who::Program) if field == "Query.currentSession" => "null",
            (Everybody("admin"), Who::Program) => "seen",
            (Everybody("me"), Who::Anonymous) => "null",
            (Everybody("me"), _) => "seen",
            (Everybody("admin"), Who::With(_)) => "seen",
            (Everybody("admin") | Admin(..), Who::Anonymous | Who::Stranger | Who::Owner) => "null",
            (Everybody(outcome), _) => outcome,
            (_, Who::Anonymous) => "UNAUTHENTICATED",
            (SignedIn(outcome), _) => outcome,
            (Owner(own, other), _) => {
                if who == Who::Owner {
                    own
                } else {
                    other
                }
            }
            (OwnerOr(permission, own, other), _) => {
                if who == Who::Owner || has(permission) {
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
fn every_field_stands_in_the_table() {
    let fields: BTreeSet<String> = described::fields().into_keys().collect();
    let listed: BTreeSet<String> = TABLE.iter().map(|(field, ..)| (*field).to_owned()).collect();
    let missing: Vec<_> = fields.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&fields).collect();
    assert!(missing.is_empty(), "say in the table who may ask for these: {missing:?}");
    assert!(gone.is_empty(), "these are no fields any more: {gone:?}");
}

struct Fixture {
    ids: Vec<(&'static str, String)>,
    people: Vec<(Who, Client)>,
}

impl Fixture {
    async fn new(root: &User) -> Self {
        let owner = root.sign_up("owner").await;
        let profile = json!({ "fullName": "O", "bio": "Owns" });
        owner.mutate("updateProfile", "user { id }", profile).await.data();
        let sent = owner.ask("demo", "Hi").await;
        owner.ended(&sent.reply).await;
        let other = owner.new_chat(json!({})).await;
        let found =
            root.data("{ characters(first: 1) { nodes { id } } admin { auditLog { nodes { id } } } }", json!({}));
        let found = found.await;
        let ids = vec![
            ("$owner", owner.id.clone()),
            ("$chat", sent.chat),
            ("$otherChat", other),
            ("$reply", sent.reply),
            ("$character", text(&found["characters"]["nodes"][0]["id"])),
            ("$entry", text(&found["admin"]["auditLog"]["nodes"][0]["id"])),
            ("$role", new_role(root, "nobody's", &[]).await),
            ("$noUser", "user_01h455vb4pex5vsknk084sn02q".to_owned()),
            ("$noRole", "role_01h455vb4pex5vsknk084sn02q".to_owned()),
            ("$noSession", "sess_01h455vb4pex5vsknk084sn02q".to_owned()),
            ("$noToken", "pat_01h455vb4pex5vsknk084sn02q".to_owned()),
        ];
        let nobody = Client::new(root.address);
        let mut people = vec![(Who::Anonymous, nobody.clone())];
        people.push((Who::Stranger, (*nobody.sign_up("stranger").await).clone()));
        for (_, permission) in Permission::ALL {
            let user = with_permissions(root, &permission.to_lowercase(), &[permission]).await;
            people.push((Who::With(permission), (*user).clone()));
        }
        let program = json!({ "name": "all", "scopes": ["READ", "WRITE", "ADMIN"] });
        let program = root.mutate("createPersonalAccessToken", "secret", program).await.data();
        people.push((Who::Program, root.with_token(&text(&program["createPersonalAccessToken"]["secret"]))));
        // The owner is the last, for a chat may go.
        people.push((Who::Owner, (*owner).clone()));
        Self { ids, people }
    }

    fn name(who: Who) -> String {
        match who {
            Who::Anonymous => "nobody".to_owned(),
            Who::Stranger => "stranger".to_owned(),
            Who::Owner => "owner".to_owned(),
            Who::With(permission) => permission.to_lowercase(),
            Who::Program => "root".to_owned(),
        }
    }

    async fn outcome(&self, who: Who, client: &Client, field: &str, document: &str) -> String {
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
        } else if name.starts_with("logout") && !matches!(who, Who::Anonymous | Who::Program) {
            log_in(client, &Self::name(who)).await.run(&document, json!({})).await
        } else {
            client.run(&document, json!({})).await
        };
        read(&answer, &path)
    }
}

/// The first answer of a subscription.
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
            assert!(answer.0["data"]["admin"]["id"] == "admin" && at == path, "on that field alone: {}", answer.0);
        }
        return answer.code().to_owned();
    }
    let value = path.iter().fold(&answer.0["data"], |value, name| &value[*name]);
    let value = if value.is_array() && path == ["nodes"] { &value[0] } else { value };
    if value.is_null() { "null" } else { "seen" }.to_owned()
}

on_both_databases!(each_gets_what_the_table_says, |database: TestDatabase| async move {
    let server = with_admin(Setup::new(&database).with("LOGIN_LOCKOUT_ATTEMPTS", "0")).start().await;
    let fixture = Fixture::new(&root(&server).await).await;
    let mut wrong = Vec::new();
    for (field, document, rule) in TABLE {
        for (who, client) in &fixture.people {
            let (expected, got) = (rule.expected(field, *who), fixture.outcome(*who, client, field, document).await);
            if got != expected {
                wrong.push(format!("{field} for {who:?}: {got} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    server.stop().await;
});
