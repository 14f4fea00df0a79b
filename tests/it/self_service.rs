//! Self-service of users through the API: profile, password, sessions, and the end of an account.

use duologue::domain::chats::message;
use duologue::entity::enums::MessageRole;
use duologue::entity::ids::{CharacterId, ChatId, MessageId, UserId};
use duologue::entity::{character, chat, message as message_row, user};
use duologue::storage::{self, Database};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{Client, PASSWORD, User};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::socket::{Reading, Socket};

const OTHER_PASSWORD: &str = "41 lanterns counted by a velvet otter";
const AUTH: &str = "user { id } session { id } accessToken refreshToken";

async fn login(client: &Client, password: &str) -> User {
    let input = json!({ "login": "ada", "password": password });
    client.signed_in(&client.mutate("login", AUTH, input).await.data()["login"])
}

async fn is_refused(client: &Client, login: &str, password: &str) -> bool {
    let answer = client.mutate("login", AUTH, json!({ "login": login, "password": password })).await;
    answer.0["data"]["login"].is_null() && answer.code() == "INVALID_CREDENTIALS"
}

async fn is_unauthenticated(user: &User) -> bool {
    let answer = user.run("{ currentSession { id } }", json!({})).await;
    !answer.0["errors"].is_null() && answer.code() == "UNAUTHENTICATED"
}

/// Whether the socket is closed with 4403 within a second.
async fn is_closed_with_4403(socket: &mut Socket) -> bool {
    let start = std::time::Instant::now();
    socket.closed().await == 4403 && start.elapsed().as_secs() < 1
}

on_both_databases!(profile_changes_are_validated, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, _eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let profile = "user { username email fullName bio updatedAt }";
    let update = async |input: Value| ada.mutate("updateProfile", profile, input).await;
    for (input, complaint) in [
        (json!({ "username": null }), "INVALID_INPUT username:REQUIRED"),
        (json!({ "email": null }), "INVALID_INPUT email:REQUIRED"),
        (
            json!({ "username": "a b", "fullName": "x".repeat(101), "bio": "x".repeat(1001) }),
            "INVALID_INPUT username:MALFORMED fullName:TOO_LONG bio:TOO_LONG",
        ),
        (json!({ "bio": "a\u{0}b" }), "INVALID_INPUT bio:MALFORMED"),
        (json!({ "email": "new@example.com" }), "INVALID_INPUT currentPassword:REQUIRED"),
        (json!({ "email": "new@example.com", "currentPassword": "wrong" }), "INVALID_CREDENTIALS"),
        (json!({ "username": "EVE" }), "CONFLICT username:TAKEN"),
        (json!({ "email": "Eve@Example.com", "currentPassword": PASSWORD }), "CONFLICT email:TAKEN"),
    ] {
        assert_eq!(update(input).await.complaint(), complaint);
    }
    let before = ada.data("{ me { username email fullName bio updatedAt } }", json!({})).await["me"].take();
    assert_eq!(update(json!({})).await.data()["updateProfile"]["user"], before, "an empty input changes nothing");
    let same = json!({ "username": "ada", "email": "ada@example.com" });
    assert_eq!(update(same).await.data()["updateProfile"]["user"], before);

    let all = json!({ "username": "Ada_L", "email": "ada@lovelace.example", "currentPassword": PASSWORD,
        "fullName": " Ada Lovelace ", "bio": "First.\nAlways." });
    let after = update(all).await.data()["updateProfile"]["user"].take();
    assert_eq!((&after["username"], &after["email"]), (&json!("Ada_L"), &json!("ada@lovelace.example")));
    assert_eq!((&after["fullName"], &after["bio"]), (&json!("Ada Lovelace"), &json!("First.\nAlways.")));
    assert_ne!(after["updatedAt"], before["updatedAt"]);
    let cleared = update(json!({ "fullName": null, "bio": "  " })).await.data()["updateProfile"]["user"].take();
    assert_eq!((&cleared["fullName"], &cleared["bio"]), (&Value::Null, &Value::Null));
    assert!(is_refused(&ada, "ada", PASSWORD).await, "the old username cannot sign in");
    let login = json!({ "login": "ada@lovelace.example", "password": PASSWORD });
    assert_eq!(ada.mutate("login", AUTH, login).await.data()["login"]["user"]["id"], ada.id);
    server.stop().await;
});

