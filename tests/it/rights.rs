//! Effects of permissions: revoked password resets, audit entries of read chats, and the viewer within a document.

use serde_json::{Value, json};

use crate::support::client::{PASSWORD, User, text};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::staff::{admin_role, new_role, new_user, root, with_admin, with_permissions};

async fn entries(by: &User, filter: Value) -> Vec<Value> {
    let document = "query($filter: AuditFilter) { admin { auditLog(first: 100, filter: $filter) {
        nodes { subjectId detail } } } }";
    let data = by.data(document, json!({ "filter": filter })).await;
    data["admin"]["auditLog"]["nodes"].as_array().unwrap().clone()
}

on_both_databases!(a_password_reset_is_revoked_when_its_user_gains_permissions, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let staff = new_role(&root, "Staff", &["CHATS_READ", "AUDIT_READ"]).await;
    let clerk = with_permissions(&root, "clerk", &["USERS_WRITE", "CHATS_READ", "AUDIT_READ"]).await;
    let ada = new_user(&root, "ada", &[&staff]).await;
    let issue = async || {
        let reset = clerk.mutate("issuePasswordReset", "resetToken", json!({ "userId": ada.id })).await.data();
        text(&reset["issuePasswordReset"]["resetToken"])
    };
    let outcome = async |token: String| {
        let input = json!({ "resetToken": token, "newPassword": PASSWORD });
        let answer = clerk.mutate("resetPassword", "userId", input).await;
        if answer.0["errors"].is_null() { "reset".to_owned() } else { answer.code().to_owned() }
    };
    let set_roles = async |roles: Value| {
        let input = json!({ "userId": ada.id, "roleIds": roles });
        root.mutate("setUserRoles", "user { id }", input).await.data();
    };
    let set_permissions = async |permissions: Value| {
        let input = json!({ "roleId": staff, "permissions": permissions });
        root.mutate("updateRole", "role { id }", input).await.data();
    };

    let token = issue().await;
    set_permissions(json!(["AUDIT_READ"])).await;
    assert_eq!(outcome(token).await, "reset", "a removed permission does not revoke it");
    let token = issue().await;
    set_permissions(json!(["AUDIT_READ", "ROLES_WRITE"])).await;
    assert_eq!(outcome(token).await, "INVALID_CREDENTIALS", "a role of the user that gains a permission revokes it");
    set_permissions(json!(["AUDIT_READ"])).await;
    let token = issue().await;
    set_roles(json!([])).await;
    set_permissions(json!(["AUDIT_READ", "ROLES_WRITE"])).await;
    assert_eq!(outcome(token).await, "reset", "a former role of the user has no effect");
    let token = issue().await;
    set_roles(json!([admin_role(&root).await])).await;
    assert_eq!(outcome(token).await, "INVALID_CREDENTIALS", "a new role revokes it");
    server.stop().await;
});

on_both_databases!(chats_that_an_admin_opens_are_in_the_audit_log, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let reader = with_permissions(&root, "reader", &["CHATS_READ"]).await;
    let mut chats = Vec::new();
    for name in ["ada", "eve", "kim"] {
        let user = root.sign_up(name).await;
        let sent = user.ask("demo", "Hi").await;
        user.ended(&sent.reply).await;
        chats.push((user.id.clone(), sent));
    }
    let owners: Vec<&String> = chats.iter().map(|(owner, _)| owner).collect();
    let reads = async || entries(&root, json!({ "actorId": reader.id, "action": "chat.read" })).await;

    reader.data("{ admin { chats { totalCount nodes { title messageCount owner { username } } } } }", json!({})).await;
    let listed = entries(&root, json!({ "actorId": reader.id, "action": "chat.listed" })).await;
    assert_eq!(listed.len(), 1);
    let mut named: Vec<String> = listed[0]["detail"]["ownerIds"].as_array().unwrap().iter().map(text).collect();
    named.sort();
    assert_eq!((named.iter().collect::<Vec<_>>(), &listed[0]["detail"]["chatCount"]), (owners.clone(), &json!(3)));
    assert!(reads().await.is_empty(), "listing is not reading");

    let two = "{ admin { chats(first: 2) { nodes { id lastMessage { content } messages { nodes { content parent { id } } } } } } }";
    let opened = reader.data(two, json!({})).await["admin"]["chats"]["nodes"].clone();
    assert_eq!(opened[0]["messages"]["nodes"][0]["content"], "Hi");
    let found = reads().await;
    let mut expected: Vec<Value> =
        [2, 1].map(|n| json!({ "subjectId": chats[n].1.chat, "detail": { "ownerId": chats[n].0 } })).to_vec();
    let by_chat = |entry: &Value| text(&entry["subjectId"]);
    expected.sort_by_key(by_chat);
    let mut sorted = found.clone();
    sorted.sort_by_key(by_chat);
    assert_eq!(sorted, expected, "each opened chat once, and no other");

    let own = "{ me { chats { nodes { messages { nodes { content } } } } } }";
    reader.data(own, json!({})).await;
    assert_eq!(reads().await.len(), 2, "reading own chats is not recorded");
    server.stop().await;
});

