//! The lockout after failed sign-ins and wrong current passwords.

use std::time::Duration;

use chrono::TimeDelta;
use duologue::domain::accounts::{Accounts, Credentials, ProfileChanges, SignedIn};
use duologue::domain::input::Change;
use duologue::domain::{Error, Result};
use duologue::entity::user;
use duologue::storage::audit::{self, Filter};

use crate::support::client::PASSWORD;
use crate::support::database::on_both_databases;
use crate::support::kit::{HOME, Kit, client_at, new_user};

const OTHER_PASSWORD: &str = "41 lanterns counted by a velvet otter";
const ELSEWHERE: &str = "198.51.100.9";

impl Kit {
    /// Signs in with wrong passwords, and asserts that each attempt is INVALID_CREDENTIALS.
    async fn fail(&self, login: &str, ip: &str, times: usize) {
        for n in 0..times {
            let outcome = self.login_from(ip, login, "wrong").await;
            assert!(matches!(outcome, Err(Error::InvalidCredentials)), "{n}: {outcome:?}");
        }
    }

    /// Changes the password of a signed-in user, from the network of `ip`.
    async fn change(&self, who: &SignedIn, current: &str, ip: &str) -> Result<user::Model> {
        self.accounts.change_password(&who.viewer, current.to_owned(), OTHER_PASSWORD.to_owned(), &client_at(ip)).await
    }

    async fn rename(&self, who: &SignedIn, name: &str, ip: &str) {
        let changes = ProfileChanges { username: Change::Set(name.to_owned()), ..ProfileChanges::default() };
        self.accounts.update_profile(&who.viewer, changes, &client_at(ip)).await.unwrap();
    }

    async fn audited(&self, action: &str) -> u64 {
        let filter = Filter { action: Some(action.to_owned()), ..Filter::default() };
        audit::count(self.database.reader(), &filter).await.unwrap()
    }
}

/// The remaining time of the lock, in seconds.
fn locked<T: std::fmt::Debug>(outcome: Result<T>) -> u64 {
    match outcome {
        Err(Error::LockedOut { retry_after }) => retry_after.as_secs(),
        other => panic!("{other:?}"),
    }
}

on_both_databases!(ten_failures_lock_and_nine_do_not, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    kit.fail("ada", ELSEWHERE, 9).await;
    assert!(
        kit.login_from(ELSEWHERE, "ada", PASSWORD).await.is_ok(),
        "nine failures do not lock, and a sign-in resets them"
    );
    kit.fail("ada", ELSEWHERE, 10).await;
    assert_eq!(locked(kit.login_from(ELSEWHERE, "ada", PASSWORD).await), 900, "the right password does not help");
    assert_eq!(locked(kit.login_from(ELSEWHERE, " ADA", "wrong").await), 900);
    assert_eq!((kit.audited("user.locked_out").await, kit.audited("user.login_failed").await), (1, 1));
    assert_eq!(kit.accounts.locked_until(&[ada.user.id]).await.unwrap()[0].1, kit.now() + TimeDelta::minutes(15));

    kit.advance(TimeDelta::seconds(899));
    assert_eq!(locked(kit.login_from(ELSEWHERE, "ada", PASSWORD).await), 1, "refused attempts do not extend the lock");
    kit.advance(TimeDelta::seconds(1));
    assert!(kit.accounts.locked_until(&[ada.user.id]).await.unwrap().is_empty());
    assert!(kit.login_from(ELSEWHERE, "ada", PASSWORD).await.is_ok());
});

on_both_databases!(a_lock_applies_to_one_network_and_one_account, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "3"]).await;
    kit.register("ada").await.unwrap();
    kit.register("eve").await.unwrap();
    kit.fail("ada", "2001:db8:1:2::1", 2).await;
    kit.fail("ada", "2001:db8:1:2:ffff::9", 1).await;
    locked(kit.login_from("2001:db8:1:2::7", "ada", PASSWORD).await);
    for (login, ip) in [("ada", HOME), ("ada", "2001:db8:1:3::1"), ("ada", ELSEWHERE), ("eve", "2001:db8:1:2::1")] {
        assert!(kit.login_from(ip, login, PASSWORD).await.is_ok(), "{login} from {ip}");
    }
    let elsewhere = kit.another_node(&["--login-lockout-attempts", "3"]);
    let credentials = Credentials { login: "ada".to_owned(), password: PASSWORD.to_owned(), device: None };
    locked(elsewhere.login(credentials, &client_at("2001:db8:1:2::1")).await);
});

on_both_databases!(unknown_users_are_locked_like_known_ones, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "3", "--login-lockout-minutes", "1"]).await;
    kit.fail("nobody", ELSEWHERE, 3).await;
    assert_eq!(locked(kit.login_from(ELSEWHERE, "NOBODY", PASSWORD).await), 60);
    kit.fail("no@body", ELSEWHERE, 3).await;
    assert_eq!(locked(kit.login_from(ELSEWHERE, "no@body", PASSWORD).await), 60);
    kit.advance(TimeDelta::minutes(1));
    kit.accounts.forget_old_failures().await.unwrap();
    kit.fail("nobody", ELSEWHERE, 1).await;
});