on_both_databases!(a_password_change_ends_the_other_sessions, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let other = login(&ada, PASSWORD).await;
    let sent = ada.ask("demo/slow", "Hi").await;
    let (mut mine, mut others) = (ada.socket().await, other.socket().await);
    others.read("1", &sent.reply, None).await;
    let mut reading = Reading::default();
    reading.take(others.event("1").await.unwrap());

    let change = async |current: &str, new: &str| {
        ada.mutate("changePassword", "user { id }", json!({ "currentPassword": current, "newPassword": new })).await
    };
    assert_eq!(change("wrong", OTHER_PASSWORD).await.complaint(), "INVALID_CREDENTIALS");
    assert_eq!(change(PASSWORD, "password").await.complaint(), "INVALID_INPUT newPassword:TOO_WEAK");
    assert_eq!(change(PASSWORD, "short").await.complaint(), "INVALID_INPUT newPassword:TOO_SHORT");
    assert!(!is_unauthenticated(&other).await);
    assert_eq!(change(PASSWORD, OTHER_PASSWORD).await.data()["changePassword"]["user"]["id"], ada.id);
    assert!(is_closed_with_4403(&mut others).await && is_unauthenticated(&other).await);
    assert!(!is_unauthenticated(&ada).await);
    let refresh = json!({ "refreshToken": other.refresh_token });
    assert_eq!(ada.mutate("refreshSession", "accessToken", refresh).await.code(), "INVALID_CREDENTIALS");
    assert!(is_refused(&ada, "ada", PASSWORD).await);

    // After a new sign-in, the client resumes the reply from its position.
    let again = login(&ada, OTHER_PASSWORD).await;
    let mut socket = again.socket().await;
    socket.read("1", &sent.reply, Some(reading.position)).await;
    while let Some(event) = socket.event("1").await {
        reading.take(event);
    }
    assert_eq!(reading.message.as_ref().unwrap()["content"], reading.text);
    mine.read("2", &sent.reply, None).await;
    assert!(mine.event("2").await.is_some(), "the socket of the current session stays open");
    server.stop().await;
});

on_both_databases!(guessing_the_current_password_is_locked_out, |database| async move {
    let server = Setup::new(&database).with("LOGIN_LOCKOUT_ATTEMPTS", "4").start().await;
    let ada = server.sign_up("ada").await;
    let guess = async |field: &str, password: &str| {
        let (selection, input) = match field {
            "changePassword" => ("user { id }", json!({ "currentPassword": password, "newPassword": OTHER_PASSWORD })),
            "updateProfile" => ("user { id }", json!({ "email": "eve@example.com", "currentPassword": password })),
            _ => ("userId", json!({ "password": password })),
        };
        ada.mutate(field, selection, input).await
    };
    let fields = ["changePassword", "updateProfile", "deactivateAccount", "deleteAccount"];
    for field in fields {
        assert_eq!(guess(field, "wrong").await.code(), "INVALID_CREDENTIALS", "{field}");
    }
    for field in fields {
        let refused = guess(field, PASSWORD).await;
        assert_eq!(refused.code(), "LOCKED_OUT", "{field}");
        assert!(refused.extensions()["retryAfterSeconds"].as_u64().unwrap() > 800, "{field}");
    }
    let login = json!({ "login": "ada", "password": PASSWORD });
    assert_eq!(ada.mutate("login", AUTH, login).await.code(), "LOCKED_OUT");
    let me = ada.data("{ me { email lockedUntil } }", json!({})).await;
    assert_eq!(me["me"]["email"], "ada@example.com", "the session is valid, and nothing has changed");
    assert!(me["me"]["lockedUntil"].is_string());
    server.stop().await;
});

