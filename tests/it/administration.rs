//! Administration: the limits of permissions, roles, the last admin, reading chats, and the audit log.

use std::sync::Arc;

use chrono::TimeDelta;
use duologue::clock::{Clock as _, IdGenerator, SystemClock};
use duologue::domain::audit::{self, Action, AuditLog, Entry};
use duologue::storage::audit::Filter;
use duologue::storage::migrations::{Step, run};
use duologue::storage::page::Window;
use duologue::storage::{self, Database};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::client::{Answer, PASSWORD, User, text};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::staff::{admin_role, log_in, new_role, new_user, root, with_admin, with_permissions};

async fn set_roles(by: &User, user: &str, roles: &[&str]) -> Answer {
    by.mutate("setUserRoles", "user { id permissions }", json!({ "userId": user, "roleIds": roles })).await
}

async fn set_active(by: &User, user: &str, is_active: bool) -> Answer {
    let input = json!({ "userId": user, "isActive": is_active });
    by.mutate("setUserActive", "user { id isActive }", input).await
}

async fn entries(by: &User, filter: Value) -> Vec<Value> {
    let document = "query($filter: AuditFilter) { admin { auditLog(first: 100, filter: $filter) {
        nodes { id action actor { id } subjectId ipAddress detail } } } }";
    let data = by.data(document, json!({ "filter": filter })).await;
    data["admin"]["auditLog"]["nodes"].as_array().unwrap().clone()
}

on_both_databases!(an_admin_cannot_exceed_their_own_permissions, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let admin = admin_role(&root).await;
    let mine = new_role(&root, "Staff", &["USERS_WRITE", "ROLES_WRITE"]).await;
    let clerk = new_user(&root, "clerk", &[&mine]).await;
    let reader = with_permissions(&root, "reader", &["CHATS_READ"]).await;
    let plain = root.sign_up("plain").await;

    // Grants of permissions that the admin lacks: by a role, a new role, a changed role, to a new user, and to oneself.
    assert_eq!(set_roles(&clerk, &plain.id, &[&admin]).await.code(), "FORBIDDEN");
    assert_eq!(set_roles(&clerk, &clerk.id, &[&mine, &admin]).await.code(), "FORBIDDEN");
    let beyond = json!({ "name": "More", "permissions": ["USERS_WRITE", "AUDIT_READ"] });
    assert_eq!(clerk.mutate("createRole", "role { id }", beyond).await.code(), "FORBIDDEN");
    let beyond = json!({ "roleId": mine, "permissions": ["USERS_WRITE", "ROLES_WRITE", "AUDIT_READ"] });
    assert_eq!(clerk.mutate("updateRole", "role { id }", beyond).await.code(), "FORBIDDEN");
    let input = json!({ "username": "puppet", "email": "p@example.com", "password": PASSWORD, "roleIds": [admin] });
    assert_eq!(clerk.mutate("createUser", "user { id }", input).await.code(), "FORBIDDEN");
    // Changes of users with permissions that the admin lacks.
    for user in [&root.id, &reader.id] {
        assert_eq!(set_roles(&clerk, user, &[]).await.code(), "FORBIDDEN");
        assert_eq!(set_active(&clerk, user, false).await.code(), "FORBIDDEN");
        for field in ["deleteUser", "endUserSessions", "issuePasswordReset"] {
            let selection = if field == "deleteUser" { "userId" } else { "user { id }" };
            let answer = clerk.mutate(field, selection, json!({ "userId": user })).await;
            assert_eq!(answer.code(), "FORBIDDEN", "{field}");
        }
    }
    assert_eq!(clerk.mutate("deleteRole", "roleId", json!({ "roleId": admin })).await.code(), "CONFLICT");
    // One's own account requires the password, also for admins.
    assert_eq!(set_active(&clerk, &clerk.id, false).await.code(), "CONFLICT");
    for (field, selection) in [("deleteUser", "userId"), ("issuePasswordReset", "resetToken")] {
        assert_eq!(clerk.mutate(field, selection, json!({ "userId": clerk.id })).await.code(), "CONFLICT");
    }
    // An admin can grant own permissions. Granting and removing take effect immediately in existing sessions.
    assert_eq!(plain.run("{ admin { id } }", json!({})).await.data()["admin"], Value::Null);
    let given = set_roles(&clerk, &plain.id, &[&mine]).await.data();
    assert_eq!(given["setUserRoles"]["user"]["id"], plain.id);
    assert_eq!(plain.run("{ admin { id } }", json!({})).await.data()["admin"]["id"], "admin");
    set_roles(&clerk, &plain.id, &[]).await.data();
    assert_eq!(plain.run("{ admin { id } }", json!({})).await.data()["admin"], Value::Null);
    server.stop().await;
});

