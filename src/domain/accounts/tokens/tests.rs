use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const OLD: &str = "old-kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me";
const NEW: &str = "new-kq3vYw0uT9bXh2Lr8sNf5Jd7Pz1Cg6Me";
const LIFETIME: Duration = Duration::from_secs(900);

fn tokens(secrets: &str) -> Tokens {
    use clap::FromArgMatches as _;
    let command = <crate::config::AuthSettings as clap::Args>::augment_args(clap::Command::new("test"));
    let matches = command.get_matches_from(["test", "--jwt-secret", secrets]);
    let settings = crate::config::AuthSettings::from_arg_matches(&matches).unwrap();
    Tokens::new(&settings.jwt_secret.unwrap(), LIFETIME).unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn user() -> UserId {
    "user_01h455vb4pex5vsknk084sn02q".parse().unwrap()
}

fn session() -> SessionId {
    "sess_01h455vb4pex5vsknk084sn02q".parse().unwrap()
}

fn seconds(count: i64) -> chrono::TimeDelta {
    chrono::TimeDelta::seconds(count)
}

/// A token with any header and claims, signed with HMAC-SHA256 under any secret.
fn forge(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&message);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Header and claims of a token.
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

fn without(value: &Value, key: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(key);
    value
}

#[test]
fn reads_its_own_access_tokens_until_they_expire() {
    let tokens = tokens(NEW);
    let (token, expires_at) = tokens.issue_access(user(), session(), now()).unwrap();
    assert_eq!(expires_at, now() + LIFETIME);
    let expected = Some(AccessToken { user_id: user(), session_id: session(), expires_at });
    assert_eq!(tokens.read_access(&token, now()), expected);
    assert_eq!(tokens.read_access(&token, expires_at - seconds(1)), expected);
    assert_eq!(tokens.read_access(&token, expires_at), None);
    assert_eq!(tokens.read_access(&token, now() - seconds(CLOCK_SKEW)), expected);
    assert_eq!(tokens.read_access(&token, now() - seconds(CLOCK_SKEW + 1)), None);
}

#[test]
fn refuses_every_forged_access_token() {
    let tokens = tokens(NEW);
    let (good, _) = tokens.issue_access(user(), session(), now()).unwrap();
    let (header, claims) = parts(&good);
    assert!(tokens.read_access(&forge(&header, &claims, NEW), now()).is_some(), "the forger makes good tokens too");

    let (message, signature) = good.rsplit_once('.').unwrap();
    let (_, payload) = message.split_once('.').unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = |alg: &str| format!("{}.{}.", part(&with(&header, "alg", json!(alg))), part(&claims));
    let refresh = tokens.write_refresh(&tokens.first_refresh(session()).unwrap());
    let forgeries = [
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg none with our signature", format!("{}{signature}", unsigned("none"))),
        ("no signature", format!("{message}.")),
        ("no third part", message.to_owned()),
        ("another key", forge(&header, &claims, OLD)),
        ("HS384 in the header", forge(&with(&header, "alg", json!("HS384")), &claims, NEW)),
        ("HS512 in the header", forge(&with(&header, "alg", json!("HS512")), &claims, NEW)),
        ("RS256 in the header", forge(&with(&header, "alg", json!("RS256")), &claims, NEW)),
        ("ES256 in the header", forge(&with(&header, "alg", json!("ES256")), &claims, NEW)),
        ("unknown kid", forge(&with(&header, "kid", json!("other")), &claims, NEW)),
        ("kid as a path", forge(&with(&header, "kid", json!("../../dev/null")), &claims, "")),
        ("no kid", forge(&without(&header, "kid"), &claims, NEW)),
        ("typ JWT", forge(&with(&header, "typ", json!("JWT")), &claims, NEW)),
        ("no typ", forge(&without(&header, "typ"), &claims, NEW)),
        ("an extension to understand", forge(&with(&header, "crit", json!(["b64"])), &claims, NEW)),
        ("a key of its own", forge(&with(&header, "jwk", json!({"kty": "oct", "k": "AA"})), &claims, "\0")),
        ("another issuer", forge(&header, &with(&claims, "iss", json!("other")), NEW)),
        ("no issuer", forge(&header, &without(&claims, "iss"), NEW)),
        ("another audience", forge(&header, &with(&claims, "aud", json!("other")), NEW)),
        ("no audience", forge(&header, &without(&claims, "aud"), NEW)),
        ("expired", forge(&header, &with(&claims, "exp", json!(now().timestamp())), NEW)),
        ("expiry as text", forge(&header, &with(&claims, "exp", json!("4000000000")), NEW)),
        ("no expiry", forge(&header, &without(&claims, "exp"), NEW)),
        ("not yet valid", forge(&header, &with(&claims, "nbf", json!(now().timestamp() + 60)), NEW)),
        ("no start", forge(&header, &without(&claims, "nbf"), NEW)),
        ("a subject that is no user", forge(&header, &with(&claims, "sub", json!(session().to_string())), NEW)),
        ("no subject", forge(&header, &without(&claims, "sub"), NEW)),
        ("a session that is none", forge(&header, &with(&claims, "sid", json!(user().to_string())), NEW)),
        ("no session", forge(&header, &without(&claims, "sid"), NEW)),
        ("a refresh token", refresh),
        ("padding", format!("{good}=")),
        ("a space", format!(" {good}")),
        ("a fourth part", format!("{good}.{payload}")),
        ("standard base64", format!("{message}.{}", STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap()))),
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("much", "a".repeat(1 << 20)),
        ("many parts", ".".repeat(1000)),
    ];
    for (what, token) in forgeries {
        assert_eq!(tokens.read_access(&token, now()), None, "{what}");
    }
}

