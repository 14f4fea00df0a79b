//! Forged and unsuitable tokens: all are rejected with the same error.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::database::on_both_databases;
use crate::support::server::Setup;
use crate::support::socket::Socket;

const SECRET: &str = "kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me";

/// A token with any header and claims, signed with HMAC-SHA256 under any secret.
fn forge(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&message);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut read = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (read(), read())
}

fn with(value: &Value, key: &str, other: Value) -> Value {
    let mut value = value.clone();
    value[key] = other;
    value
}

on_both_databases!(forged_tokens_are_rejected_with_the_same_error, |database| async move {
    let server = Setup::new(&database).start().await;
    let (ada, eve) = (server.sign_up("ada").await, server.sign_up("eve").await);
    let token = ada.token.clone().unwrap();
    let (header, claims) = parts(&token);
    let real = server.client().with_token(&forge(&header, &claims, SECRET)).data("{ me { id } }", json!({})).await;
    assert_eq!(real["me"]["id"], ada.id);

    let now = claims["iat"].as_i64().unwrap();
    let unsigned = |algorithm: &str| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&with(&header, "alg", json!(algorithm))), part(&claims))
    };
    let header_with = |key: &str, value: Value| forge(&with(&header, key, value), &claims, SECRET);
    let claims_with = |key: &str, value: Value| forge(&header, &with(&claims, key, value), SECRET);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let forged = [
        ("no algorithm", unsigned("none")),
        ("no algorithm, written otherwise", unsigned("nOnE")),
        ("no signature", format!("{message}.")),
        ("RS256 over HMAC", header_with("alg", json!("RS256"))),
        ("ES256 over HMAC", header_with("alg", json!("ES256"))),
        ("another HMAC", header_with("alg", json!("HS512"))),
        ("another type", header_with("typ", json!("JWT"))),
        ("an ID token", header_with("typ", json!("id_token"))),
        ("an unknown key", header_with("kid", json!("retired"))),
        ("a path as a key", header_with("kid", json!("../../dev/null"))),
        ("no key", header_with("kid", Value::Null)),
        ("a critical extension", header_with("crit", json!(["exp"]))),
        ("a foreign key by jku", forge(&with(&header, "jku", json!("http://127.0.0.1:9/keys")), &claims, "attacker")),
        ("a foreign key by x5u", forge(&with(&header, "x5u", json!("http://127.0.0.1:9/cert")), &claims, "attacker")),
        (
            "an embedded foreign key",
            forge(&with(&header, "jwk", json!({ "kty": "oct", "k": "YXR0YWNrZXI" })), &claims, "attacker"),
        ),
        ("another secret", forge(&header, &claims, "another-secret-of-32-bytes-length")),
        ("an empty secret", forge(&header, &claims, "")),
        ("another issuer", claims_with("iss", json!("evil"))),
        ("another audience", claims_with("aud", json!("elsewhere"))),
        ("no audience", claims_with("aud", Value::Null)),
        ("expired", claims_with("exp", json!(now - 1))),
        ("no expiry", claims_with("exp", Value::Null)),
        ("not yet valid", claims_with("nbf", json!(now + 3600))),
        ("another user's", claims_with("sub", json!(eve.id))),
        ("another user's session", claims_with("sid", json!(eve.session_id))),
        ("an unknown session", claims_with("sid", json!("sess_01h455vb4pex5vsknk084sn02q"))),
        ("a session of another type", claims_with("sid", json!(ada.id))),
        ("a changed signature", format!("{message}.{}", signature.chars().rev().collect::<String>())),
        ("padded", format!("{token}=")),
        ("standard base64", STANDARD.encode(&token)),
        ("a refresh token", ada.refresh_token.clone()),
        ("no such personal access token", format!("duo_pat_{}", "A".repeat(43))),
        ("an empty personal access token", "duo_pat_".to_owned()),
        ("too long", format!("{token}{}", "A".repeat(5000))),
        ("not a token", "x".to_owned()),
    ];
    let document = "{ me { id } currentSession { id } }";
    let answer_to = async |token: &str| {
        let mut answer = server.client().with_token(token).run(document, json!({})).await.0;
        for error in answer["errors"].as_array_mut().unwrap() {
            assert!(error["extensions"]["requestId"].take().is_string());
        }
        answer
    };
    let expected = answer_to("").await;
    assert_eq!(expected["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    for (what, token) in &forged {
        assert_eq!(answer_to(token).await, expected, "{what}");
        let refresh = ada.mutate("refreshSession", "accessToken", json!({ "refreshToken": token })).await;
        if *what != "a refresh token" {
            assert_eq!(refresh.code(), "INVALID_CREDENTIALS", "{what}");
        }
        let mut socket = Socket::open(&server.client().with_token(token)).await.unwrap();
        assert_eq!(socket.end().await, (4403, "Forbidden".to_owned()), "{what}");
    }
    assert_eq!(ada.data("{ me { id } }", json!({})).await["me"]["id"], ada.id, "the session is not affected");
    server.stop().await;
});

on_both_databases!(a_rotated_secret_verifies_until_it_is_removed, |database| async move {
    let setup = Setup::new(&database);
    let server = setup.start().await;
    let ada = server.sign_up("ada").await;
    server.stop().await;
    let setup = setup.with("JWT_SECRET", &format!("Xp4Zc8Vb2Nm6Qw1Er5Ty9Ui3Op7As0Df,{SECRET}"));
    let server = setup.start().await;
    assert_eq!(ada.at(server.address).data("{ me { id } }", json!({})).await["me"]["id"], ada.id);
    server.stop().await;
    let server = setup.with("JWT_SECRET", "Xp4Zc8Vb2Nm6Qw1Er5Ty9Ui3Op7As0Df").start().await;
    assert_eq!(ada.at(server.address).run("{ me { id } }", json!({})).await.code(), "UNAUTHENTICATED");
    server.stop().await;
});
