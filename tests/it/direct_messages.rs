//! Direct messages between users: conversations, read positions, blocks, events, and what remains of deleted accounts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, PASSWORD, User, text};
use crate::support::database::on_both_databases;
use crate::support::server::{Server, Setup};
use crate::support::socket::Socket;

/// How long nothing must arrive before a test concludes that nothing does.
const SILENCE: Duration = Duration::from_millis(300);
/// No sweep takes longer, also on a busy machine.
const SWEEP: Duration = Duration::from_secs(60);

const MESSAGE: &str = "id content isMine isRead idempotencyKey createdAt sender { username } recipient { username }
    parent { content } conversation { id }";
const SEND: &str = "mutation($input: SendDirectMessageInput!) { sendDirectMessage(input: $input) {
    directMessage { id conversation { id } createdAt } } }";
const CONVERSATION: &str = "id unreadCount readUntil user { username } lastMessage { content }";
const EVENTS: &str = "subscription { directMessages { __typename
    ... on EventsStarted { at }
    ... on DirectMessageReceived { directMessage { id content isMine sender { username } } }
    ... on ConversationRead { conversation { id unreadCount readUntil } } } }";

async fn send(from: &User, to: &User, content: &str) -> Value {
    let input = json!({ "input": { "recipientId": to.id, "content": content } });
    from.data(SEND, input).await["sendDirectMessage"]["directMessage"].take()
}

async fn try_send(from: &User, input: Value) -> Answer {
    from.mutate("sendDirectMessage", &format!("directMessage {{ {MESSAGE} }}"), input).await
}

/// The conversation of a user with another, as `selection` shows it.
async fn conversation(user: &User, with: &User, selection: &str) -> Value {
    let document = format!("query($id: ID!) {{ conversation(userId: $id) {{ {selection} }} }}");
    user.data(&document, json!({ "id": with.id })).await["conversation"].take()
}

async fn mark_read(user: &User, conversation: &Value, until: Option<&Value>) -> Value {
    let mut input = json!({ "conversationId": conversation });
    if let Some(until) = until {
        input["until"] = until.clone();
    }
    let answer = user.mutate("markConversationRead", &format!("conversation {{ {CONVERSATION} }}"), input).await;
    answer.data()["markConversationRead"]["conversation"].take()
}

/// A socket that has received EventsStarted.
async fn subscribe(client: &Client) -> Socket {
    let mut socket = client.socket().await;
    socket.subscribe("1", EVENTS, json!({})).await;
    assert_eq!(next(&mut socket).await["__typename"], "EventsStarted");
    socket
}

async fn next(socket: &mut Socket) -> Value {
    socket.event_of("1", "directMessages").await
}

