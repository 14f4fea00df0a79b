//! Sessions: their end, refresh tokens, and invalid credentials.

use serde_json::{Value, json};

use crate::support::client::{PASSWORD, User};
use crate::support::database::on_both_databases;
use crate::support::server::Setup;

const REFRESH: &str = "mutation($input: RefreshSessionInput!) { refreshSession(input: $input) {
    user { id } session { id } accessToken refreshToken } }";

async fn is_unauthenticated(user: &User) -> bool {
    let answer = user.run("{ me { id } }", json!({})).await;
    if answer.0["errors"].is_null() {
        return false;
    }
    assert_eq!((answer.code(), &answer.0["data"]["me"]), ("UNAUTHENTICATED", &Value::Null));
    true
}

on_both_databases!(logout_ends_requests_and_sockets_immediately, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let login = json!({ "login": "ada", "password": PASSWORD });
    let payload = ada.mutate("login", "user { id } session { id } accessToken refreshToken", login).await.data();
    let other = ada.signed_in(&payload["login"]);
    let sent = ada.ask("demo/stalls", "Hi").await;
    let (mut mine, mut others) = (ada.socket().await, other.socket().await);
    mine.read("1", &sent.reply, None).await;
    mine.event("1").await.unwrap();
    others.read("1", &sent.reply, None).await;
    others.event("1").await.unwrap();

    let ended = ada.data("mutation { logout { sessionId } }", json!({})).await;
    assert_eq!(ended["logout"]["sessionId"], ada.session_id);
    assert!(is_unauthenticated(&ada).await && !is_unauthenticated(&other).await);
    assert_eq!(mine.closed().await, 4403);
    let refresh = json!({ "input": { "refreshToken": ada.refresh_token } });
    assert_eq!(server.client().run(REFRESH, refresh).await.code(), "INVALID_CREDENTIALS");

    // The end of the session does not stop its replies; the socket of the other session still receives events.
    other.mutate("stopReply", "message { id }", json!({ "messageId": sent.reply })).await.data();
    while others.event("1").await.unwrap()["__typename"] != "ReplyFinished" {}
    server.stop().await;
});

on_both_databases!(a_session_is_refreshed_many_times_and_reuse_ends_it, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let login = json!({ "login": "ada", "password": PASSWORD });
    let payload = ada.mutate("login", "user { id } session { id } accessToken refreshToken", login).await.data();
    let mut pairs = vec![ada.signed_in(&payload["login"])];
    let refresh = async |token: &str| server.client().run(REFRESH, json!({ "input": { "refreshToken": token } })).await;
    let mut socket = pairs[0].socket().await;
    for n in 0..127 {
        let answer = refresh(&pairs[n].refresh_token).await.data();
        pairs.push(ada.signed_in(&answer["refreshSession"]));
    }
    for pair in &pairs {
        assert!(!is_unauthenticated(pair).await && pair.session_id == pairs[0].session_id);
    }
    // Concurrent and repeated refreshes with one token return the same new token.
    let last = &pairs[127];
    let answers = futures_util::future::join_all((0..20).map(|_| refresh(&last.refresh_token))).await;
    let next: Vec<User> = answers.into_iter().map(|answer| ada.signed_in(&answer.data()["refreshSession"])).collect();
    assert!(next.iter().all(|user| user.refresh_token == next[0].refresh_token));
    let again = refresh(&last.refresh_token).await.data();
    assert_eq!(again["refreshSession"]["refreshToken"], next[0].refresh_token);
    assert!(!is_unauthenticated(&next[19]).await);

    assert_eq!(refresh(&pairs[64].refresh_token).await.code(), "INVALID_CREDENTIALS");
    assert_eq!(socket.closed().await, 4403);
    for pair in pairs.iter().chain(&next) {
        assert!(is_unauthenticated(pair).await);
    }
    assert_eq!(refresh(&next[0].refresh_token).await.code(), "INVALID_CREDENTIALS");
    assert!(!is_unauthenticated(&ada).await, "the other session of the user is not affected");
    server.stop().await;
});

on_both_databases!(a_stolen_refresh_token_ends_the_session, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let refresh = |token: &str| {
        let (client, token) = (ada.clone(), token.to_owned());
        async move { client.run(REFRESH, json!({ "input": { "refreshToken": token } })).await }
    };
    let second = ada.signed_in(&refresh(&ada.refresh_token).await.data()["refreshSession"]);
    let third = ada.signed_in(&refresh(&second.refresh_token).await.data()["refreshSession"]);
    assert_eq!(third.session_id, ada.session_id);
    assert!(!is_unauthenticated(&third).await);
    let mut socket = third.socket().await;
    // The first token and its successor were both used, so another use indicates theft.
    assert_eq!(refresh(&ada.refresh_token).await.code(), "INVALID_CREDENTIALS");
    assert!(is_unauthenticated(&third).await && is_unauthenticated(&ada).await);
    assert_eq!(socket.closed().await, 4403);
    assert_eq!(refresh(&third.refresh_token).await.code(), "INVALID_CREDENTIALS");
    server.stop().await;
});

on_both_databases!(invalid_credentials_fail_only_fields_that_need_a_viewer, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let signed = ada.token.clone().unwrap();
    let mut forged = signed.clone();
    forged.replace_range(forged.len() - 6.., "AAAAAA");
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyIn0.";
    for token in ["", "x", none, &forged, &format!("{signed}x"), &signed.replace('.', "")] {
        let invalid = ada.with_token(token);
        for field in ["me { id }", "currentSession { id }", "characters { totalCount }"] {
            let answer = invalid.run(&format!("{{ {field} server {{ id }} models {{ id }} }}"), json!({})).await;
            assert_eq!(answer.code(), "UNAUTHENTICATED", "{token}: {field}");
            assert_eq!(answer.0["data"]["server"]["id"], "server", "other fields are returned");
        }
        // Clients send expired credentials with sign-ins too: fields that need no viewer are not affected.
        let login = json!({ "login": "ada", "password": PASSWORD });
        let payload = invalid.mutate("login", "user { id email } accessToken refreshToken", login).await.data();
        assert_eq!(payload["login"]["user"]["email"], "ada@example.com");
        let refresh = json!({ "refreshToken": payload["login"]["refreshToken"] });
        let payload = invalid.mutate("refreshSession", "user { id email } accessToken", refresh).await.data();
        assert_eq!(payload["refreshSession"]["user"], json!({ "id": ada.id, "email": "ada@example.com" }));
    }
    let anonymous = server.client();
    assert_eq!(anonymous.data("{ me { id } }", json!({})).await["me"], Value::Null);
    let mut socket = crate::support::socket::Socket::open(&ada.with_token(&forged)).await.unwrap();
    assert_eq!(socket.closed().await, 4403);
    server.stop().await;
});
