//! Self-service in the domain: concurrent calls, expiry, and calls by admins.

use duologue::clock::IdGenerator;
use duologue::domain::accounts::NewToken;
use duologue::domain::input::Change;
use duologue::domain::{Viewer, accounts::ProfileChanges};
use duologue::entity::enums::TokenScope;
use duologue::entity::ids::{SessionId, UserId};
use duologue::entity::role;
use duologue::storage;

use super::*;

const OTHER_PASSWORD: &str = "41 lanterns counted by a velvet otter";

fn is_wrong_password<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::InvalidCredentials))
}

async fn reset_token(kit: &Kit, user: UserId) -> String {
    let transaction = kit.database.begin().await.unwrap();
    let reset = kit.accounts.issue_password_reset(&transaction, user).await.unwrap();
    assert_eq!(reset.expires_at, kit.now() + TimeDelta::hours(1));
    transaction.commit().await.unwrap();
    reset.token
}

async fn admin(kit: &Kit, name: &str) -> SignedIn {
    kit.accounts.create_user(new_user(name, &format!("{name}@example.com")), true).await.unwrap();
    kit.login(name, PASSWORD).await.unwrap()
}

async fn leave(kit: &Kit, who: &SignedIn) -> Result<UserId> {
    kit.accounts.deactivate_account(&who.viewer, PASSWORD.to_owned(), &client()).await
}

on_both_databases!(one_of_two_admins_that_leave_concurrently_stays, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let (ada, eve) = (admin(&kit, "ada").await, admin(&kit, "eve").await);
    let (one, two) = tokio::join!(leave(&kit, &ada), leave(&kit, &eve));
    let refused = [&one, &two].into_iter().filter(|outcome| matches!(outcome, Err(Error::Conflict { .. }))).count();
    assert_eq!((one.is_ok() || two.is_ok(), refused), (true, 1), "{one:?} {two:?}");
    let (gone, stays) = if one.is_ok() { (ada, eve) } else { (eve, ada) };
    assert!(gone.viewer.session_ended.is_cancelled() && !stays.viewer.session_ended.is_cancelled());
    assert!(matches!(leave(&kit, &stays).await, Err(Error::Conflict { .. })));
    assert!(kit.requester(&stays.access_token).await.viewer().is_ok(), "a refusal changes nothing");
    let third = kit.register("ida").await.unwrap();
    assert!(leave(&kit, &third).await.is_ok(), "a user who is not an admin can always leave");
});

on_both_databases!(a_password_reset_works_once_and_ends_every_session, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let reset =
        async |token: &str, password: &str| kit.accounts.reset_password(token, password.to_owned(), &client()).await;
    let first = reset_token(&kit, ada.user.id).await;
    let second = reset_token(&kit, ada.user.id).await;
    for bad in ["", "duo_reset_", &first, &ada.refresh_token, &format!("{second}x")] {
        assert!(is_wrong_password(&reset(bad, OTHER_PASSWORD).await), "{bad}");
    }
    let Err(Error::Invalid(weak)) = reset(&second, "password").await else { panic!("a weak password passed") };
    assert_eq!((weak[0].path.join("."), weak[0].code), ("newPassword".to_owned(), FieldErrorCode::TooWeak));
    assert!(!ada.viewer.session_ended.is_cancelled());

    let (one, two) = tokio::join!(reset(&second, OTHER_PASSWORD), reset(&second, OTHER_PASSWORD));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert!(is_wrong_password(&one) || is_wrong_password(&two));
    assert!(ada.viewer.session_ended.is_cancelled() && kit.is_dead(&ada.access_token).await);
    assert!(is_wrong(&kit.login("ada", PASSWORD).await));
    let again = kit.login("ada", OTHER_PASSWORD).await.unwrap();

    let late = reset_token(&kit, ada.user.id).await;
    kit.advance(TimeDelta::hours(1));
    assert!(is_wrong_password(&reset(&late, PASSWORD).await), "it expires after an hour");
    let unused = reset_token(&kit, ada.user.id).await;
    let again = kit.refresh(&again.refresh_token).await.unwrap();
    let changed = kit.accounts.change_password(&again.viewer, OTHER_PASSWORD.into(), PASSWORD.into(), &client()).await;
    assert!(changed.is_ok());
    assert!(is_wrong_password(&reset(&unused, OTHER_PASSWORD).await), "a password change revokes it");
    kit.accounts.delete_expired().await.unwrap();
    let transaction = kit.database.begin().await.unwrap();
    let nobody: UserId = "user_01h455vb4pex5vsknk084sn02q".parse().unwrap();
    assert!(matches!(kit.accounts.issue_password_reset(&transaction, nobody).await, Err(Error::NotFound)));
});