async fn assert_silent(socket: &mut Socket) {
    let silence = tokio::time::timeout(SILENCE, socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
}

async fn three(server: &Server) -> [User; 3] {
    [server.sign_up("ada").await, server.sign_up("bob").await, server.sign_up("eve").await]
}

on_both_databases!(two_users_write_to_each_other, |database| async move {
    let server = Setup::new(&database).start().await;
    let [ada, bob, eve] = three(&server).await;
    assert_eq!(conversation(&ada, &bob, "id").await, Value::Null);
    let key = json!({ "recipientId": bob.id, "content": "Hello", "idempotencyKey": "one" });
    let first = try_send(&ada, key.clone()).await.data()["sendDirectMessage"]["directMessage"].take();
    let id = first["conversation"]["id"].clone();
    assert!(text(&id).starts_with("conv_") && text(&first["id"]).starts_with("dm_"));
    assert_eq!(
        (&first["isMine"], &first["isRead"], &first["idempotencyKey"], &first["recipient"]["username"]),
        (&json!(true), &json!(false), &json!("one"), &json!("bob"))
    );
    // Repeated, it is the same message; with other input, it is a conflict.
    let again = try_send(&ada, key).await.data()["sendDirectMessage"]["directMessage"].take();
    assert_eq!(again, first);
    let other = json!({ "recipientId": bob.id, "content": "Other", "idempotencyKey": "one" });
    assert_eq!(try_send(&ada, other).await.complaint(), "CONFLICT idempotencyKey:TAKEN");

    let reply = json!({ "recipientId": ada.id, "content": "Hi!", "parentId": first["id"] });
    let reply = try_send(&bob, reply).await.data()["sendDirectMessage"]["directMessage"].take();
    assert_eq!((&reply["parent"]["content"], &reply["conversation"]["id"]), (&json!("Hello"), &id));
    let seen =
        conversation(&ada, &bob, &format!("{CONVERSATION} messages {{ totalCount nodes {{ {MESSAGE} }} }}")).await;
    assert_eq!((&seen["id"], &seen["user"]["username"], &seen["unreadCount"]), (&id, &json!("bob"), &json!(1)));
    assert_eq!((&seen["lastMessage"]["content"], &seen["messages"]["totalCount"]), (&json!("Hi!"), &json!(2)));
    let nodes = seen["messages"]["nodes"].as_array().unwrap();
    assert_eq!(nodes[0], first);
    assert_eq!((&nodes[1]["isMine"], &nodes[1]["sender"]["username"]), (&json!(false), &json!("bob")));
    // The recipient does not see the key.
    let received = format!("messages {{ nodes {{ {MESSAGE} }} }}");
    let received = conversation(&bob, &ada, &received).await["messages"]["nodes"][0].take();
    assert_eq!((&received["idempotencyKey"], &received["isMine"]), (&Value::Null, &json!(false)));

    let elsewhere = send(&bob, &eve, "Secret").await;
    for (from, input, complaint) in [
        (&ada, json!({ "recipientId": ada.id, "content": "Me" }), "INVALID_INPUT recipientId:NOT_ALLOWED"),
        (&ada, json!({ "recipientId": bob.id, "content": " " }), "INVALID_INPUT content:REQUIRED"),
        (&ada, json!({ "recipientId": bob.id, "content": "x".repeat(8_001) }), "INVALID_INPUT content:TOO_LONG"),
        (&ada, json!({ "recipientId": "bob", "content": "Hi" }), "INVALID_INPUT recipientId:MALFORMED"),
        (&ada, json!({ "recipientId": "user_01h455vb4pex5vsknk084sn02q", "content": "Hi" }), "NOT_FOUND"),
        (&bob, json!({ "recipientId": ada.id, "content": "Hi", "parentId": elsewhere["id"] }), "NOT_FOUND"),
        (&eve, json!({ "recipientId": ada.id, "content": "Hi", "parentId": first["id"] }), "NOT_FOUND"),
    ] {
        assert_eq!(try_send(from, input.clone()).await.complaint(), complaint, "{input}");
    }
    // Nothing of a refused message remains, not even an empty conversation.
    assert_eq!(conversation(&eve, &ada, "id").await, Value::Null);
    // A deactivated user can be written to.
    bob.mutate("deactivateAccount", "userId", json!({ "password": PASSWORD })).await.data();
    send(&ada, &bob, "Are you there?").await;
    assert_eq!(conversation(&ada, &bob, "user { username }").await["user"]["username"], "bob");
    server.stop().await;
});

on_both_databases!(nobody_sees_a_conversation_of_others, |database| async move {
    let server = Setup::new(&database).start().await;
    let [ada, bob, eve] = three(&server).await;
    let message = send(&ada, &bob, "Secret").await;
    send(&ada, &eve, "Hello").await;
    let conversation_id = &message["conversation"]["id"];
    for id in [&message["id"], conversation_id] {
        let found = |client: User| async move {
            client.data("query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await["node"]["id"].take()
        };
        assert_eq!(found(eve.clone()).await, Value::Null);
        assert_eq!((found(ada.clone()).await, found(bob.clone()).await), (id.clone(), id.clone()));
    }
    assert_eq!(conversation(&eve, &bob, "id").await, Value::Null);
    let own = eve.data("{ conversations { totalCount nodes { user { username } } } }", json!({})).await;
    assert_eq!(own["conversations"], json!({ "totalCount": 1, "nodes": [{ "user": { "username": "ada" } }] }));
    let input = json!({ "conversationId": conversation_id });
    assert_eq!(eve.mutate("markConversationRead", "conversation { id }", input).await.code(), "NOT_FOUND");
    // A message is a different object for each of its users, and the loaders of a request are those of its viewer.
    let both = "query($m: ID!, $c: ID!) { nodes(ids: [$m, $c]) { id } }";
    let none = eve.data(both, json!({ "m": message["id"], "c": conversation_id })).await;
    assert_eq!(none["nodes"], json!([null, null]));
    server.stop().await;
});

on_both_databases!(conversations_and_messages_are_paged, |database| async move {
    let server = Setup::new(&database).start().await;
    let [ada, bob, eve] = three(&server).await;
    for number in 0..5 {
        send(&ada, &bob, &format!("b{number}")).await;
        send(&eve, &ada, &format!("e{number}")).await;
    }
    send(&ada, &bob, "b5").await;
    let page = "query($first: Int, $after: String) { conversations(first: $first, after: $after) {
        nodes { user { username } unreadCount } pageInfo { hasNextPage endCursor } totalCount } }";
    let first = ada.data(page, json!({ "first": 1 })).await["conversations"].take();
    assert_eq!(first["nodes"], json!([{ "user": { "username": "bob" }, "unreadCount": 0 }]));
    assert_eq!((&first["pageInfo"]["hasNextPage"], &first["totalCount"]), (&json!(true), &json!(2)));
    let second = json!({ "first": 1, "after": first["pageInfo"]["endCursor"] });
    let second = ada.data(page, second).await["conversations"].take();
    assert_eq!(second["nodes"], json!([{ "user": { "username": "eve" }, "unreadCount": 5 }]));
    assert_eq!(second["pageInfo"]["hasNextPage"], false);

    // Pages of several conversations, in both directions.
    let document = "{ conversations { nodes {
        newest: messages(last: 2) { nodes { content } pageInfo { hasPreviousPage hasNextPage startCursor } totalCount }
        oldest: messages(first: 2) { nodes { content } pageInfo { hasPreviousPage hasNextPage } }
        } } }";
    let lists = ada.data(document, json!({})).await["conversations"]["nodes"].take();
    let contents = |list: &Value| -> Vec<String> {
        list["nodes"].as_array().unwrap().iter().map(|node| text(&node["content"])).collect()
    };
    let (bobs, eves) = (&lists[0], &lists[1]);
    assert_eq!(
        (contents(&bobs["newest"]), contents(&bobs["oldest"])),
        (vec!["b4".into(), "b5".into()], vec!["b0".into(), "b1".into()])
    );
    assert_eq!(
        (contents(&eves["newest"]), contents(&eves["oldest"])),
        (vec!["e3".into(), "e4".into()], vec!["e0".into(), "e1".into()])
    );
    assert_eq!(bobs["newest"]["totalCount"], 6);
    assert_eq!(
        (&bobs["newest"]["pageInfo"]["hasPreviousPage"], &bobs["newest"]["pageInfo"]["hasNextPage"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&bobs["oldest"]["pageInfo"]["hasPreviousPage"], &bobs["oldest"]["pageInfo"]["hasNextPage"]),
        (&json!(false), &json!(true))
    );
    let before = "query($id: ID!, $before: String) { conversation(userId: $id) {
        messages(last: 2, before: $before) { nodes { content } } } }";
    let before_newest = json!({ "id": bob.id, "before": bobs["newest"]["pageInfo"]["startCursor"] });
    let earlier = ada.data(before, before_newest).await["conversation"]["messages"].take();
    assert_eq!(contents(&earlier), ["b2", "b3"]);
    let forged = ada.run(before, json!({ "id": bob.id, "before": "x" })).await;
    assert_eq!(forged.complaint(), "INVALID_INPUT before:MALFORMED");
    server.stop().await;
});

