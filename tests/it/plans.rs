//! Tests that no query scans a whole table, with the query plan of each statement that the storage executes.

use chrono::DateTime;
use duologue::entity::enums::{MessageRole, MessageStatus, Rating, Span};
use duologue::entity::ids::{
    BootId, CharacterId, ChatId, ConversationId, DirectMessageId, MessageId, ToolCallId, UserId,
};
use duologue::entity::{chat, conversation, message};
use duologue::storage::branches;
use duologue::storage::chats::{self, Filter, Readable};
use duologue::storage::contexts;
use duologue::storage::conversations::{self, ConversationCursor};
use duologue::storage::direct_messages::{self, DirectMessageCursor, MessagesQuery};
use duologue::storage::messages;
use duologue::storage::page::Window;
use duologue::storage::quotas;
use duologue::storage::reply_chunks;
use duologue::storage::search;
use duologue::storage::statistics::{self, Buckets, GroupBy, TimeRange};
use duologue::storage::subtrees;
use duologue::storage::usage;

use crate::support::database::on_both_databases;

mod explained;

use explained::Explained;

fn reply(boot: BootId) -> message::Model {
    let id = MessageId(uuid(1));
    message::Model {
        id,
        chat_id: ChatId(uuid(2)),
        parent_id: None,
        depth: 3,
        jump_id: id,
        jump_depth: 0,
        is_leaf: true,
        role: MessageRole::Assistant,
        status: MessageStatus::Complete,
        body: String::new(),
        layout: None,
        branch_tokens: 0,
        checkpoint_id: None,
        token_ratio: 1_000,
        idempotency_key: None,
        boot_id: Some(boot),
        is_stop_requested: false,
        model_id: None,
        finish_reason: None,
        error_code: None,
        input_tokens: None,
        output_tokens: None,
        cached_input_tokens: None,
        is_usage_estimate: false,
        cost_nanodollars: None,
        time_to_first_token_ms: None,
        duration_ms: None,
        rating: None,
        created_at: DateTime::UNIX_EPOCH,
        completed_at: None,
    }
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

on_both_databases!(messages_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (owner, boot) = (UserId(uuid(3)), BootId(uuid(4)));
    let message = reply(boot);
    let (id, chat) = (message.id, message.chat_id);
    for readable in [Readable::Of(owner), Readable::All] {
        messages::find_all(db, readable, &[id, MessageId(uuid(5))]).await.unwrap();
        db.assert_no_scan("find_all");
        messages::find_within(db, readable, &[id, MessageId(uuid(5))], 1_000).await.unwrap();
        db.assert_no_scan("find_within");
        branches::depths(db, readable, &[id, MessageId(uuid(5))]).await.unwrap();
        db.assert_no_scan("depths");
        messages::children(db, readable, &[id, MessageId(uuid(5))], 50, 1_000).await.unwrap();
        db.assert_no_scan("children");
        messages::roots(db, readable, &[chat, ChatId(uuid(5))], 50, 1_000).await.unwrap();
        db.assert_no_scan("roots");
    }
    messages::find(db, owner, id).await.unwrap();
    db.assert_no_scan("find");
    messages::find_by_calls(db, owner, &[ToolCallId(uuid(6)), ToolCallId(uuid(7))], 1_000).await.unwrap();
    db.assert_no_scan("find_by_calls");
    messages::branch(db, id, 0, 3).await.unwrap();
    db.assert_no_scan("branch");
    let part = branches::BranchPart { below: id, from: 0, to: 3 };
    branches::branches(db, &[part, part], 1_000).await.unwrap();
    db.assert_no_scan("branches");
    branches::ancestors(db, &[(id, 0), (MessageId(uuid(5)), 1)]).await.unwrap();
    db.assert_no_scan("ancestors");
    branches::newest_leaves_below(db, &[id, MessageId(uuid(5))]).await.unwrap();
    db.assert_no_scan("newest_leaves_below");
    branches::jump(db, id).await.unwrap();
    db.assert_no_scan("jump");
    for parent in [None, Some((id, 3))] {
        branches::newest_leaf_below_children(db, chat, parent).await.unwrap();
        db.assert_no_scan("newest_leaf_below_children");
    }
    messages::mark_followed(db, id).await.unwrap();
    db.assert_no_scan("mark_followed");
    messages::rate(db, owner, id, Some(Rating::Up)).await.unwrap();
    db.assert_no_scan("rate");
    messages::streaming_in(db, chat).await.unwrap();
    db.assert_no_scan("streaming_in");
    messages::finish(db, Some(boot), &message).await.unwrap();
    db.assert_no_scan("finish");
    messages::request_stop(db, id).await.unwrap();
    db.assert_no_scan("request_stop");
    messages::request_stop_in(db, chat).await.unwrap();
    db.assert_no_scan("request_stop_in");
    messages::request_stop_of(db, owner).await.unwrap();
    db.assert_no_scan("request_stop_of");
    messages::find_any_of(db, &[id]).await.unwrap();
    db.assert_no_scan("find_any_of");
    messages::stop_requests(db, boot).await.unwrap();
    db.assert_no_scan("stop_requests");
    messages::lock_owned(db, boot, &[id]).await.unwrap();
    db.assert_no_scan("lock_owned");
    for owner in [None, Some(boot)] {
        for after in [None, Some(id)] {
            messages::find_running(db, owner, after, 100).await.unwrap();
            db.assert_no_scan("find_running");
        }
    }
    reply_chunks::after(db, id, 0).await.unwrap();
    db.assert_no_scan("after");
    reply_chunks::of_all(db, &[id]).await.unwrap();
    db.assert_no_scan("of_all");
    reply_chunks::delete(db, &[id]).await.unwrap();
    db.assert_no_scan("delete");
    messages::running_owners(db).await.unwrap();
    db.assert_no_scan("running_owners");
});

