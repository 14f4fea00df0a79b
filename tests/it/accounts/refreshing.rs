//! Refresh tokens: each works once. A second use after ten seconds, or after its successor was used, ends the session.

use duologue::storage;

use super::*;

on_both_databases!(a_refresh_returns_a_new_pair_and_invalidates_the_old_token, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let first = kit.register("ada").await.unwrap();
    kit.advance(TimeDelta::days(6));
    assert!(kit.is_dead(&first.access_token).await, "it lives for minutes");
    let second = kit.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(second.session.id, first.session.id);
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(second.refresh_token_expires_at, kit.now() + TimeDelta::days(7), "use keeps a session alive");
    let who = kit.requester(&second.access_token).await;
    assert_eq!(kit.accounts.current_session(&who).await.unwrap(), Some(second.session.clone()));
    assert_eq!(second.session.generation, 1);

    kit.advance(TimeDelta::days(8));
    assert!(is_wrong(&kit.refresh(&second.refresh_token).await), "disuse ends it");
});

on_both_databases!(a_repeated_refresh_returns_the_same_token, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let first = kit.register("ada").await.unwrap();
    let second = kit.refresh(&first.refresh_token).await.unwrap();
    kit.advance(TimeDelta::seconds(10));
    let again = kit.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, second.refresh_token);
    assert_eq!(again.session, second.session);
    assert!(kit.requester(&again.access_token).await.viewer().is_ok());
    let third = kit.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(third.session.generation, 2);
    assert!(is_wrong(&kit.refresh(&first.refresh_token).await), "its successor was used");
});

on_both_databases!(twenty_concurrent_refreshes_return_the_same_token, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let first = kit.register("ada").await.unwrap();
    let answers = futures_util::future::join_all((0..20).map(|_| kit.refresh(&first.refresh_token))).await;
    let answers: Vec<SignedIn> = answers.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| answer.refresh_token == answers[0].refresh_token));
    let who = kit.requester(&answers[0].access_token).await;
    assert_eq!(kit.accounts.current_session(&who).await.unwrap().unwrap().generation, 1);
});

on_both_databases!(reuse_of_a_refresh_token_ends_the_session, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let first = kit.register("ada").await.unwrap();
    let other = kit.login("ada", PASSWORD).await.unwrap();
    let second = kit.refresh(&first.refresh_token).await.unwrap();
    kit.advance(TimeDelta::seconds(11));
    assert!(kit.requester(&second.access_token).await.viewer().is_ok());
    assert!(is_wrong(&kit.refresh(&first.refresh_token).await));
    assert!(second.viewer.session_ended.is_cancelled(), "its sockets close");
    assert!(kit.is_dead(&second.access_token).await);
    assert!(is_wrong(&kit.refresh(&second.refresh_token).await));
    assert!(kit.requester(&other.access_token).await.viewer().is_ok(), "the user's other sessions go on");
});

on_both_databases!(a_forged_refresh_token_ends_no_session, |home| async move {
    let kit = Kit::new(home, &[]).await;
    let ada = kit.register("ada").await.unwrap();
    let mut forged = ada.refresh_token.clone().into_bytes();
    let place = forged.len() - 30;
    forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
    for bad in ["", "dlr_", &String::from_utf8(forged).unwrap(), &ada.access_token] {
        assert!(is_wrong(&kit.refresh(bad).await), "{bad}");
    }
    assert!(kit.refresh(&ada.refresh_token).await.is_ok());
});

on_both_databases!(a_session_can_be_refreshed_any_number_of_times, |home| async move {
    let kit = Kit::new(home, &[]).await;
    kit.register("ada").await.unwrap();
    let mut pairs = vec![kit.login("ada", PASSWORD).await.unwrap()];
    for n in 0..127 {
        let next = kit.refresh(&pairs[n].refresh_token).await.unwrap();
        assert_eq!(next.session.generation, i32::try_from(n).unwrap() + 1);
        assert!(kit.requester(&next.access_token).await.viewer().is_ok(), "{n}");
        pairs.push(next);
    }
    for pair in &pairs {
        assert_eq!(kit.requester(&pair.access_token).await.viewer().unwrap().session_id(), Some(pairs[0].session.id));
    }
    let mut texts: Vec<&str> =
        pairs.iter().flat_map(|pair| [pair.access_token.as_str(), &pair.refresh_token]).collect();
    texts.sort_unstable();
    texts.dedup();
    assert!(texts.len() > 128, "no refresh token is another one's");

    kit.advance(TimeDelta::seconds(11));
    let (last, earlier) = pairs.split_last().unwrap();
    for (n, pair) in earlier.iter().enumerate() {
        // Another process, without a cached session.
        let fresh = kit.another_node(&[]);
        let viewer = fresh.authenticate(Some(&format!("Bearer {}", last.access_token))).await;
        assert!(is_wrong(&fresh.refresh_session(&pair.refresh_token, &client()).await), "{n}");
        assert!(viewer.viewer().unwrap().session_ended.is_cancelled(), "{n}: its sockets close");
        assert!(
            is_wrong(&fresh.refresh_session(&last.refresh_token, &client()).await),
            "{n}: nor does the last one work"
        );
        let transaction = kit.database.begin().await.unwrap();
        storage::sessions::insert(&transaction, last.session.clone()).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let fresh = kit.another_node(&[]);
    let next = fresh.refresh_session(&last.refresh_token, &client()).await.unwrap();
    assert_eq!(next.session.generation, 128);
});