on_both_databases!(a_page_takes_a_constant_number_of_statements, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    let mut others = Vec::new();
    for number in 0..30 {
        others.push(server.sign_up(&format!("user{number}")).await);
    }
    for other in &others {
        send(&ada, other, "Hi").await;
    }
    // Beyond the budget of 200 statements if each conversation or message took one of its own.
    let document = format!(
        "{{ conversations(first: 30) {{ totalCount nodes {{ {CONVERSATION} user {{ isBlocked }}
            messages {{ nodes {{ {MESSAGE} }} }} lastMessage {{ {MESSAGE} }} }} }} }}"
    );
    let page = ada.data(&document, json!({})).await;
    assert_eq!(page["conversations"]["nodes"].as_array().unwrap().len(), 30);
    server.stop().await;
});

on_both_databases!(read_positions_never_move_back, |database| async move {
    let server = Setup::new(&database).start().await;
    let [ada, bob, _] = three(&server).await;
    let mut times = Vec::new();
    for number in 0..4 {
        times.push(send(&ada, &bob, &format!("{number}")).await["createdAt"].clone());
    }
    let id = send(&bob, &ada, "Mine").await["conversation"]["id"].clone();
    let unread = |seen: &Value| seen["unreadCount"].as_i64().unwrap();
    assert_eq!(unread(&conversation(&bob, &ada, CONVERSATION).await), 4);
    assert_eq!(unread(&mark_read(&bob, &id, Some(&times[1])).await), 2);
    assert_eq!(unread(&mark_read(&bob, &id, Some(&times[0])).await), 2, "it does not move back");
    let ada_sees = conversation(&ada, &bob, "readUntil unreadCount messages { nodes { isRead } }").await;
    assert_eq!((&ada_sees["readUntil"], unread(&ada_sees)), (&times[1], 1));
    let read: Vec<bool> = ada_sees["messages"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["isRead"].as_bool().unwrap())
        .collect();
    assert_eq!(read, [true, true, false, false, false]);
    // A time in the future does not read messages that are yet to come.
    assert_eq!(unread(&mark_read(&bob, &id, Some(&json!("2999-01-01T00:00:00Z"))).await), 0);
    let next = send(&ada, &bob, "Later").await;
    let bob_sees = conversation(&bob, &ada, CONVERSATION).await;
    assert_eq!((unread(&bob_sees), &bob_sees["readUntil"]), (1, &Value::Null));
    assert_eq!(unread(&mark_read(&bob, &id, None).await), 0);
    assert_eq!(conversation(&ada, &bob, "readUntil").await["readUntil"], next["createdAt"]);
    server.stop().await;
});