on_both_databases!(prompts_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (id, other) = (MessageId(uuid(1)), MessageId(uuid(5)));
    for readable in [Readable::Of(UserId(uuid(3))), Readable::All] {
        contexts::ends(db, readable, &[id, other]).await.unwrap();
        db.assert_no_scan("ends");
    }
    for checkpoint in [None, Some(other)] {
        contexts::newest(db, id, 3, checkpoint, 1_000).await.unwrap();
        db.assert_no_scan("newest");
    }
    contexts::first_reaching(db, &[(id, 3), (other, 4)]).await.unwrap();
    db.assert_no_scan("first_reaching");
    contexts::checkpoint(db, id).await.unwrap();
    db.assert_no_scan("checkpoint");
    contexts::checkpoint_sizes(db, &[id, other]).await.unwrap();
    db.assert_no_scan("checkpoint_sizes");
    contexts::set_checkpoint(db, other, id, 100).await.unwrap();
    db.assert_no_scan("set_checkpoint");
});

on_both_databases!(subtrees_are_moved_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (id, chat, other) = (MessageId(uuid(200_105)), ChatId(uuid(2_001)), ChatId(uuid(2_002)));
    subtrees::below(db, chat, &[id, MessageId(uuid(5))], 100).await.unwrap();
    db.assert_no_scan("below");
    for after in [None, Some((3, id))] {
        subtrees::by_depth(db, chat, after, 100).await.unwrap();
        db.assert_no_scan("by_depth");
    }
    subtrees::chat_of_children(db, chat, &[id, MessageId(uuid(5))]).await.unwrap();
    db.assert_no_scan("chat_of_children");
    subtrees::mark_leaf(db, chat, id).await.unwrap();
    db.assert_no_scan("mark_leaf");
    subtrees::move_to(db, other, &[id]).await.unwrap();
    db.assert_no_scan("move_to");
});