on_both_databases!(roles_are_validated, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let role = new_role(&root, "Ärzte", &["USERS_READ"]).await;
    let create = async |name: &str| {
        root.mutate("createRole", "role { id }", json!({ "name": name, "permissions": [] })).await.complaint()
    };
    assert_eq!(create(" äRZTE ").await, "CONFLICT name:TAKEN");
    assert_eq!(create("Admin").await, "CONFLICT name:TAKEN");
    assert_eq!(create(" ").await, "INVALID_INPUT name:REQUIRED");
    assert_eq!(create(&"x".repeat(65)).await, "INVALID_INPUT name:TOO_LONG");
    let update = async |input: Value| root.mutate("updateRole", "role { name description permissions }", input).await;
    let admin = admin_role(&root).await;
    assert_eq!(update(json!({ "roleId": admin, "name": "x" })).await.complaint(), "CONFLICT name:NOT_ALLOWED");
    assert_eq!(
        update(json!({ "roleId": admin, "permissions": [] })).await.complaint(),
        "CONFLICT permissions:NOT_ALLOWED"
    );
    assert_eq!(update(json!({ "roleId": role, "name": null })).await.complaint(), "INVALID_INPUT name:REQUIRED");
    assert_eq!(update(json!({ "roleId": role, "name": "ADMIN" })).await.complaint(), "CONFLICT name:TAKEN");
    let long = json!({ "roleId": role, "description": "x".repeat(501) });
    assert_eq!(update(long).await.complaint(), "INVALID_INPUT description:TOO_LONG");

    let nurse = new_user(&root, "nurse", &[&role]).await;
    let permissions = async || nurse.data("{ me { permissions } }", json!({})).await["me"]["permissions"].clone();
    assert_eq!(permissions().await, json!(["USERS_READ"]));
    let changed = update(json!({ "roleId": role, "name": "ärzte", "permissions": ["STATS_READ"] })).await.data();
    assert_eq!(changed["updateRole"]["role"]["name"], "ärzte");
    assert_eq!(permissions().await, json!(["STATS_READ"]));
    root.mutate("deleteRole", "roleId", json!({ "roleId": role })).await.data();
    assert_eq!(permissions().await, json!([]));
    assert_eq!(update(json!({ "roleId": role })).await.code(), "NOT_FOUND");
    server.stop().await;
});

on_both_databases!(the_last_admin_cannot_be_removed, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let mut one = root(&server).await;
    let admin = admin_role(&one).await;
    assert_eq!(set_roles(&one, &one.id, &[]).await.code(), "CONFLICT");
    for round in 0..6 {
        let two = new_user(&one, &format!("second{round}"), &[&admin]).await;
        // Concurrently, both admins demote or deactivate each other, or both give up their own role.
        let answers = match round % 3 {
            0 => tokio::join!(set_roles(&one, &two.id, &[]), set_roles(&two, &one.id, &[])),
            1 => tokio::join!(set_active(&one, &two.id, false), set_active(&two, &one.id, false)),
            _ => tokio::join!(set_roles(&one, &one.id, &[]), set_roles(&two, &two.id, &[])),
        };
        let refused: Vec<_> =
            [&answers.0, &answers.1].into_iter().filter(|answer| !answer.0["errors"].is_null()).collect();
        assert_eq!(refused.len(), 1, "exactly one is refused: {answers:?}");
        assert!(["CONFLICT", "FORBIDDEN", "UNAUTHENTICATED"].contains(&refused[0].code()), "{refused:?}");
        let roles = one.run("{ admin { roles { id } } }", json!({})).await;
        if !roles.0["data"]["admin"]["roles"].is_array() {
            one = two;
        }
    }
    admin_role(&one).await;
    server.stop().await;
});