on_both_databases!(concurrent_attempts_get_no_more_results_than_sequential_ones, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "3"]).await;
    kit.register("ada").await.unwrap();
    let tries = futures_util::future::join_all((0..12).map(|_| kit.login_from(ELSEWHERE, "ada", "wrong"))).await;
    let told = tries.iter().filter(|outcome| matches!(outcome, Err(Error::InvalidCredentials))).count();
    assert_eq!(told, 3, "{tries:?}");
    let refused =
        |outcome: &&Result<SignedIn>| matches!(outcome, Err(Error::LockedOut { .. } | Error::Unavailable { .. }));
    assert_eq!(tries.iter().filter(refused).count(), 9);
});

on_both_databases!(concurrent_attempts_on_many_nodes_get_no_more_results_than_sequential_ones, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "2"]).await;
    let ada = kit.register("ada").await.unwrap();
    // Each node hashes independently, so the attempts are counted concurrently.
    let nodes: Vec<Accounts> = (0..6).map(|_| kit.another_node(&["--login-lockout-attempts", "2"])).collect();
    let told = |outcomes: &[Result<()>]| {
        outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::InvalidCredentials))).count()
    };
    for source in 0..5 {
        let here = client_at(&format!("203.0.113.{source}"));
        let attempt = |node: &Accounts| {
            let (node, here) = (node.clone(), here.clone());
            let credentials = Credentials { login: "ada".to_owned(), password: "wrong".to_owned(), device: None };
            async move { node.login(credentials, &here).await.map(drop) }
        };
        let outcomes = futures_util::future::join_all(nodes.iter().map(attempt)).await;
        assert_eq!(told(&outcomes), 2, "{outcomes:?}");
    }
    // After twenty failures from many networks, sign-ins to the account are delayed: one attempt passes, whatever the
    // number of networks and nodes.
    for source in 5..10 {
        kit.fail("ada", &format!("203.0.113.{source}"), 2).await;
    }
    kit.advance(TimeDelta::seconds(10));
    let attempt = |(n, node): (usize, &Accounts)| {
        let (node, here) = (node.clone(), client_at(&format!("198.51.100.{n}")));
        let credentials = Credentials { login: "ada".to_owned(), password: "wrong".to_owned(), device: None };
        async move { node.login(credentials, &here).await.map(drop) }
    };
    let outcomes = futures_util::future::join_all(nodes.iter().enumerate().map(attempt)).await;
    assert_eq!(told(&outcomes), 1, "{outcomes:?}");
    assert!(
        kit.login_from(HOME, "ada", PASSWORD).await.is_ok(),
        "the network of the owner is not affected: {:?}",
        ada.user.id
    );
});

on_both_databases!(wrong_current_passwords_count_with_failed_sign_ins, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "4"]).await;
    let ada = kit.register("ada").await.unwrap();
    kit.fail("ada", ELSEWHERE, 2).await;
    for n in 0..2 {
        let outcome = kit.change(&ada, "wrong", ELSEWHERE).await;
        assert!(matches!(outcome, Err(Error::InvalidCredentials)), "{n}: {outcome:?}");
    }
    assert_eq!(locked(kit.change(&ada, PASSWORD, ELSEWHERE).await), 900, "the right password does not help");
    assert_eq!(locked(kit.login_from(ELSEWHERE, "ada", PASSWORD).await), 900, "the lock applies to both");
    assert_eq!(
        locked(kit.accounts.deactivate_account(&ada.viewer, PASSWORD.to_owned(), &client_at(ELSEWHERE)).await),
        900
    );
    // One entry for each account, network and minute: two sign-ins, two wrong current passwords, and the lock.
    for (action, entries) in [("user.login_failed", 1), ("user.password_check_failed", 1), ("user.locked_out", 1)] {
        assert_eq!(kit.audited(action).await, entries, "{action}");
    }
    assert!(kit.change(&ada, PASSWORD, HOME).await.is_ok(), "the network of the owner is not affected");

    kit.advance(TimeDelta::minutes(15));
    let ada = kit.login_from(ELSEWHERE, "ada", OTHER_PASSWORD).await.unwrap();
    let tries = futures_util::future::join_all((0..12).map(|_| kit.change(&ada, "wrong", ELSEWHERE))).await;
    let told = tries.iter().filter(|outcome| matches!(outcome, Err(Error::InvalidCredentials))).count();
    assert_eq!(told, 4, "concurrent attempts: {tries:?}");
});