on_both_databases!(first_messages_at_once_share_one_conversation, |database| async move {
    let server = Setup::new(&database).start().await;
    let ada = server.sign_up("ada").await;
    for number in 0..8 {
        let other = server.sign_up(&format!("user{number}")).await;
        let both = tokio::join!(send(&ada, &other, "Hi"), send(&other, &ada, "Hello"));
        assert_eq!(both.0["conversation"]["id"], both.1["conversation"]["id"]);
        assert_ne!(both.0["createdAt"], both.1["createdAt"], "times are positions");
        let seen = conversation(&ada, &other, "unreadCount messages { totalCount nodes { id } }").await;
        assert_eq!((&seen["unreadCount"], &seen["messages"]["totalCount"]), (&json!(1), &json!(2)));
        assert_eq!(seen["messages"]["nodes"].as_array().unwrap().len(), 2);
    }
    server.stop().await;
});

on_both_databases!(unread_counts_do_not_drift, |database| async move {
    let server = Setup::new(&database).start().await;
    let [ada, bob, _] = three(&server).await;
    let id = send(&ada, &bob, "Hi").await["conversation"]["id"].clone();
    let sends = async |from: &User, to: &User| {
        let mut times = Vec::new();
        for number in 0..20 {
            times.push(send(from, to, &format!("{number}")).await["createdAt"].clone());
        }
        times
    };
    let reads = async |user: &User| {
        for number in 0..20 {
            let now =
                (number % 2 == 0).then(|| json!(chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())));
            mark_read(user, &id, now.as_ref()).await;
        }
    };
    tokio::join!(sends(&ada, &bob), sends(&ada, &bob), sends(&bob, &ada), reads(&bob), reads(&ada), reads(&bob));
    // The counts are those of a recount.
    for (user, other) in [(&ada, &bob), (&bob, &ada)] {
        let seen =
            conversation(user, other, "unreadCount messages(last: 100) { totalCount nodes { isMine isRead } }").await;
        let nodes = seen["messages"]["nodes"].as_array().unwrap();
        let unread = nodes.iter().filter(|node| node["isMine"] == false && node["isRead"] == false).count();
        assert_eq!((nodes.len(), &seen["messages"]["totalCount"]), (61, &json!(61)));
        assert_eq!(seen["unreadCount"], json!(unread));
    }
    for user in [&ada, &bob] {
        assert_eq!(mark_read(user, &id, None).await["unreadCount"], 0);
    }
    server.stop().await;
});

