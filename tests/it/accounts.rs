//! Accounts in the domain: registration, sign-in, credentials, and the end of sessions.

use std::time::Duration;

use chrono::TimeDelta;
use duologue::config::auth::DefaultAdmin;
use duologue::config::models::Secret;
use duologue::domain::accounts::{SignedIn, account_of};
use duologue::domain::{Error, FieldErrorCode, Requester, Result};
use duologue::entity::enums::Permission;

use crate::support::client::PASSWORD;
use crate::support::database::on_both_databases;
use crate::support::kit::{Kit, client, new_user, registration};

mod own_account;
mod refreshing;

fn fields(outcome: Result<SignedIn>) -> Vec<(String, FieldErrorCode)> {
    let fields = match outcome.unwrap_err() {
        Error::Invalid(fields) | Error::Conflict { fields, .. } => fields,
        other => panic!("{other:?}"),
    };
    fields.into_iter().map(|field| (field.path.join("."), field.code)).collect()
}

fn is_wrong(outcome: &Result<SignedIn>) -> bool {
    matches!(outcome, Err(Error::InvalidCredentials))
}

on_both_databases!(a_registered_user_is_signed_in_and_stored, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let mut registration = registration(" Ada ", "Ada@Lovelace.example");
    registration.user.full_name = Some(" Ada Lovelace ".to_owned());
    let ada = kit.accounts.register(registration, &client()).await.unwrap();
    assert_eq!((ada.user.username.as_str(), ada.user.email.as_str()), ("Ada", "Ada@Lovelace.example"));
    assert_eq!(ada.user.full_name.as_deref(), Some("Ada Lovelace"));
    assert_eq!(ada.session.device.as_deref(), Some("Laptop"));
    assert_eq!(ada.session.user_agent.as_deref(), Some("Test/1"));
    assert_eq!(ada.session.ip_address.as_deref(), Some("192.0.2.7"));
    assert_eq!(ada.access_token_expires_at, kit.now() + TimeDelta::minutes(15));
    assert_eq!(ada.refresh_token_expires_at, kit.now() + TimeDelta::days(7));

    let who = kit.requester(&ada.access_token).await;
    assert_eq!(kit.accounts.me(&who).await.unwrap(), Some(ada.user.clone()), "the stored user equals the returned one");
    assert_eq!(kit.accounts.current_session(&who).await.unwrap(), Some(ada.session.clone()));
    assert!(who.viewer().unwrap().permissions.all().is_empty());
    let roles = kit.accounts.roles_of(&[ada.user.id]).await.unwrap();
    assert_eq!(roles.iter().map(|(_, role)| role.name.as_str()).collect::<Vec<_>>(), ["user"]);

    for login in ["ada", " ADA", "ada@lovelace.example", "ADA@LOVELACE.EXAMPLE "] {
        let again = kit.login(login, PASSWORD).await.unwrap();
        assert_eq!(again.user.id, ada.user.id);
        assert_ne!(again.session.id, ada.session.id);
    }
});

on_both_databases!(all_errors_of_a_registration_are_reported_together, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let mut bad = registration("a b", "nowhere");
    bad.user.password = "password".to_owned();
    bad.user.full_name = Some("x".repeat(101));
    bad.device = Some("a\0b".to_owned());
    let mut found = fields(kit.accounts.register(bad, &client()).await);
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("device", FieldErrorCode::Malformed),
        ("email", FieldErrorCode::Malformed),
        ("fullName", FieldErrorCode::TooLong),
        ("password", FieldErrorCode::TooWeak),
        ("username", FieldErrorCode::Malformed),
    ];
    assert_eq!(found, expected.map(|(path, code)| (path.to_owned(), code)));

    let mut own_name = registration("adalovelace1815", "ada@example.com");
    own_name.user.password = "adalovelace1815".to_owned();
    assert_eq!(
        fields(kit.accounts.register(own_name, &client()).await),
        [("password".to_owned(), FieldErrorCode::TooWeak)]
    );
});

on_both_databases!(names_are_unique_without_regard_to_case, |home| async move {
    let kit = Kit::new(home, &[]).await;
    kit.register("ada").await.unwrap();
    let taken = |path: &str| (path.to_owned(), FieldErrorCode::Taken);
    let register = async |name, email| fields(kit.accounts.register(registration(name, email), &client()).await);
    assert_eq!(register("ADA", "other@example.com").await, [taken("username")]);
    assert_eq!(register("other", "Ada@Example.com").await, [taken("email")]);
    assert_eq!(register("Ada", "ADA@example.com").await, [taken("username"), taken("email")]);
});

on_both_databases!(one_of_several_concurrent_registrations_gets_the_username, |home| async move {
    let kit = Kit::new(home, &[]).await;
    // Only three, so that the last one gets its turn for hashing before the wait times out.
    let tries = futures_util::future::join_all((0..3).map(|_| kit.register("ada"))).await;
    let (got, refused): (Vec<_>, Vec<_>) = tries.into_iter().partition(Result::is_ok);
    assert_eq!((got.len(), refused.len()), (1, 2));
    for outcome in refused {
        let both = [("username".to_owned(), FieldErrorCode::Taken), ("email".to_owned(), FieldErrorCode::Taken)];
        assert_eq!(fields(outcome), both);
    }
});

on_both_databases!(closed_registration_is_forbidden, |home| async move {
    let kit = Kit::new(home, &["--registration-open", "false"]).await;
    assert!(matches!(kit.register("ada").await, Err(Error::Forbidden)));
    kit.accounts.create_user(new_user("ada", "ada@example.com"), false).await.unwrap();
    assert!(kit.login("ada", PASSWORD).await.is_ok());
});