on_both_databases!(a_change_of_the_username_does_not_reset_failures, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "3"]).await;
    let ada = kit.register("ada").await.unwrap();
    for (name, failure) in [("ada2", "sign-in"), ("ada3", "password"), ("ada4", "sign-in")] {
        kit.rename(&ada, name, ELSEWHERE).await;
        match failure {
            "sign-in" => kit.fail(name, ELSEWHERE, 1).await,
            _ => assert!(matches!(kit.change(&ada, "wrong", ELSEWHERE).await, Err(Error::InvalidCredentials))),
        }
    }
    kit.rename(&ada, "ada5", ELSEWHERE).await;
    assert_eq!(locked(kit.change(&ada, PASSWORD, ELSEWHERE).await), 900);
    assert_eq!(locked(kit.login_from(ELSEWHERE, "ada5", PASSWORD).await), 900);
    kit.fail("ada", ELSEWHERE, 1).await;
    assert!(kit.login_from(HOME, "ada5", PASSWORD).await.is_ok());
});

on_both_databases!(an_attack_from_many_networks_delays_unknown_networks_only, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "1"]).await;
    kit.register("ada").await.unwrap();
    for login in ["ada", "nobody"] {
        for n in 1..=10 {
            kit.fail(login, &format!("203.0.113.{n}"), 1).await;
        }
        assert_eq!(locked(kit.login_from(ELSEWHERE, login, PASSWORD).await), 10, "{login}");
    }
    assert!(kit.login_from(HOME, "ada", PASSWORD).await.is_ok(), "the user registered from this network");
    assert_eq!(locked(kit.login_from(ELSEWHERE, "ada", PASSWORD).await), 10);

    kit.advance(TimeDelta::seconds(10));
    kit.fail("ada", "203.0.113.11", 1).await;
    kit.advance(TimeDelta::seconds(9));
    assert_eq!(locked(kit.login_from(ELSEWHERE, "ada", PASSWORD).await), 1, "one attempt for all unknown networks");
    kit.advance(TimeDelta::seconds(1));
    assert!(kit.login_from(ELSEWHERE, "ada", PASSWORD).await.is_ok());
    kit.fail("ada", "203.0.113.12", 1).await;
    assert!(kit.login_from(ELSEWHERE, "ada", PASSWORD).await.is_ok(), "the network is known after the sign-in");
});

on_both_databases!(unlocking_requires_a_permission_and_removes_every_lock, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "1"]).await;
    let ada = kit.register("ada").await.unwrap();
    kit.accounts.create_user(new_user("root", "root@example.com"), true).await.unwrap();
    let admin = kit.login_from(HOME, "root", PASSWORD).await.unwrap();
    kit.fail("ada", ELSEWHERE, 1).await;
    kit.fail("ada@example.com", ELSEWHERE, 1).await;
    kit.fail("ada", HOME, 1).await;

    let here = client_at(HOME);
    let refused = kit.accounts.unlock_user(&ada.viewer, ada.user.id, &here).await;
    assert!(matches!(refused, Err(Error::Forbidden)));
    let nobody = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
    assert!(matches!(kit.accounts.unlock_user(&admin.viewer, nobody, &here).await, Err(Error::NotFound)));
    kit.accounts.unlock_user(&admin.viewer, ada.user.id, &here).await.unwrap();
    assert!(kit.accounts.locked_until(&[ada.user.id]).await.unwrap().is_empty());
    for (login, ip) in [("ada", ELSEWHERE), ("ada@example.com", ELSEWHERE), ("ada", HOME)] {
        assert!(kit.login_from(ip, login, PASSWORD).await.is_ok(), "{login} from {ip}");
    }
    assert_eq!(kit.audited("user.unlocked").await, 1);
});

on_both_databases!(zero_attempts_disable_the_lockout, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "0"]).await;
    kit.register("ada").await.unwrap();
    kit.fail("ada", ELSEWHERE, 12).await;
    assert!(kit.login_from(ELSEWHERE, "ada", PASSWORD).await.is_ok());
});

on_both_databases!(unknown_users_deactivated_users_and_wrong_passwords_take_the_same_time, |home| async move {
    let kit = Kit::new(home, &["--login-lockout-attempts", "0"]).await;
    kit.register("ada").await.unwrap();
    let gone = kit.register("gone").await.unwrap();
    kit.deactivate(&gone).await;
    // Alternately, so that other load of the machine affects all three.
    let logins = ["ada", "nobody", "gone"];
    let mut times = logins.map(|_| Vec::new());
    for _ in 0..20 {
        for (login, times) in logins.iter().zip(&mut times) {
            let password = if *login == "gone" { PASSWORD } else { "wrong" };
            let start = std::time::Instant::now();
            assert!(matches!(kit.login_from(ELSEWHERE, login, password).await, Err(Error::InvalidCredentials)));
            times.push(start.elapsed());
        }
    }
    let [known, unknown, inactive]: [Duration; 3] = times.map(|mut times| {
        times.sort();
        times[10]
    });
    for other in [unknown, inactive] {
        assert!(other * 2 >= known && other <= known * 2, "{known:?}, {unknown:?}, {inactive:?}");
    }
});
