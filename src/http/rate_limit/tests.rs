use std::net::{IpAddr, Ipv4Addr};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::domain::viewer::Permissions;
use crate::domain::{Credential, Viewer};
use crate::entity::ids::{SessionId, UserId};

const SECOND: Duration = Duration::from_secs(1);

fn client(ip: &str) -> Client {
    Client { ip: ip.parse().unwrap(), user_agent: None, connection: None }
}

fn user(number: u128) -> Requester {
    Requester::Viewer(Arc::new(Viewer {
        user_id: UserId(Uuid::from_u128(number)),
        credential: Credential::Session(SessionId(Uuid::nil())),
        permissions: Permissions::default(),
        may_write: true,
        token_expires_at: None,
        session_ended: CancellationToken::new(),
    }))
}

fn fields(fields: u32) -> Cost {
    Cost { fields, ..Cost::default() }
}

/// The time to wait, if the request is refused.
fn wait(verdict: &Verdict) -> Option<Duration> {
    match verdict.refusal {
        Some(Error::RateLimited { retry_after, .. }) => retry_after,
        _ => None,
    }
}

fn shown(verdict: &Verdict) -> [Option<String>; 3] {
    let mut headers = HeaderMap::new();
    verdict.write(&mut headers);
    ["ratelimit-policy", "ratelimit", "retry-after"]
        .map(|name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()))
}

#[test]
fn the_allowance_is_limited_and_restored_over_time() {
    let (limiter, now, anonymous) = (RateLimiter::new(60, 0), Instant::now(), client("192.0.2.7"));
    let ask = |n, at| wait(&limiter.check_at(at, &Requester::Anonymous, &anonymous, fields(n)));
    assert_eq!(ask(59, now), None);
    assert_eq!(ask(2, now), Some(SECOND), "one is restored per second");
    assert_eq!(ask(1, now), None, "a refused request is not counted");
    assert_eq!(ask(1, now), Some(SECOND));
    assert_eq!(ask(1, now + SECOND - Duration::from_millis(1)), Some(Duration::from_millis(1)));
    assert_eq!(ask(1, now + SECOND), None);
    assert_eq!(ask(60, now + 61 * SECOND), None, "after a minute the allowance is full");
    assert_eq!(ask(0, now + 61 * SECOND), None);
}

#[test]
fn more_than_the_limit_per_minute_is_always_refused() {
    let (limiter, now, anonymous) = (RateLimiter::new(100, 0), Instant::now(), client("192.0.2.7"));
    let verdict = limiter.check_at(now, &Requester::Anonymous, &anonymous, fields(101));
    assert_eq!(wait(&verdict), Some(WINDOW));
    assert!(verdict.refusal.unwrap().to_string().contains("than the limit per minute"));
    assert_eq!(wait(&limiter.check_at(now, &Requester::Anonymous, &anonymous, fields(100))), None);
}

#[test]
fn users_and_networks_have_separate_allowances() {
    let (limiter, now) = (RateLimiter::new(10, 0), Instant::now());
    let is_free =
        |requester: &Requester, ip: &str| wait(&limiter.check_at(now, requester, &client(ip), fields(10))).is_none();
    assert!(is_free(&user(1), "192.0.2.7"));
    assert!(!is_free(&user(1), "192.0.2.8"), "from any network");
    assert!(is_free(&user(2), "192.0.2.7"));
    assert!(is_free(&Requester::Anonymous, "192.0.2.7"));
    assert!(!is_free(&Requester::Dead, "::ffff:192.0.2.7"), "the same address in another notation");
    assert!(is_free(&Requester::Anonymous, "2001:db8:1:2::1"));
    assert!(!is_free(&Requester::Anonymous, "2001:db8:1:2:ffff::9"), "a /64 is one subscriber");
    assert!(is_free(&Requester::Anonymous, "2001:db8:1:3::1"));
}