on_both_databases!(other_sessions_are_listed_and_revoked, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let (second, third) = (login(&ada, PASSWORD).await, login(&ada, PASSWORD).await);
    let list = async |who: &User| {
        let me = who.data("{ me { sessions { id isCurrent userAgent ipAddress } } }", json!({})).await;
        me["me"]["sessions"].as_array().unwrap().clone()
    };
    let seen = list(&second).await;
    assert_eq!(seen.len(), 3);
    let current: Vec<_> = seen.iter().filter(|one| one["isCurrent"] == true).map(|one| one["id"].clone()).collect();
    assert_eq!(current, [json!(second.session_id)]);

    let revoke =
        async |who: &User, id: &str| who.mutate("revokeSession", "sessionId", json!({ "sessionId": id })).await;
    assert_eq!(revoke(&eve, &second.session_id).await.code(), "NOT_FOUND");
    assert_eq!(revoke(&ada, &ada.id).await.complaint(), "INVALID_INPUT sessionId:MALFORMED");
    let mut socket = second.socket().await;
    assert_eq!(revoke(&ada, &second.session_id).await.data()["revokeSession"]["sessionId"], second.session_id);
    assert!(is_closed_with_4403(&mut socket).await && is_unauthenticated(&second).await);
    assert_eq!(revoke(&ada, &second.session_id).await.code(), "NOT_FOUND");
    assert_eq!(list(&ada).await.len(), 2);

    let (mut one, mut two, mut eves) = (ada.socket().await, third.socket().await, eve.socket().await);
    let ended = third.data("mutation { logoutEverywhere { sessionCount } }", json!({})).await;
    assert_eq!(ended["logoutEverywhere"]["sessionCount"], 2);
    assert!(is_closed_with_4403(&mut one).await && is_closed_with_4403(&mut two).await);
    assert!(is_unauthenticated(&ada).await && is_unauthenticated(&third).await && !is_unauthenticated(&eve).await);
    eves.subscribe("1", "{ me { id } }", json!({})).await;
    assert_eq!(eves.next().await["payload"]["data"]["me"]["id"], eve.id);
    server.stop().await;
});

on_both_databases!(a_deactivated_account_is_hidden_and_cannot_sign_in, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let mut socket = ada.socket().await;
    let wrong = ada.mutate("deactivateAccount", "userId", json!({ "password": "wrong" })).await;
    assert_eq!(wrong.complaint(), "INVALID_CREDENTIALS");
    let find = "query($id: ID!) { user(username: \"ada\") { id } node(id: $id) { id } }";
    let id = json!({ "id": ada.id });
    assert_eq!(eve.data(find, id.clone()).await, json!({ "user": { "id": ada.id }, "node": { "id": ada.id } }));
    assert_eq!(eve.data("{ user(username: \"nob\\u0000dy\") { id } }", json!({})).await["user"], Value::Null);
    let anonymous = server.client().run("{ user(username: \"ada\") { id } }", json!({})).await;
    assert_eq!((anonymous.code(), &anonymous.0["data"]["user"]), ("UNAUTHENTICATED", &Value::Null));

    let closed = ada.mutate("deactivateAccount", "userId", json!({ "password": PASSWORD })).await.data();
    assert_eq!(closed["deactivateAccount"]["userId"], ada.id);
    assert!(is_closed_with_4403(&mut socket).await && is_unauthenticated(&ada).await);
    assert!(is_refused(&eve, "ada", PASSWORD).await);
    assert_eq!(eve.data(find, id).await, json!({ "user": null, "node": null }));
    let input = json!({ "username": "ada", "email": "other@example.com", "password": PASSWORD });
    assert_eq!(eve.mutate("register", AUTH, input).await.complaint(), "CONFLICT username:TAKEN");
    server.stop().await;
});