on_both_databases!(accounts_are_created_deactivated_activated_and_deleted, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let ada = new_user(&root, "Ada", &[]).await;
    let sent = ada.ask("demo", "Hi").await;
    ada.ended(&sent.reply).await;
    let users = async |filter: Value| {
        let document =
            "query($filter: UserFilter) { admin { users(filter: $filter) { nodes { username } totalCount } } }";
        let found = root.data(document, json!({ "filter": filter })).await["admin"]["users"].clone();
        let names = found["nodes"].as_array().unwrap().iter().map(|user| text(&user["username"])).collect::<Vec<_>>();
        assert_eq!(found["totalCount"], names.len());
        names
    };
    assert_eq!(users(json!({})).await, ["Ada", "root"]);
    assert_eq!(users(json!({ "query": "aDA@" })).await, ["Ada"]);
    assert_eq!(users(json!({ "query": "_" })).await, Vec::<String>::new());
    assert_eq!(users(json!({ "roleId": admin_role(&root).await })).await, ["root"]);
    for (name, query) in [("Élodie ÜNAL", "éLODIE ü"), ("Αθηνά Ωνάση", "ΑΘΗΝΆ ω"), ("Żaneta 100%", "ŻANETA 100%")]
    {
        assert_eq!(users(json!({ "query": query })).await, Vec::<String>::new());
        ada.mutate("updateProfile", "user { id }", json!({ "fullName": name })).await.data();
        assert_eq!(users(json!({ "query": query })).await, ["Ada"], "{name}");
    }
    ada.mutate("updateProfile", "user { id }", json!({ "fullName": null })).await.data();
    assert_eq!(users(json!({ "query": "żaneta" })).await, Vec::<String>::new());

    let alive = async |user: &User| user.run("{ me { id } }", json!({})).await.0["errors"].is_null();
    let ended = root.mutate("endUserSessions", "sessionCount", json!({ "userId": ada.id })).await.data();
    assert_eq!(ended["endUserSessions"]["sessionCount"], 1);
    assert!(!alive(&ada).await);
    let ada = log_in(&root, "ada").await;
    set_active(&root, &ada.id, false).await.data();
    assert!(!alive(&ada).await);
    assert_eq!(users(json!({ "isActive": false })).await, ["Ada"]);
    let login = json!({ "login": "ada", "password": PASSWORD });
    assert_eq!(ada.mutate("login", "accessToken", login).await.code(), "INVALID_CREDENTIALS");
    set_active(&root, &ada.id, true).await.data();
    let ada = log_in(&root, "ada").await;

    let reset = root.mutate("issuePasswordReset", "resetToken", json!({ "userId": ada.id })).await.data();
    let token = &reset["issuePasswordReset"]["resetToken"];
    let input = json!({ "resetToken": token, "newPassword": "amber lantern counts 52 otters" });
    assert_eq!(root.mutate("resetPassword", "userId", input).await.data()["resetPassword"]["userId"], ada.id);
    assert!(!alive(&ada).await);

    root.mutate("deleteUser", "userId", json!({ "userId": ada.id })).await.data();
    assert_eq!(users(json!({})).await, ["root"]);
    let gone = json!({ "userId": ada.id });
    assert_eq!(root.mutate("deleteUser", "userId", gone).await.code(), "NOT_FOUND");
    server.stop().await;
});