on_both_databases!(every_failed_sign_in_has_the_same_error, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let long = "a".repeat(100_000);
    for (login, password) in [
        ("ada", "wrong"),
        ("nobody", PASSWORD),
        ("no@body", PASSWORD),
        ("a\0da", PASSWORD),
        (&long, PASSWORD),
        ("ada", &long),
    ] {
        assert!(is_wrong(&kit.login(login, password).await), "{}", &login[..login.len().min(20)]);
    }
    assert_eq!(fields(kit.login("", PASSWORD).await), [("login".to_owned(), FieldErrorCode::Required)]);
    assert_eq!(fields(kit.login("ada", "").await), [("password".to_owned(), FieldErrorCode::Required)]);

    kit.deactivate(&ada).await;
    assert!(is_wrong(&kit.login("ada", PASSWORD).await));
    assert!(is_wrong(&kit.refresh(&ada.refresh_token).await));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(kit.is_dead(&ada.access_token).await);
});

on_both_databases!(an_ended_session_fails_immediately_in_the_whole_process, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let other = kit.login("ada", PASSWORD).await.unwrap();
    let who = kit.requester(&ada.access_token).await;
    let viewer = who.viewer().unwrap();
    assert!(!viewer.session_ended.is_cancelled());
    assert_eq!(kit.accounts.logout(&who, &client()).await.unwrap(), ada.session.id);
    assert!(viewer.session_ended.is_cancelled() && ada.viewer.session_ended.is_cancelled());
    assert!(kit.is_dead(&ada.access_token).await);
    assert!(is_wrong(&kit.refresh(&ada.refresh_token).await));
    assert!(kit.requester(&other.access_token).await.viewer().is_ok());
    assert!(!other.viewer.session_ended.is_cancelled());
});

on_both_databases!(a_session_that_another_node_ends_fails_within_two_seconds, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let elsewhere = kit.another_node(&[]);
    let who = elsewhere.authenticate(Some(&format!("Bearer {}", ada.access_token))).await;
    elsewhere.logout(&who, &client()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(kit.is_dead(&ada.access_token).await);
});

on_both_databases!(credentials_are_absent_invalid_or_of_a_viewer, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    assert!(matches!(kit.accounts.authenticate(None).await, Requester::Anonymous));
    assert_eq!(kit.accounts.me(&Requester::Anonymous).await.unwrap(), None);
    assert!(matches!(kit.accounts.me(&Requester::Dead).await, Err(Error::Unauthenticated)));
    assert!(matches!(kit.accounts.current_session(&Requester::Anonymous).await, Err(Error::Unauthenticated)));
    assert!(matches!(kit.accounts.logout(&Requester::Dead, &client()).await, Err(Error::Unauthenticated)));
    let token = &ada.access_token;
    for good in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  {token} ")] {
        assert!(kit.accounts.authenticate(Some(&good)).await.viewer().is_ok(), "{good}");
    }
    for bad in ["", "Bearer", "Bearer ", token, &format!("Basic {token}"), &format!("Bearer {}", ada.refresh_token)] {
        assert!(matches!(kit.accounts.authenticate(Some(bad)).await, Requester::Dead), "{bad}");
    }
});

on_both_databases!(credentials_are_not_invalid_while_the_database_is_unavailable, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let fresh = kit.another_node(&[]);
    kit.database.clone().close().await;
    let who = fresh.authenticate(Some(&format!("Bearer {}", ada.access_token))).await;
    assert!(matches!(who, Requester::Unknown));
    assert!(matches!(who.viewer(), Err(Error::Unavailable { .. })));
});

on_both_databases!(the_last_use_is_recorded_once_a_minute, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    kit.advance(TimeDelta::seconds(61));
    // Another process, without a cached session.
    let elsewhere = kit.another_node(&[]);
    let who = elsewhere.authenticate(Some(&format!("Bearer {}", ada.access_token))).await;
    kit.tracker.close();
    kit.tracker.wait().await;
    assert_eq!(kit.accounts.current_session(&who).await.unwrap().unwrap().last_used_at, kit.now());
    assert_eq!(kit.accounts.me(&who).await.unwrap().unwrap().last_seen_at, Some(kit.now()));
});

on_both_databases!(the_default_admin_is_created_once, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let admin = || DefaultAdmin {
        username: "root".to_owned(),
        email: "root@example.com".to_owned(),
        password: Secret::from("password".to_owned()),
    };
    assert!(kit.accounts.create_default_admin(admin()).await.unwrap());
    assert!(!kit.accounts.create_default_admin(admin()).await.unwrap());
    let root = kit.login("root", "password").await.unwrap();
    assert!(Permission::ALL.iter().all(|(permission, _)| root.viewer.may(*permission)));

    let ada = kit.register("ada").await.unwrap();
    assert!(account_of(Some(&root.viewer), &ada.user).is_some());
    assert!(account_of(Some(&ada.viewer), &ada.user).is_some());
    assert!(account_of(Some(&ada.viewer), &root.user).is_none());
    assert!(account_of(None, &ada.user).is_none());
});

on_both_databases!(users_that_an_operator_creates_follow_the_same_rules, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let mut weak = new_user("ada", "ada@example.com");
    weak.password = "password".to_owned();
    assert!(matches!(kit.accounts.create_user(weak, false).await, Err(Error::Invalid(_))));
    kit.accounts.create_user(new_user("ada", "ada@example.com"), true).await.unwrap();
    let again = kit.accounts.create_user(new_user("Ada", "eve@example.com"), true).await;
    assert!(matches!(again, Err(Error::Conflict { .. })));
    assert!(kit.login("ada", PASSWORD).await.unwrap().viewer.may(Permission::UsersWrite));
});