#[test]
fn sign_ins_count_for_the_network_also_with_credentials() {
    let (limiter, now, here) = (RateLimiter::new(10, 0), Instant::now(), client("192.0.2.7"));
    let entrance = Cost { fields: 6, chat: 0, credentials: 5 };
    assert_eq!(wait(&limiter.check_at(now, &user(1), &here, entrance)), None);
    assert_eq!(wait(&limiter.check_at(now, &user(2), &here, entrance)), None);
    assert!(wait(&limiter.check_at(now, &user(3), &here, entrance)).is_some());
    assert_eq!(wait(&limiter.check_at(now, &user(3), &here, fields(10))), None, "a refused request is not counted");
    assert_eq!(wait(&limiter.check_at(now, &user(1), &here, fields(9))), None, "the sixth counted for the user");
    assert!(wait(&limiter.check_at(now, &user(1), &here, fields(1))).is_some());
}

#[test]
fn chat_has_a_separate_limit_within_the_general_one() {
    let (limiter, now, here) = (RateLimiter::new(10, 2), Instant::now(), client("192.0.2.7"));
    let ask = |fields, chat| limiter.check_at(now, &user(1), &here, Cost { fields, chat, credentials: 0 });
    let first = ask(2, 2);
    assert_eq!(
        shown(&first),
        [
            Some(r#""general";q=10;w=60, "chat";q=2;w=60"#.to_owned()),
            Some(r#""general";r=8;t=12, "chat";r=0;t=60"#.to_owned()),
            None
        ]
    );
    let refused = ask(1, 1);
    assert_eq!(wait(&refused), Some(30 * SECOND));
    assert_eq!(shown(&refused)[2].as_deref(), Some("30"));
    assert_eq!(
        shown(&ask(8, 0)),
        [Some(r#""general";q=10;w=60"#.to_owned()), Some(r#""general";r=0;t=60"#.to_owned()), None]
    );
    assert!(wait(&ask(1, 0)).is_some());
}

#[test]
fn zero_disables_a_limit() {
    let (limiter, now, here) = (RateLimiter::new(0, 1), Instant::now(), client("192.0.2.7"));
    let verdict = limiter.check_at(now, &user(1), &here, fields(1_000_000));
    assert_eq!((wait(&verdict), shown(&verdict)), (None, [None, None, None]));
    let chat = Cost { fields: 1, chat: 1, credentials: 0 };
    assert_eq!(wait(&limiter.check_at(now, &user(1), &here, chat)), None);
    assert_eq!(wait(&limiter.check_at(now, &user(1), &here, chat)), Some(WINDOW));
}

#[test]
fn a_flood_of_networks_is_bounded_and_keeps_keys_at_their_limit() {
    let limiter = RateLimiter::new(10, 0);
    limiter.0.lock().unwrap().general.capacity = 1_000;
    let now = Instant::now();
    let attacker = client("192.0.2.7");
    assert_eq!(wait(&limiter.check_at(now, &Requester::Anonymous, &attacker, fields(10))), None);
    for n in 0..20_000_u32 {
        let one = Client { ip: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)), user_agent: None, connection: None };
        assert_eq!(wait(&limiter.check_at(now, &Requester::Anonymous, &one, fields(1))), None);
        assert!(limiter.0.lock().unwrap().general.full_at.len() <= 1_000);
    }
    assert!(wait(&limiter.check_at(now, &Requester::Anonymous, &attacker, fields(1))).is_some());
}

#[test]
fn keys_with_a_full_allowance_are_removed() {
    let limiter = RateLimiter::new(10, 0);
    limiter.0.lock().unwrap().general.capacity = 10;
    let now = Instant::now();
    let ask = |n: u32, at| {
        let one = Client { ip: IpAddr::V4(Ipv4Addr::from_bits(n)), user_agent: None, connection: None };
        limiter.check_at(at, &Requester::Anonymous, &one, fields(1));
    };
    (0..10).for_each(|n| ask(n, now));
    ask(10, now + 6 * SECOND);
    assert_eq!(limiter.0.lock().unwrap().general.full_at.len(), 1);
}