on_both_databases!(events_reach_both_users, |database| async move {
    let server = Setup::new(&database).start().await;
    let [ada, bob, eve] = three(&server).await;
    let (mut laptop, mut phone) = (subscribe(&ada).await, subscribe(&ada).await);
    let (mut bobs, mut eves) = (subscribe(&bob).await, subscribe(&eve).await);

    // Sent over a socket: the sender's other connections receive it, and this one has the payload.
    let input = json!({ "input": { "recipientId": bob.id, "content": "Hi" } });
    laptop.subscribe("2", SEND, input).await;
    let sent = laptop.event_of("2", "sendDirectMessage").await["directMessage"].take();
    assert_eq!(laptop.next().await, json!({ "id": "2", "type": "complete" }));
    for (device, is_mine) in [(&mut phone, true), (&mut bobs, false)] {
        let message = json!({ "id": sent["id"], "content": "Hi", "isMine": is_mine, "sender": { "username": "ada" } });
        assert_eq!(next(device).await, json!({ "__typename": "DirectMessageReceived", "directMessage": message }));
    }
    // Sent over HTTP: all sockets receive it.
    let reply = send(&bob, &ada, "Hello").await;
    for device in [&mut laptop, &mut phone, &mut bobs] {
        assert_eq!(next(device).await["directMessage"]["id"], reply["id"]);
    }
    // Read by one: both are told, each with its own counts.
    mark_read(&ada, &reply["conversation"]["id"], None).await;
    for device in [&mut laptop, &mut phone] {
        let event = next(device).await;
        assert_eq!(
            (&event["__typename"], &event["conversation"]["unreadCount"]),
            (&json!("ConversationRead"), &json!(0))
        );
        assert_eq!(event["conversation"]["readUntil"], Value::Null);
    }
    let event = next(&mut bobs).await;
    assert_eq!(
        event["conversation"],
        json!({ "id": reply["conversation"]["id"], "unreadCount": 1, "readUntil": reply["createdAt"] })
    );
    // Read again: nothing changed.
    mark_read(&ada, &reply["conversation"]["id"], None).await;
    for device in [&mut laptop, &mut phone, &mut bobs, &mut eves] {
        assert_silent(device).await;
    }
    let mut anonymous = server.client().socket().await;
    anonymous.subscribe("1", EVENTS, json!({})).await;
    assert_eq!(anonymous.failure("1").await.code(), "UNAUTHENTICATED");
    server.stop().await;
});

on_both_databases!(blocks_stop_messages_in_both_directions, |database| async move {
    let server = Setup::new(&database).start().await;
    let [ada, bob, eve] = three(&server).await;
    let message = send(&bob, &ada, "Hi").await;
    for _ in 0..2 {
        let blocked = ada.mutate("blockUser", "user { username isBlocked }", json!({ "userId": bob.id })).await.data();
        assert_eq!(blocked["blockUser"]["user"], json!({ "username": "bob", "isBlocked": true }));
    }
    let refused = |from: User, to: User| async move {
        try_send(&from, json!({ "recipientId": to.id, "content": "Hello?" })).await
    };
    let (blocked, blocker) = (refused(bob.clone(), ada.clone()).await, refused(ada.clone(), bob.clone()).await);
    assert_eq!((blocked.code(), blocker.code()), ("FORBIDDEN", "FORBIDDEN"));
    assert_eq!(blocked.0["errors"][0]["message"], blocker.0["errors"][0]["message"], "nobody learns who blocked whom");
    // Also for a first message, of which nothing remains.
    eve.mutate("blockUser", "user { id }", json!({ "userId": bob.id })).await.data();
    assert_eq!(refused(bob.clone(), eve.clone()).await.code(), "FORBIDDEN");
    assert_eq!(conversation(&bob, &eve, "id").await, Value::Null);

    let look = "query($name: String!) { user(username: $name) { isBlocked blockedUsers { username } }
        me { blockedUsers { username } } }";
    let ada_sees = ada.data(look, json!({ "name": "bob" })).await;
    assert_eq!(ada_sees["user"], json!({ "isBlocked": true, "blockedUsers": null }));
    assert_eq!(ada_sees["me"]["blockedUsers"], json!([{ "username": "bob" }]));
    let bob_sees = bob.data(look, json!({ "name": "ada" })).await;
    assert_eq!(bob_sees["user"], json!({ "isBlocked": false, "blockedUsers": null }));
    assert_eq!(conversation(&ada, &bob, "lastMessage { id }").await["lastMessage"]["id"], message["id"]);

    for (user, complaint) in [
        (&ada.id, "INVALID_INPUT userId:NOT_ALLOWED"),
        (&"user_01h455vb4pex5vsknk084sn02q".to_owned(), "NOT_FOUND"),
        (&"bob".to_owned(), "INVALID_INPUT userId:MALFORMED"),
    ] {
        assert_eq!(ada.mutate("blockUser", "user { id }", json!({ "userId": user })).await.complaint(), complaint);
    }
    for _ in 0..2 {
        let unblocked = ada.mutate("unblockUser", "user { isBlocked }", json!({ "userId": bob.id })).await.data();
        assert_eq!(unblocked["unblockUser"]["user"]["isBlocked"], false);
    }
    send(&bob, &ada, "Back again").await;
    server.stop().await;
});