on_both_databases!(a_password_change_keeps_personal_access_tokens_and_a_reset_revokes_them, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let (ada, eve) = (kit.register("ada").await.unwrap(), kit.register("eve").await.unwrap());
    let new = || NewToken { name: "ci".into(), scopes: vec![TokenScope::Write], expires_at: None };
    let make = async |viewer: &Viewer| kit.accounts.create_token(viewer, new(), &client()).await;
    let (mut secrets, mut holders) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (_, secret) = make(&ada.viewer).await.unwrap();
        holders.push(kit.requester(&secret).await);
        secrets.push(secret);
    }
    let (_, others) = make(&eve.viewer).await.unwrap();

    kit.accounts.change_password(&ada.viewer, PASSWORD.into(), OTHER_PASSWORD.into(), &client()).await.unwrap();
    for (secret, holder) in secrets.iter().zip(&holders) {
        assert!(kit.requester(secret).await.viewer().is_ok(), "personal access tokens remain valid");
        assert!(!holder.viewer().unwrap().session_ended.is_cancelled());
    }
    let token = reset_token(&kit, ada.user.id).await;
    kit.accounts.reset_password(&token, PASSWORD.into(), &client()).await.unwrap();
    for (secret, holder) in secrets.iter().zip(&holders) {
        assert!(kit.is_dead(secret).await && holder.viewer().unwrap().session_ended.is_cancelled());
    }
    assert!(kit.accounts.tokens_of(&[ada.user.id]).await.unwrap().is_empty());
    assert!(kit.requester(&others).await.viewer().is_ok(), "the token of another user");
    let late = make(&ada.viewer).await;
    assert!(matches!(late, Err(Error::Unauthenticated)), "a request of an ended session: {late:?}");

    let filter =
        storage::audit::Filter { action: Some("user.password_reset".to_owned()), ..storage::audit::Filter::default() };
    let window = storage::page::Window { after: None, before: None, limit: 100, from_end: false };
    let page = storage::audit::page(kit.database.reader(), &filter, window).await.unwrap();
    assert_eq!(page.rows[0].detail, r#"{"sessionCount":1,"tokenCount":2}"#);
});

on_both_databases!(concurrent_sign_ins_with_the_old_password_end_with_the_password_change, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let client = client();
    let change = kit.accounts.change_password(&ada.viewer, PASSWORD.into(), OTHER_PASSWORD.into(), &client);
    let (changed, _, _) = tokio::join!(change, kit.login("ada", PASSWORD), kit.login("ada", PASSWORD));
    changed.unwrap();
    let left: Vec<SessionId> = ids(&kit, &ada.viewer).await;
    assert_eq!(left, [ada.session.id]);
    assert!(is_wrong(&kit.login("ada", PASSWORD).await));
    let wrong = kit.accounts.change_password(&ada.viewer, PASSWORD.into(), OTHER_PASSWORD.into(), &client).await;
    assert!(is_wrong_password(&wrong));
});

async fn ids(kit: &Kit, viewer: &Viewer) -> Vec<SessionId> {
    kit.accounts.sessions_of(&[viewer.user_id]).await.unwrap().into_iter().map(|session| session.id).collect()
}

on_both_databases!(the_101st_session_ends_the_least_recently_used_one, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let other = kit.register("eve").await.unwrap();
    let transaction = kit.database.begin().await.unwrap();
    let generator = IdGenerator::default();
    for minute in 1..=99 {
        let mut row = ada.session.clone();
        row.id = SessionId(generator.next(kit.now()));
        row.last_used_at = kit.now() + TimeDelta::minutes(minute);
        storage::sessions::insert(&transaction, row).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(ids(&kit, &ada.viewer).await.len(), 100);
    assert!(!ada.viewer.session_ended.is_cancelled());
    kit.advance(TimeDelta::minutes(100));
    let newest = kit.login("ada", PASSWORD).await.unwrap();
    let left = ids(&kit, &ada.viewer).await;
    assert_eq!((left.len(), left[0]), (100, newest.session.id));
    assert!(!left.contains(&ada.session.id) && ada.viewer.session_ended.is_cancelled());
    assert!(!other.viewer.session_ended.is_cancelled());
});

on_both_databases!(a_removed_permission_is_lost_immediately, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let (ada, eve) = (admin(&kit, "ada").await, admin(&kit, "eve").await);
    let scopes = |scopes: &[TokenScope]| NewToken { name: "ci".into(), scopes: scopes.to_vec(), expires_at: None };
    let make = async |kinds: &[TokenScope]| {
        let (_, secret) = kit.accounts.create_token(&ada.viewer, scopes(kinds), &client()).await.unwrap();
        kit.requester(&secret).await
    };
    let (reads, rules) = (make(&[TokenScope::Read]).await, make(&[TokenScope::Admin]).await);
    let permission = Permission::AuditRead;
    assert!(ada.viewer.may(permission) && rules.viewer().unwrap().may(permission));
    assert!(!reads.viewer().unwrap().may(permission));

    let transaction = kit.database.begin().await.unwrap();
    storage::roles::remove_all(&transaction, ada.user.id).await.unwrap();
    transaction.commit().await.unwrap();
    kit.accounts.roles_changed(Some(ada.user.id)).await;
    assert!(!ada.viewer.may(permission) && !rules.viewer().unwrap().may(permission), "who came before sees it too");
    assert!(!kit.requester(&ada.access_token).await.viewer().unwrap().may(permission));
    assert!(eve.viewer.may(permission));

    let transaction = kit.database.begin().await.unwrap();
    storage::roles::assign(&transaction, ada.user.id, role::ADMIN).await.unwrap();
    transaction.commit().await.unwrap();
    kit.accounts.roles_changed(None).await;
    assert!(ada.viewer.may(permission) && !reads.viewer().unwrap().may(permission));
});