on_both_databases!(the_name_of_a_deleted_account_is_not_in_the_audit_log, |database| async move {
    let server = with_admin(Setup::new(&database)).start().await;
    let root = root(&server).await;
    let made = new_user(&root, "melisande", &[]).await;
    let rename = json!({ "username": "melisande.2", "fullName": "Melisande" });
    made.mutate("updateProfile", "user { id }", rename).await.data();
    let created = entries(&root, json!({ "action": "user.created" })).await;
    assert_eq!(created[0]["detail"], json!({ "roles": ["user"] }));
    root.mutate("deleteUser", "userId", json!({ "userId": made.id })).await.data();
    let all = entries(&root, json!({})).await;
    assert!(all.iter().any(|entry| entry["subjectId"] == made.id));
    assert!(!json!(all).to_string().to_lowercase().contains("melisande"), "{all:#?}");
    server.stop().await;
});

// In the payloads of `login`, `register` and `refreshSession`, the viewer is the user of the payload.
on_both_databases!(the_user_of_a_sign_in_payload_is_the_viewer_at_every_depth, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let sent = ada.ask("demo", "Hi").await;
    ada.ended(&sent.reply).await;
    let user =
        "user { id email roles { name } permissions sessions { isCurrent } personalAccessTokens { id } lockedUntil
        chats(first: 2) { totalCount nodes { owner { id email chats(first: 1) { totalCount } } character { name }
            lastMessage { chat { owner { id } } parent { content } children { id } }
            messages(last: 2) { nodes { content siblings { id } } } } } }";
    let selection = format!("accessToken refreshToken session {{ id }} {user}");
    let input = json!({ "login": "ada", "password": PASSWORD });
    let login = server.client().mutate("login", &selection, input).await.data()["login"].clone();
    assert_eq!(login["user"]["chats"]["nodes"][0]["owner"]["id"], ada.id);
    assert_eq!(login["user"]["chats"]["nodes"][0]["lastMessage"]["parent"]["content"], "Hi");
    let signed_in = ada.signed_in(&login);
    let me = signed_in.data(&format!("{{ me {{ {} }} }}", &user["user { ".len()..user.len() - 2]), json!({})).await;
    assert_eq!(login["user"], me["me"], "the same as with the new token");
    assert_eq!(login["user"]["sessions"].as_array().unwrap().iter().filter(|one| one["isCurrent"] == true).count(), 1);

    // With the credentials of another user, and with invalid ones.
    let eve = server.sign_up("eve").await;
    for client in [(*eve).clone(), eve.with_token("nonsense")] {
        let input = json!({ "refreshToken": signed_in.refresh_token });
        let again = client.mutate("refreshSession", &selection, input).await.data()["refreshSession"].clone();
        assert_eq!(again["user"], me["me"]);
    }
    let input = json!({ "username": "kim", "email": "kim@example.com", "password": PASSWORD });
    let new = eve.mutate("register", &selection, input).await.data()["register"]["user"].clone();
    assert_eq!((&new["email"], &new["chats"]["totalCount"]), (&json!("kim@example.com"), &json!(0)));
    server.stop().await;
});

on_both_databases!(fields_after_the_end_of_the_session_are_unauthenticated, |database| async move {
    let server = Setup::new(&database).start().await;
    let input = json!({ "password": PASSWORD });
    for (name, first) in [
        ("ada", "logout { sessionId }"),
        ("eve", "logoutEverywhere { sessionCount }"),
        ("kim", "deactivateAccount(input: $input) { userId }"),
        ("lee", "deleteAccount(input: $input) { userId }"),
    ] {
        let user = server.sign_up(name).await;
        let fields = format!(
            r#"{first} createChat(input: {{ title: "Late" }}) {{ chat {{ id }} }}
            updateProfile(input: {{ bio: "Late" }}) {{ user {{ id }} }}
            login(input: {{ login: "nobody", password: "x" }}) {{ accessToken }}"#
        );
        let (definition, variables) = match first.contains("$input") {
            true => {
                let kind =
                    format!("{}{}Input", first[..1].to_uppercase(), first.split('(').next().unwrap()[1..].to_owned());
                (format!("($input: {kind}!)"), json!({ "input": input }))
            }
            false => (String::new(), json!({})),
        };
        let answer = user.run(&format!("mutation{definition} {{ {fields} }}"), variables).await.0;
        let field = first.split(['(', ' ']).next().unwrap();
        assert!(answer["data"][field].is_object(), "{answer}");
        let errors: Vec<(&str, &str)> = answer["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| (error["path"][0].as_str().unwrap(), error["extensions"]["code"].as_str().unwrap()))
            .collect();
        let dead = "UNAUTHENTICATED";
        assert_eq!(
            errors,
            [("createChat", dead), ("updateProfile", dead), ("login", "INVALID_CREDENTIALS")],
            "{field}"
        );
    }
    server.stop().await;
});