/// Fills a chat with a long branch, and creates a public character of its owner.
async fn fill(database: &Database, chat: ChatId, owner: UserId) -> CharacterId {
    let transaction = database.begin().await.unwrap();
    let now = chat::Entity::find_by_id(chat).one(&transaction).await.unwrap().unwrap().created_at;
    let mut rows: Vec<message_row::Model> = Vec::new();
    for (number, depth) in (1_000..).zip(0..2_000) {
        let mut row = message(MessageId(Uuid::from_u128(number)), chat, MessageRole::User, "words", None, now);
        (row.parent_id, row.depth) = (rows.last().map(|parent| parent.id), depth);
        rows.push(row);
    }
    for some in rows.chunks(500) {
        storage::messages::insert(&transaction, some).await.unwrap();
    }
    let character = character::Model {
        id: CharacterId(Uuid::from_u128(7)),
        owner_id: Some(owner),
        name: "Countess".to_owned(),
        name_key: "countess".to_owned(),
        description: None,
        avatar_url: None,
        greeting: None,
        system_prompt: "Count.".to_owned(),
        model_id: None,
        temperature: None,
        max_output_tokens: None,
        is_public: true,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    character.clone().into_active_model().insert(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    character.id
}

on_both_databases!(a_deleted_account_is_hidden_at_once_and_its_rows_are_deleted_later, |database| async move {
    let setup = Setup::new(&database);
    let server = setup.start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let rows = Database::connect(database.url(), 2).await.unwrap();
    let chat = ada.new_chat(json!({ "title": "long" })).await;
    let character = fill(&rows, chat.parse().unwrap(), ada.id.parse().unwrap()).await;
    let eves = eve.new_chat(json!({ "characterId": character.to_string() })).await;
    let running = ada.ask("demo/stalls", "Hi").await;
    let mut socket = ada.socket().await;
    socket.read("1", &running.reply, None).await;
    socket.event("1").await.unwrap();

    let wrong = ada.mutate("deleteAccount", "userId", json!({ "password": "wrong" })).await;
    assert_eq!(wrong.complaint(), "INVALID_CREDENTIALS");
    let start = std::time::Instant::now();
    let gone = ada.mutate("deleteAccount", "userId", json!({ "password": PASSWORD })).await.data();
    assert_eq!(gone["deleteAccount"]["userId"], ada.id);
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    assert!(is_closed_with_4403(&mut socket).await && is_unauthenticated(&ada).await);
    assert!(is_refused(&eve, "ada", PASSWORD).await && is_refused(&eve, "ada@example.com", PASSWORD).await);
    let find = "query($user: ID!, $character: ID!, $chat: ID!) { user(username: \"ada\") { id } node(id: $user) { id }
        character(id: $character) { id } characters(filter: { query: \"countess\" }) { totalCount } chat(id: $chat) { id character { id } } }";
    let ids = json!({ "user": ada.id, "character": character.to_string(), "chat": eves });
    let left = json!({ "user": null, "node": null, "character": null, "characters": { "totalCount": 0 },
        "chat": { "id": eves, "character": null } });
    assert_eq!(eve.data(find, ids.clone()).await, left);
    let chats = chat::Entity::find().filter(chat::Column::OwnerId.eq(ada.id.parse::<UserId>().unwrap()));
    let seen = chats.clone().filter(chat::Column::DeletedAt.is_null()).count(rows.reader()).await.unwrap();
    assert_eq!(seen, 0, "no chat is readable");
    let again = server.sign_up("ada").await;
    assert_ne!(again.id, ada.id, "username and e-mail address can be used again immediately");

    // After a crash, the next server continues to delete the rows.
    server.kill().await;
    let server = setup.start().await;
    let start = std::time::Instant::now();
    while user::Entity::find_by_id(ada.id.parse::<UserId>().unwrap()).one(rows.reader()).await.unwrap().is_some() {
        assert!(start.elapsed().as_secs() < 40, "the rows are not deleted");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(chats.count(rows.reader()).await.unwrap(), 0);
    assert_eq!(message_row::Entity::find().count(rows.reader()).await.unwrap(), 0);
    let eve = eve.at(server.address);
    eve.talk(&eves, "Hi").await;
    assert_eq!(eve.data(find, ids).await["chat"]["character"], Value::Null);
    assert_eq!(again.at(server.address).data("{ me { username } }", json!({})).await["me"]["username"], "ada");
    rows.close().await;
    server.stop().await;
});