on_both_databases!(a_personal_access_token_ends_at_its_expiry_and_with_its_user, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let soon = kit.now() + TimeDelta::minutes(5);
    let new = |expires_at| NewToken { name: "ci".into(), scopes: vec![TokenScope::Write], expires_at };
    let (row, short) = kit.accounts.create_token(&ada.viewer, new(Some(soon)), &client()).await.unwrap();
    let (_, long) = kit.accounts.create_token(&ada.viewer, new(None), &client()).await.unwrap();
    assert!(short.starts_with("duo_pat_") && short != long);
    assert_ne!(row.token_hash, short.as_bytes());
    let past = kit.accounts.create_token(&ada.viewer, new(Some(kit.now())), &client()).await;
    assert!(matches!(past, Err(Error::Invalid(_))));
    let who = kit.requester(&short).await;
    assert_eq!(who.viewer().unwrap().token_expires_at, Some(soon));
    assert_eq!(kit.accounts.current_session(&who).await.unwrap(), None);
    kit.tracker.close();
    kit.tracker.wait().await;
    let used = kit.accounts.tokens(&ada.viewer, &[row.id]).await.unwrap().remove(0);
    assert_eq!(used.last_used_at, Some(kit.now()));
    kit.advance(TimeDelta::minutes(5));
    assert!(kit.is_dead(&short).await, "at once, whatever is remembered");
    kit.accounts.delete_expired().await.unwrap();
    assert_eq!(kit.accounts.tokens(&ada.viewer, &[row.id]).await.unwrap(), []);

    let who = kit.requester(&long).await;
    leave(&kit, &ada).await.unwrap();
    assert!(who.viewer().unwrap().session_ended.is_cancelled() && kit.is_dead(&long).await);
});

on_both_databases!(one_of_two_concurrent_renames_gets_the_username, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let (ada, eve) = (kit.register("ada").await.unwrap(), kit.register("eve").await.unwrap());
    let rename = async |who: &SignedIn| {
        let changes = ProfileChanges { username: Change::Set("Grace".into()), ..ProfileChanges::default() };
        kit.accounts.update_profile(&who.viewer, changes, &client()).await
    };
    let (one, two) = tokio::join!(rename(&ada), rename(&eve));
    let refused = if one.is_ok() { two } else { one };
    let Err(Error::Conflict { fields, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(fields.iter().map(|field| field.path.join(".")).collect::<Vec<_>>(), ["username"]);
    assert_eq!(kit.accounts.user_by_username(&ada.viewer, "gRACE").await.unwrap().unwrap().username, "Grace");
});

on_both_databases!(security_events_of_an_account_are_in_the_audit_log, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let viewer = &ada.viewer;
    let wrong = kit.accounts.change_password(viewer, "wrong".into(), OTHER_PASSWORD.into(), &client()).await;
    assert!(is_wrong_password(&wrong));
    kit.accounts.change_password(viewer, PASSWORD.into(), OTHER_PASSWORD.into(), &client()).await.unwrap();
    let changes = ProfileChanges { bio: Change::Set("Hi".into()), ..ProfileChanges::default() };
    kit.accounts.update_profile(viewer, changes, &client()).await.unwrap();
    let new = NewToken { name: "ci".into(), scopes: vec![TokenScope::Read], expires_at: None };
    let (token, secret) = kit.accounts.create_token(viewer, new, &client()).await.unwrap();
    kit.accounts.revoke_token(viewer, token.id, &client()).await.unwrap();
    let other = kit.login("ada", OTHER_PASSWORD).await.unwrap();
    kit.accounts.revoke_session(viewer, other.session.id, &client()).await.unwrap();
    assert_eq!(kit.accounts.logout_everywhere(viewer, &client()).await.unwrap(), 1);

    let window = storage::page::Window { after: None, before: None, limit: 100, from_end: false };
    let page = storage::audit::page(kit.database.reader(), &storage::audit::Filter::default(), window).await.unwrap();
    let mut entries = page.rows;
    entries.reverse();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    let expected = [
        "user.registered",
        "user.password_check_failed",
        "user.password_changed",
        "user.profile_changed",
        "personal_access_token.created",
        "personal_access_token.revoked",
        "user.login",
        "session.revoked",
        "user.logout_everywhere",
    ];
    assert_eq!(actions, expected);
    assert_eq!(entries[3].detail, r#"{"fields":["bio"]}"#);
    for entry in &entries {
        assert_eq!((entry.actor_id, entry.ip_address.as_deref()), (Some(ada.user.id), Some("192.0.2.7")));
        assert!(!entry.detail.contains(&secret) && !entry.detail.contains("lanterns"));
    }
});