#[test]
fn refuses_every_flipped_bit_of_an_access_token() {
    let tokens = tokens(NEW);
    let (good, _) = tokens.issue_access(user(), session(), now()).unwrap();
    let signature_at = good.rfind('.').unwrap() + 1;
    for place in 0..good.len() - 1 {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(tokens.read_access(&changed, now()), None, "{place}, signature at {signature_at}");
    }
}

#[test]
fn secrets_rotate() {
    let (before, during, after) = (tokens(OLD), tokens(&format!("{NEW},{OLD}")), tokens(NEW));
    let old = before.issue_access(user(), session(), now()).unwrap().0;
    let new = during.issue_access(user(), session(), now()).unwrap().0;
    assert!(during.read_access(&old, now()).is_some() && during.read_access(&new, now()).is_some());
    assert!(after.read_access(&old, now()).is_none() && after.read_access(&new, now()).is_some());
    assert_ne!(parts(&old).0["kid"], parts(&new).0["kid"]);
    assert!(!new.contains(&NEW[..8]), "the kid does not show the secret");

    let first = before.write_refresh(&before.first_refresh(session()).unwrap());
    let second = during.write_refresh(&during.next_refresh(&during.read_refresh(&first).unwrap()).unwrap());
    assert!(after.read_refresh(&first).is_none() && after.read_refresh(&second).is_some());
}

#[test]
fn refuses_malformed_and_foreign_refresh_tokens() {
    let tokens = tokens(NEW);
    let good = tokens.write_refresh(&tokens.first_refresh(session()).unwrap());
    let read = tokens.read_refresh(&good).unwrap();
    assert_eq!((read.session_id(), read.generation()), (session(), 0));
    assert_eq!(read.hash(), refresh_hash(&good));
    assert!(!good[REFRESH_PREFIX.len()..].contains(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)));

    let access = tokens.issue_access(user(), session(), now()).unwrap().0;
    let body = &good[REFRESH_PREFIX.len()..];
    for bad in [
        "",
        REFRESH_PREFIX,
        body,
        &access,
        &format!("{good}="),
        &format!("{good}A"),
        &good[..good.len() - 1],
        &format!("dlr_{}", "A".repeat(91)),
        &format!("dlr_{}", "é".repeat(50)),
        &"dlr_".repeat(1 << 18),
    ] {
        assert!(tokens.read_refresh(bad).is_none(), "{}", &bad[..bad.len().min(100)]);
    }
    assert!(self::tokens(OLD).read_refresh(&good).is_none(), "another key's");
    for place in REFRESH_PREFIX.len()..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        assert!(tokens.read_refresh(&String::from_utf8(bytes).unwrap()).is_none(), "{place}");
    }
}

#[test]
fn the_generation_of_refresh_tokens_does_not_overflow() {
    let tokens = tokens(NEW);
    for (generation, has_next) in [(i32::MAX as u32 - 1, true), (i32::MAX as u32, false), (u32::MAX, false)] {
        let token = RefreshToken { session_id: session(), generation, secret: [7; SECRET_BYTES] };
        let read = tokens.read_refresh(&tokens.write_refresh(&token)).unwrap();
        assert_eq!(tokens.next_refresh(&read).is_some(), has_next, "{generation}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_chain_of_refresh_tokens_is_determined_and_never_repeats(id: u128, secret: [u8; SECRET_BYTES], length in 1..30_u32) {
        let tokens = tokens(NEW);
        let session_id = SessionId(Uuid::from_u128(id));
        let mut text = tokens.write_refresh(&RefreshToken { session_id, generation: 0, secret });
        let mut seen = std::collections::HashSet::from([text.clone()]);
        for generation in 1..=length {
            let read = tokens.read_refresh(&text).unwrap();
            let next = tokens.write_refresh(&tokens.next_refresh(&read).unwrap());
            prop_assert_eq!(&next, &tokens.write_refresh(&tokens.next_refresh(&read).unwrap()));
            let followed = tokens.read_refresh(&next).unwrap();
            prop_assert_eq!(followed.generation(), i64::from(generation));
            prop_assert_eq!(followed.session_id(), session_id);
            prop_assert!(seen.insert(next.clone()));
            text = next;
        }
        let other = RefreshToken { session_id: SessionId(Uuid::from_u128(!id)), generation: 0, secret };
        let other = tokens.read_refresh(&tokens.write_refresh(&other)).unwrap();
        prop_assert!(!seen.contains(&tokens.write_refresh(&tokens.next_refresh(&other).unwrap())));
    }

    #[test]
    fn no_text_panics(text: String) {
        let tokens = tokens(NEW);
        prop_assert!(tokens.read_refresh(&text).is_none());
        let prefixed = format!("dlr_{text}");
        prop_assert!(tokens.read_refresh(&prefixed).is_none());
        prop_assert!(tokens.read_access(&text, now()).is_none());
    }
}