on_both_databases!(an_admin_can_read_a_chat_but_not_change_it, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let reader = with_permissions(&root, "reader", &["CHATS_READ"]).await;
    let ada = root.sign_up("ada").await;
    let sent = ada.send(json!({ "newChat": {}, "content": "Secret plans", "idempotencyKey": "k" })).await;
    ada.ended(&sent.reply).await;
    let document = "query($id: ID!) { admin { chat(id: $id) { owner { id } messageCount
        lastMessage { id content parent { content idempotencyKey children { id } siblings { id } chat { id } } }
        messages(first: 1) { nodes { content } totalCount pageInfo { endCursor } } } } }";
    let chat = reader.data(document, json!({ "id": sent.chat })).await["admin"]["chat"].clone();
    assert_eq!((&chat["owner"]["id"], &chat["messageCount"]), (&json!(ada.id), &json!(2)));
    assert_eq!(chat["messages"]["nodes"], json!([{ "content": "Secret plans" }]));
    assert_eq!(chat["messages"]["totalCount"], 2);
    let parent = &chat["lastMessage"]["parent"];
    assert_eq!(parent["children"], json!([{ "id": sent.reply }]));
    assert_eq!(parent["siblings"], json!([{ "id": sent.message }]));
    assert_eq!(parent["chat"]["id"], sent.chat);
    assert_eq!(parent["idempotencyKey"], Value::Null, "visible to the owner only");
    let next =
        "query($id: ID!, $after: String) { admin { chat(id: $id) { messages(after: $after) { nodes { id } } } } }";
    let after = json!({ "id": sent.chat, "after": chat["messages"]["pageInfo"]["endCursor"] });
    let rest = reader.data(next, after).await;
    assert_eq!(rest["admin"]["chat"]["messages"]["nodes"], json!([{ "id": sent.reply }]));
    // The chats of all users, newest first, and those of one user.
    let eve = root.sign_up("eve").await;
    let hers = eve.new_chat(json!({})).await;
    let list = "query($user: ID) { admin { chats(userId: $user) { nodes { id lastMessage { id } } totalCount } } }";
    let all = reader.data(list, json!({})).await["admin"]["chats"].clone();
    assert_eq!(
        all["nodes"],
        json!([{ "id": hers, "lastMessage": null }, { "id": sent.chat, "lastMessage": { "id": sent.reply } }])
    );
    assert_eq!(reader.data(list, json!({ "user": eve.id })).await["admin"]["chats"]["totalCount"], 1);
    // Other fields do not give access to the chat.
    let elsewhere = "query($chat: ID!, $message: ID!) { chat(id: $chat) { id } node(id: $message) { id } }";
    let seen = reader.data(elsewhere, json!({ "chat": sent.chat, "message": sent.message })).await;
    assert_eq!(seen, json!({ "chat": null, "node": null }));
    for (field, selection, input) in [
        ("updateChat", "chat { id }", json!({ "chatId": sent.chat, "title": "Mine" })),
        ("stopReply", "message { id }", json!({ "messageId": sent.reply })),
        ("sendMessage", "chat { id }", json!({ "chatId": sent.chat, "content": "Hi" })),
    ] {
        assert_eq!(reader.mutate(field, selection, input).await.code(), "NOT_FOUND", "{field}");
    }
    // Every access is in the audit log.
    let reads = entries(&root, json!({ "actorId": reader.id, "action": "chat.read" })).await;
    assert_eq!(reads.len(), 3, "twice by its id, once through a list");
    assert!(reads.iter().all(|entry| entry["subjectId"] == sent.chat && entry["detail"]["ownerId"] == ada.id));
    let listed = entries(&root, json!({ "actorId": reader.id, "action": "chat.listed" })).await;
    assert_eq!(listed.iter().map(|entry| entry["subjectId"].clone()).collect::<Vec<_>>(), [json!(eve.id), Value::Null]);
    server.stop().await;
});