on_both_databases!(messages_of_deleted_accounts_stay_for_the_other_user, |database| async move {
    let server = Setup::new(&database).start().await;
    let [ada, bob, eve] = three(&server).await;
    let message = send(&ada, &bob, "Goodbye").await;
    send(&bob, &ada, "Why?").await;
    send(&ada, &eve, "Goodbye").await;
    eve.mutate("blockUser", "user { id }", json!({ "userId": ada.id })).await.data();
    ada.mutate("deleteAccount", "userId", json!({ "password": PASSWORD })).await.data();

    use duologue::storage::Database;
    use sea_orm::{EntityTrait as _, PaginatorTrait as _};
    let rows = Database::connect(database.url(), 2).await.unwrap();
    let counts = async || {
        let messages = duologue::entity::direct_message::Entity::find().count(rows.reader()).await.unwrap();
        let users = duologue::entity::user::Entity::find().count(rows.reader()).await.unwrap();
        (users, messages)
    };
    let until = async |wanted: (u64, u64)| {
        let start = Instant::now();
        while counts().await != wanted {
            assert!(start.elapsed() < SWEEP, "{:?} instead of {wanted:?}", counts().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    until((2, 3)).await;
    let seen = format!("{CONVERSATION} messages {{ nodes {{ {MESSAGE} }} }}");
    let list = bob.data(&format!("{{ conversations {{ nodes {{ {seen} }} }} }}"), json!({})).await;
    let seen = &list["conversations"]["nodes"][0];
    assert_eq!((&seen["user"], &seen["unreadCount"]), (&Value::Null, &json!(1)));
    let nodes = seen["messages"]["nodes"].as_array().unwrap();
    assert_eq!(
        (&nodes[0]["content"], &nodes[0]["sender"], &nodes[0]["isMine"]),
        (&json!("Goodbye"), &Value::Null, &json!(false))
    );
    assert_eq!((&nodes[1]["sender"]["username"], &nodes[1]["recipient"]), (&json!("bob"), &Value::Null));
    assert_eq!(mark_read(&bob, &message["conversation"]["id"], None).await["unreadCount"], 0);
    let answer = json!({ "recipientId": ada.id, "content": "Hello?" });
    assert_eq!(try_send(&bob, answer).await.code(), "NOT_FOUND");
    assert_eq!(eve.data("{ me { blockedUsers { id } } }", json!({})).await["me"]["blockedUsers"], json!([]));

    // Once both accounts are gone, so are the messages.
    bob.mutate("deleteAccount", "userId", json!({ "password": PASSWORD })).await.data();
    until((1, 1)).await;
    eve.mutate("deleteAccount", "userId", json!({ "password": PASSWORD })).await.data();
    until((0, 0)).await;
    rows.close().await;
    server.stop().await;
});