on_both_databases!(usage_is_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let user = UserId(uuid(3));
    let at = |text: &str| text.parse::<DateTime<chrono::Utc>>().unwrap();
    let range = TimeRange { from: Some(at("2026-10-31T22:30:00Z")), to: Some(at("2026-12-02T01:10:00Z")) };
    statistics::sums(db, range).await.unwrap();
    db.assert_no_scan("sums");
    statistics::created(db, range).await.unwrap();
    db.assert_no_scan("created");
    statistics::active_users(db, range).await.unwrap();
    db.assert_no_scan("active_users");
    statistics::running_replies(db).await.unwrap();
    db.assert_no_scan("running_replies");
    statistics::owned(db, &[user, UserId(uuid(5))]).await.unwrap();
    db.assert_no_scan("owned");
    statistics::sums_of(db, &[user, UserId(uuid(5))]).await.unwrap();
    db.assert_no_scan("sums_of");
    let buckets = Buckets { span: Span::Hour, numbers: 490_100..490_130 };
    for of in [None, Some(user)] {
        statistics::series(db, &buckets, of).await.unwrap();
        db.assert_no_scan("series");
        let parts = range.parts();
        statistics::top::<UserId>(db, &parts, GroupBy::User, of, 21).await.unwrap();
        statistics::grouped_series(db, &buckets, GroupBy::User, of, &[user]).await.unwrap();
        db.assert_no_scan("users");
        statistics::top::<String>(db, &parts, GroupBy::Model, of, 21).await.unwrap();
        statistics::grouped_series(db, &buckets, GroupBy::Model, of, &["demo".to_owned()]).await.unwrap();
        db.assert_no_scan("models");
        let characters = GroupBy::Character(user);
        statistics::top::<CharacterId>(db, &parts, characters, of, 21).await.unwrap();
        statistics::grouped_series(db, &buckets, characters, of, &[CharacterId(uuid(1))]).await.unwrap();
        db.assert_no_scan("characters");
    }
    quotas::limits(db, &[user]).await.unwrap();
    quotas::used(db, &[user], 24_323).await.unwrap();
    quotas::used_and_reserved(db, user, 24_323).await.unwrap();
    quotas::release(db, &[MessageId(uuid(1))]).await.unwrap();
    db.assert_no_scan("quotas");
    usage::anonymize(db, user, 10).await.unwrap();
    db.assert_no_scan("anonymize");
});

on_both_databases!(chats_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (owner, chat) = (UserId(uuid(3)), ChatId(uuid(2)));
    chats::find(db, owner, chat).await.unwrap();
    db.assert_no_scan("find");
    chats::lock_all(db, &[chat, ChatId(uuid(5))]).await.unwrap();
    chats::touch(db, &[chat, ChatId(uuid(5))], DateTime::UNIX_EPOCH).await.unwrap();
    db.assert_no_scan("touch");
    chats::lock(db, owner, chat).await.unwrap();
    db.assert_no_scan("lock");
    chats::lock_of_message(db, owner, MessageId(uuid(1))).await.unwrap();
    db.assert_no_scan("lock_of_message");
    chats::lock_any(db, chat).await.unwrap();
    db.assert_no_scan("lock_any");
    chats::find_all(db, Readable::Of(owner), &[chat, ChatId(uuid(5))]).await.unwrap();
    db.assert_no_scan("find_all");
    let place = chats::ChatCursor { active_at: DateTime::UNIX_EPOCH, id: chat };
    for after in [None, Some(place)] {
        let window = Window { after, before: None, limit: 20, from_end: false };
        chats::page(db, Readable::Of(owner), &Filter::default(), window).await.unwrap();
        db.assert_no_scan("page");
    }
    chats::count(db, Readable::Of(owner), &Filter::default()).await.unwrap();
    db.assert_no_scan("count");
    let row = chats::find_all(db, Readable::All, &[ChatId(uuid(1_003))]).await.unwrap().remove(0);
    // No row has this id, so that the foreign keys are not checked.
    chats::update(db, chat::Model { id: chat, ..row }).await.unwrap();
    db.assert_no_scan("update");
    chats::set_excerpt(db, chat, "One", DateTime::UNIX_EPOCH).await.unwrap();
    chats::claim_title(db, chat).await.unwrap();
    db.assert_no_scan("titles");
    chats::mark_all_deleted(db, owner, DateTime::UNIX_EPOCH).await.unwrap();
    db.assert_no_scan("mark_all_deleted");
    chats::find_deleted(db, Some(chat)).await.unwrap();
    db.assert_no_scan("find_deleted");
    chats::sweep(db, chat, 100).await.unwrap();
    db.assert_no_scan("sweep");
});