on_both_databases!(the_audit_log_contains_actions_and_no_secrets, |database| async move {
    let setup = with_admin(Setup::new(&database).with("LOGIN_LOCKOUT_ATTEMPTS", "0"));
    let server = setup.start().await;
    let root = root(&server).await;
    let role = new_role(&root, "Staff", &["USERS_READ"]).await;
    let ada = new_user(&root, "ada", &[&role]).await;
    for (login, count) in [("ada", 3), ("nobody.of.this.name", 4)] {
        for _ in 0..count {
            let input = json!({ "login": login, "password": "hunter2-hunter2" });
            assert_eq!(root.mutate("login", "accessToken", input).await.code(), "INVALID_CREDENTIALS");
        }
    }
    let refresh = "user { id } session { id } accessToken refreshToken";
    let refreshed = async |token: &str| root.mutate("refreshSession", refresh, json!({ "refreshToken": token })).await;
    let second = ada.signed_in(&refreshed(&ada.refresh_token).await.data()["refreshSession"]);
    let third = ada.signed_in(&refreshed(&second.refresh_token).await.data()["refreshSession"]);
    assert_eq!(refreshed(&ada.refresh_token).await.code(), "INVALID_CREDENTIALS");
    let reset = root.mutate("issuePasswordReset", "resetToken", json!({ "userId": ada.id })).await.data();
    set_roles(&root, &ada.id, &[]).await.data();
    root.mutate("updateRole", "role { id }", json!({ "roleId": role, "permissions": [] })).await.data();
    root.mutate("deleteRole", "roleId", json!({ "roleId": role })).await.data();

    let all = entries(&root, json!({})).await;
    let ids: Vec<String> = all.iter().map(|entry| text(&entry["id"])).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "newest first");
    let find = |action: &str| all.iter().filter(|entry| entry["action"] == action).collect::<Vec<_>>();
    for action in
        ["role.created", "user.created", "user.password_reset_issued", "user.roles_set", "role.updated", "role.deleted"]
    {
        let found = find(action);
        assert_eq!(found.len(), 1, "{action}");
        assert_eq!(found[0]["actor"]["id"], root.id, "{action}");
        assert_eq!(found[0]["ipAddress"], "127.0.0.1", "{action}");
        let subject = if action.starts_with("role") { &role } else { &ada.id };
        assert_eq!(found[0]["subjectId"], *subject, "{action}");
    }
    assert_eq!(find("user.login").len(), 2);
    assert_eq!(find("session.reuse_detected")[0]["subjectId"], third.session_id);
    assert_eq!(find("user.roles_set")[0]["detail"]["before"]["roles"], json!(["Staff", "user"]));
    // Failures of one account and network have one entry per minute, so there are two if the minute changes.
    let failed = find("user.login_failed");
    let of = |subject: Value| {
        let of_subject = failed.iter().filter(move |entry| entry["subjectId"] == subject);
        of_subject.map(|entry| entry["detail"]["count"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let (known, unknown) = (of(json!(ada.id)), of(Value::Null));
    assert_eq!((known.iter().sum::<i64>(), unknown.iter().sum::<i64>()), (3, 4));
    assert!(known.len() <= 2 && unknown.len() <= 2, "{known:?} {unknown:?}");

    let written = serde_json::to_string(&all).unwrap();
    let token = text(&reset["issuePasswordReset"]["resetToken"]);
    for secret in [
        PASSWORD,
        "hunter2",
        "nobody.of.this.name",
        &token,
        &ada.refresh_token,
        &third.refresh_token,
        "duo_reset_",
        "eyJ",
    ] {
        assert!(!written.contains(secret), "{secret} is in the audit log");
    }
    let entry = text(&find("role.deleted")[0]["id"]);
    let node = "query($id: ID!) { node(id: $id) { ... on AuditEntry { action createdAt } } }";
    assert_eq!(root.data(node, json!({ "id": entry })).await["node"]["action"], "role.deleted");
    let none = json!({ "to": "2020-01-01T00:00:00Z" });
    assert_eq!(entries(&root, none).await.len(), 0);
    server.stop().await;
});

on_both_databases!(the_audit_log_is_limited_in_age_and_in_failures, |database| async move {
    run(database.url(), Step::Up(None)).await.unwrap();
    let db = Database::connect(database.url(), 2).await.unwrap();
    let (ids, now) = (IdGenerator::default(), SystemClock.now());
    let old = now - TimeDelta::days(366);
    let log = AuditLog { database: db.clone(), clock: Arc::new(SystemClock) };
    let tx = db.begin().await.unwrap();
    for action in [Action::RoleCreated, Action::UserLoginFailed] {
        audit::record(&tx, Entry::new(action, &ids, old)).await.unwrap();
    }
    for minute in (1..6).rev() {
        let at = now - TimeDelta::minutes(minute);
        audit::record(&tx, Entry::new(Action::UserLoginFailed, &ids, at)).await.unwrap();
        audit::record(&tx, Entry::new(Action::UserLoginFailed, &ids, at)).await.unwrap();
    }
    audit::record(&tx, Entry::new(Action::RoleDeleted, &ids, now)).await.unwrap();
    tx.commit().await.unwrap();
    let left = async || {
        let window = Window { after: None, before: None, limit: 100, from_end: false };
        let page = storage::audit::page(db.reader(), &Filter::default(), window).await.unwrap();
        page.rows.into_iter().map(|row| (row.action, row.occurrences)).collect::<Vec<_>>()
    };
    assert_eq!(left().await.len(), 8);
    log.sweep(100, &CancellationToken::new()).await.unwrap();
    assert_eq!(left().await.len(), 6, "expired entries are deleted");
    log.sweep(2, &CancellationToken::new()).await.unwrap();
    let failed = || ("user.login_failed".to_owned(), 2);
    assert_eq!(left().await, [("role.deleted".to_owned(), 1), failed(), failed()]);
});