on_both_databases!(conversations_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (user, other, id) = (UserId(uuid(3)), UserId(uuid(1_003)), ConversationId(uuid(2)));
    conversations::find_all(db, user, &[id, ConversationId(uuid(5))]).await.unwrap();
    db.assert_no_scan("find_all");
    conversations::find_with(db, user, other).await.unwrap();
    db.assert_no_scan("find_with");
    for after in [None, Some(ConversationCursor { active_at: DateTime::UNIX_EPOCH, id })] {
        conversations::page(db, user, Window { after, before: None, limit: 20, from_end: false }).await.unwrap();
        db.assert_no_scan("page");
    }
    conversations::count(db, user).await.unwrap();
    db.assert_no_scan("count");
    conversations::lock(db, id).await.unwrap();
    db.assert_no_scan("lock");
    conversations::lock_between(db, user, other).await.unwrap();
    db.assert_no_scan("lock_between");
    conversations::find_any(db, user).await.unwrap();
    db.assert_no_scan("find_any");
    let row = conversation::Model {
        id,
        user_id: user,
        other_id: other,
        last_message_id: None,
        message_count: 0,
        unread_count: 0,
        read_until: None,
        other_read_until: None,
        active_at: DateTime::UNIX_EPOCH,
    };
    conversations::update(db, row).await.unwrap();
    db.assert_no_scan("update");
    conversations::delete(db, id, user).await.unwrap();
    db.assert_no_scan("delete");
});

on_both_databases!(direct_messages_are_read_by_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (user, id, message) = (UserId(uuid(3)), ConversationId(uuid(2)), DirectMessageId(uuid(6)));
    direct_messages::find_all(db, user, &[message, DirectMessageId(uuid(7))], 1_000).await.unwrap();
    db.assert_no_scan("find_all");
    let cursor = Some(DirectMessageCursor { at: DateTime::UNIX_EPOCH });
    for (after, before, from_end) in [(None, None, true), (cursor, None, false), (None, cursor, true)] {
        let window = Window { after, before, limit: 20, from_end };
        let query = MessagesQuery { conversation_id: id, window };
        direct_messages::pages(db, user, &[query.clone(), query], 1_000).await.unwrap();
        db.assert_no_scan("pages");
    }
    direct_messages::find_in(db, id, message).await.unwrap();
    db.assert_no_scan("find_in");
    direct_messages::count_after(db, id, user, DateTime::UNIX_EPOCH).await.unwrap();
    db.assert_no_scan("count_after");
    direct_messages::delete_some(db, id, 100).await.unwrap();
    db.assert_no_scan("delete_some");
});

on_both_databases!(searches_use_the_index, |database| async move {
    let db = &Explained::connect(&database).await;
    let (owner, chat) = (UserId(uuid(3)), ChatId(uuid(1_003)));
    let filter = search::Filter {
        owner_id: owner,
        phrases: vec![vec!["words".to_owned()], vec!["two".to_owned(), "words".to_owned()]],
        chat_id: None,
        character_id: None,
        from: None,
        to: None,
    };
    let narrow = search::Filter {
        phrases: vec![vec!["words".to_owned()]],
        chat_id: Some(chat),
        character_id: Some(CharacterId(uuid(7))),
        from: Some(DateTime::UNIX_EPOCH),
        to: Some(DateTime::UNIX_EPOCH),
        ..filter.clone()
    };
    let all = search::Filter { phrases: narrow.phrases.clone(), ..filter.clone() };
    for (filter, wanted) in [(&filter, 0), (&narrow, 0), (&all, 201)] {
        let found = search::find(db, filter, i64::MAX, 201).await.unwrap();
        assert_eq!(found.len(), wanted);
        assert!(found.is_sorted_by(|newer, older| newer.key > older.key));
        db.assert_no_scan("find");
    }
    search::insert_older(db, Vec::new()).await.unwrap();
    db.assert_no_scan("insert_older");
    search::messages_before(db, MessageId(uuid::Uuid::max()), 100, 1_000).await.unwrap();
    db.assert_no_scan("messages_before");
});
