//! The journal with a simulated database in simulated time: two nodes, refused and frozen connections, lost responses,
//! commits after their deadline, outages of one node or of all nodes, and dead nodes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use uuid::Uuid;

use super::store::{Abandoned, Ended};
use super::*;
use crate::clock::SystemClock;
use crate::config::models::{ModelSettings, ProviderKeys};
use crate::domain::chats;
use crate::domain::replies::end::entry;
use crate::domain::replies::log::Outcome;
use crate::domain::replies::parts::{self, Piece};
use crate::domain::replies::running::RunningReply;
use crate::entity::enums::{MessageRole, MessageStatus, PieceKind};
use crate::entity::ids::{ChatId, MessageId, UserId};
use crate::entity::{message, reply_chunk, tool_call};

/// The time after the last fault within which everything must have ended: a lease, a claim, and a few runs of the
/// reaper.
const SETTLED: Duration = Duration::from_secs(60);

/// The rows of the simulated database. Its clock is the simulated time.
#[derive(Default)]
struct Rows {
    leases: HashMap<BootId, (Instant, Option<Instant>)>,
    replies: BTreeMap<MessageId, message::Model>,
    chunks: BTreeMap<(MessageId, i32), reply_chunk::Model>,
}

impl Rows {
    fn is_owned(&self, id: MessageId, owner: Option<BootId>) -> bool {
        self.replies.get(&id).is_some_and(|row| row.status == MessageStatus::Streaming && row.boot_id == owner)
    }

    fn end(&mut self, replies: &[Arc<FinalReply>]) -> Vec<Ended> {
        let mut ended = Vec::new();
        for reply in replies {
            let id = reply.row.id;
            ended.push(if self.is_owned(id, reply.owner) {
                self.replies.insert(id, reply.row.clone());
                self.chunks.retain(|(message, _), _| *message != id);
                Ended::Saved
            } else {
                self.replies.get(&id).map_or(Ended::Gone, |row| Ended::Before(Box::new(row.clone())))
            });
        }
        ended
    }

    fn claim_until(&mut self, dead: BootId, until: Instant) -> bool {
        match self.leases.get_mut(&dead) {
            Some((alive_until, claimed)) if *alive_until < Instant::now() => {
                *claimed = Some(until);
                true
            }
            _ => false,
        }
    }
}

/// A fault of the next step of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The connection is refused.
    Refuse,
    /// The step has no effect and no response.
    Freeze,
    /// The step is committed, and the connection is lost before the response.
    LoseAnswer,
    /// There is no response. The step is committed shortly after its deadline.
    CommitLate,
    /// Request and response are delayed by one second each.
    Delay,
}

/// The connection of one node to the database.
#[derive(Clone)]
struct SimulatedStore {
    rows: Arc<Mutex<Rows>>,
    fault: Arc<Mutex<Option<Fault>>>,
    late: TaskTracker,
}

impl SimulatedStore {
    async fn call<T: Send + 'static>(&self, work: impl FnOnce(&mut Rows) -> T + Send + 'static) -> Result<T> {
        let rows = Arc::clone(&self.rows);
        let run = move || work(&mut rows.lock().unwrap());
        tokio::task::yield_now().await;
        let fault = *self.fault.lock().unwrap();
        match fault {
            None => Ok(run()),
            Some(Fault::Refuse) => Err(refused()),
            Some(Fault::Freeze) => std::future::pending().await,
            Some(Fault::LoseAnswer) => {
                run();
                Err(refused())
            }
            Some(Fault::CommitLate) => {
                self.late.spawn(async move {
                    sleep(STEP_LIMIT + Duration::from_millis(700)).await;
                    run();
                });
                std::future::pending().await
            }
            Some(Fault::Delay) => {
                sleep(Duration::from_secs(1)).await;
                let answer = run();
                sleep(Duration::from_secs(1)).await;
                Ok(answer)
            }
        }
    }
}

fn refused() -> Error {
    Error::Unavailable { message: "refused", retry_after: None }
}

#[async_trait]
impl Store for SimulatedStore {
    fn has_other_nodes(&self) -> bool {
        true
    }

    async fn renew(&self, boot: BootId) -> Result<()> {
        self.call(move |rows| rows.leases.insert(boot, (Instant::now() + lease::LEASE, None))).await.map(drop)
    }

    async fn forget(&self, boot: BootId) -> Result<()> {
        self.call(move |rows| rows.leases.remove(&boot)).await.map(drop)
    }

    async fn stop_requests(&self, _: BootId) -> Result<Vec<MessageId>> {
        self.call(|_| Vec::new()).await
    }

    async fn append(
        &self,
        boot: BootId,
        chunks: Vec<reply_chunk::Model>,
        _: Vec<tool_call::Model>,
    ) -> Result<Vec<MessageId>> {
        self.call(move |rows| {
            let mut owned = Vec::new();
            for chunk in chunks {
                let id = chunk.message_id;
                if !rows.is_owned(id, Some(boot)) {
                    continue;
                }
                owned.push(id);
                let stored = rows.chunks.entry((id, chunk.start)).or_insert_with(|| chunk.clone());
                assert_eq!(*stored, chunk, "a chunk is never written a second time with other content");
            }
            owned.dedup();
            owned
        })
        .await
    }

    async fn end(&self, replies: &[Arc<FinalReply>]) -> Result<Vec<Ended>> {
        let replies = replies.to_vec();
        self.call(move |rows| rows.end(&replies)).await
    }

    async fn abandoned(&self, owner: Option<BootId>, after: Option<MessageId>, limit: u64) -> Result<Vec<Abandoned>> {
        self.call(move |rows| {
            let running = rows.replies.values().filter(|row| row.status == MessageStatus::Streaming);
            let wanted = running.filter(|row| row.boot_id == owner);
            let later = wanted.filter(|row| after.is_none_or(|after| row.id > after));
            let abandoned = later.take(usize::try_from(limit).unwrap()).map(|row| {
                let chunks = rows.chunks.range((row.id, 0)..=(row.id, i32::MAX)).map(|(_, chunk)| chunk.clone());
                let pieces = parts::from_chunks(chunks, 0);
                Abandoned { reply: row.clone(), pieces, user_id: UserId(row.id.0), character_id: None }
            });
            abandoned.collect()
        })
        .await
    }

    async fn owners(&self) -> Result<Vec<Option<BootId>>> {
        self.call(|rows| {
            let running = rows.replies.values().filter(|row| row.status == MessageStatus::Streaming);
            running.map(|row| row.boot_id).collect()
        })
        .await
    }

    async fn adopt(&self, nodes: &[BootId]) -> Result<()> {
        let nodes = nodes.to_vec();
        self.call(move |rows| {
            for node in nodes {
                rows.leases.entry(node).or_insert((Instant::now(), None));
            }
        })
        .await
    }

    async fn claim(&self) -> Result<Option<BootId>> {
        self.call(|rows| {
            let now = Instant::now();
            let is_free = |claimed: &Option<Instant>| claimed.is_none_or(|until| until < now);
            let mut expired = rows.leases.iter().filter(|(_, (until, claimed))| *until < now && is_free(claimed));
            let dead = *expired.next()?.0;
            rows.claim_until(dead, now + Duration::from_secs(30)).then_some(dead)
        })
        .await
    }

    async fn end_claimed(&self, dead: BootId, replies: &[Arc<FinalReply>]) -> Result<bool> {
        let replies = replies.to_vec();
        self.call(move |rows| {
            let is_claimed = rows.claim_until(dead, Instant::now() + Duration::from_secs(30));
            if is_claimed {
                rows.end(&replies);
            }
            is_claimed
        })
        .await
    }

    async fn forget_claimed(&self, dead: BootId) -> Result<()> {
        self.call(move |rows| {
            if rows.claim_until(dead, Instant::now()) {
                rows.leases.remove(&dead);
            }
        })
        .await
    }
}

/// A node with its journal. Dropping it kills the node.
struct Node {
    boot: BootId,
    journal: Arc<Journal>,
    running: RunningReplies,
    fault: Arc<Mutex<Option<Fault>>>,
    stop: CancellationToken,
    tasks: Vec<AbortOnDropHandle<()>>,
}

/// A reply that a test writes, with all output of its provider.
struct Written {
    running: Arc<RunningReply>,
    sent: Arc<Mutex<String>>,
}

struct World {
    models: Arc<Registry>,
    rows: Arc<Mutex<Rows>>,
    late: TaskTracker,
    count: u128,
}

impl World {
    fn new() -> Self {
        let settings = ModelSettings::load(None, &ProviderKeys::default(), None, &|_| None).unwrap();
        drop(rustls::crypto::ring::default_provider().install_default());
        let models = Registry::build(&settings, crate::llm::http_client().unwrap()).unwrap();
        Self { models: Arc::new(models), rows: Arc::default(), late: TaskTracker::new(), count: 0 }
    }

    fn next_uuid(&mut self) -> Uuid {
        self.count += 1;
        Uuid::from_u128(self.count)
    }

    async fn node(&mut self) -> Node {
        let boot = BootId(self.next_uuid());
        let fault = Arc::default();
        let store = SimulatedStore { rows: Arc::clone(&self.rows), fault: Arc::clone(&fault), late: self.late.clone() };
        let running = RunningReplies::new(1_000, 1_000);
        let journal = Arc::new(Journal::new(JournalParts {
            metrics: Default::default(),
            boot,
            store: Box::new(store),
            running: running.clone(),
            models: Arc::clone(&self.models),
            clock: Arc::new(SystemClock),
            hard_stop: CancellationToken::new(),
        }));
        journal.recover(None).await.unwrap();
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let tasks = journal.tasks(stop.clone());
        let tasks = tasks.into_iter().map(|(_, task)| AbortOnDropHandle::new(tracker.spawn(task))).collect();
        Node { boot, journal, running, fault, stop, tasks }
    }

    /// Starts a reply on a node. It receives `letters` letters, one every 40 ms.
    fn write(&mut self, node: &mut Node, letters: usize) -> Written {
        let id = MessageId(self.next_uuid());
        let chat = ChatId(id.0);
        let registration = node.running.register(id, chat, UserId(id.0)).unwrap();
        let now = chrono::DateTime::UNIX_EPOCH;
        let row = message::Model {
            status: MessageStatus::Streaming,
            boot_id: Some(node.boot),
            ..chats::message(id, chat, MessageRole::Assistant, "", None, now)
        };
        self.rows.lock().unwrap().replies.insert(id, row.clone());
        registration.committed();
        let written = Written { running: Arc::clone(registration.reply()), sent: Arc::default() };
        let (running, sent, journal) =
            (Arc::clone(&written.running), Arc::clone(&written.sent), Arc::clone(&node.journal));
        let owner = Some(node.boot);
        node.tasks.push(AbortOnDropHandle::new(self.late.spawn(async move {
            let writing = async {
                for number in 0..letters {
                    sleep(Duration::from_millis(40)).await;
                    journal.lease_held().await;
                    let letter = char::from(b'a' + u8::try_from(number % 26).unwrap());
                    sent.lock().unwrap().push(letter);
                    running.log.append(Piece { kind: PieceKind::Text, body: letter.to_string() });
                }
            };
            let is_whole = running.stop.run_until_cancelled(writing).await.is_some();
            let (body, layout) = parts::fold(&running.log.pieces());
            let status = if is_whole { MessageStatus::Complete } else { MessageStatus::Stopped };
            let row = message::Model { body, layout, status, boot_id: None, ..row };
            let entry = entry(&row, None, UserId(row.id.0), None);
            journal.end(registration, FinalReply { owner, row, calls: Vec::new(), entry, excerpt: None });
        })));
        written
    }

    /// Checks that a reply has its final row, and that its readers on the node that wrote it were notified.
    fn check(&self, written: &Written, is_node_alive: bool) -> MessageStatus {
        let row = self.rows.lock().unwrap().replies[&written.running.id].clone();
        assert_ne!(row.status, MessageStatus::Streaming, "the reply is stuck");
        let sent = written.sent.lock().unwrap();
        assert!(sent.starts_with(&row.body), "{sent} {}", row.body);
        if row.status == MessageStatus::Complete {
            assert_eq!(row.body, *sent, "COMPLETE, and whole");
        }
        if is_node_alive {
            let Some(Outcome::Finished(told)) = written.running.log.outcome() else {
                panic!("the readers were not notified")
            };
            assert_eq!((told.status, &told.body), (row.status, &row.body));
        }
        row.status
    }
}

/// Runs a test in simulated time.
fn simulate<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test);
}

#[test]
fn an_outage_longer_than_a_lease_interrupts_nothing() {
    for fault in [Fault::Refuse, Fault::Freeze, Fault::LoseAnswer, Fault::CommitLate] {
        simulate(async {
            let mut world = World::new();
            let mut nodes = [world.node().await, world.node().await];
            sleep(Duration::from_secs(20)).await;
            let written: Vec<Written> = (0..20).map(|n| world.write(&mut nodes[n % 2], 50 * n)).collect();
            for node in &nodes {
                *node.fault.lock().unwrap() = Some(fault);
            }
            sleep(Duration::from_secs(40)).await;
            // One of them recovers long before the other.
            *nodes[0].fault.lock().unwrap() = None;
            sleep(Duration::from_secs(10)).await;
            *nodes[1].fault.lock().unwrap() = None;
            sleep(SETTLED).await;
            for reply in &written {
                assert_eq!(world.check(reply, true), MessageStatus::Complete, "{fault:?}");
            }
        });
    }
}

#[test]
fn a_dead_node_is_claimed_by_one_other() {
    simulate(async {
        let mut world = World::new();
        let mut dead = world.node().await;
        let others = [world.node().await, world.node().await];
        sleep(Duration::from_secs(20)).await;
        let written: Vec<Written> = (0..50).map(|_| world.write(&mut dead, 10_000)).collect();
        sleep(Duration::from_secs(5)).await;
        let boot = dead.boot;
        drop(dead);
        sleep(Duration::from_secs(26)).await;
        for reply in &written {
            assert_eq!(world.check(reply, false), MessageStatus::Interrupted);
            let row = world.rows.lock().unwrap().replies[&reply.running.id].clone();
            assert!(reply.sent.lock().unwrap().len() - row.body.len() <= 13, "at most half a second of output is lost");
        }
        assert!(!world.rows.lock().unwrap().leases.contains_key(&boot));
        drop(others);
    });
}

#[test]
fn a_suspended_node_shows_the_final_row_of_another() {
    simulate(async {
        let mut world = World::new();
        let mut nodes = [world.node().await, world.node().await];
        sleep(Duration::from_secs(20)).await;
        let reply = world.write(&mut nodes[0], 10_000);
        sleep(Duration::from_secs(5)).await;
        *nodes[0].fault.lock().unwrap() = Some(Fault::Freeze);
        sleep(Duration::from_secs(40)).await;
        assert!(!nodes[0].journal.is_lease_held());
        let sent = reply.sent.lock().unwrap().len();
        *nodes[0].fault.lock().unwrap() = None;
        sleep(SETTLED).await;
        assert_eq!(world.check(&reply, true), MessageStatus::Interrupted);
        assert!(reply.sent.lock().unwrap().len() <= sent + 60, "nothing is shown without the lease");
    });
}

#[test]
fn a_stop_saves_every_ending_and_releases_the_lease() {
    simulate(async {
        let mut world = World::new();
        let mut node = world.node().await;
        let written: Vec<Written> = (0..100).map(|_| world.write(&mut node, 10)).collect();
        sleep(Duration::from_millis(390)).await;
        *node.fault.lock().unwrap() = Some(Fault::Refuse);
        sleep(Duration::from_secs(2)).await;
        node.stop.cancel();
        sleep(Duration::from_secs(5)).await;
        assert!(node.tasks.iter().any(|task| !task.is_finished()), "it waits for the database");
        *node.fault.lock().unwrap() = None;
        sleep(Duration::from_secs(3)).await;
        assert!(node.tasks.iter().all(AbortOnDropHandle::is_finished));
        for reply in &written {
            assert_eq!(world.check(reply, true), MessageStatus::Complete);
        }
        assert!(world.rows.lock().unwrap().leases.is_empty());
    });
}

/// An event of a random history.
#[derive(Debug, Clone, Copy)]
struct Event {
    node: Option<usize>,
    after_ms: u64,
    fault: Option<Fault>,
}

fn any_event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Fault::Refuse)),
        1 => Just(Some(Fault::Freeze)),
        1 => Just(Some(Fault::LoseAnswer)),
        1 => Just(Some(Fault::CommitLate)),
        1 => Just(Some(Fault::Delay)),
    ];
    (prop_oneof![Just(None), Just(Some(0)), Just(Some(1))], 1_u64..9_000, fault)
        .prop_map(|(node, after_ms, fault)| Event { node, after_ms, fault })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever fails, in whatever order: every reply ends exactly once, with a prefix of its output, and its readers
    /// are notified.
    #[test]
    fn any_history_ends_every_reply(
        history in proptest::collection::vec(any_event(), 0..20),
        replies in proptest::collection::vec((0_usize..2, 0_u64..60_000, 0_usize..800), 1..12),
        death in proptest::option::of(0_u64..60_000),
    ) {
        simulate(async {
            let mut world = World::new();
            let mut nodes = [Some(world.node().await), Some(world.node().await)];
            let start = Instant::now();
            let mut time = 0;
            let mut steps: Vec<(u64, Step)> = Vec::new();
            for event in &history {
                time += event.after_ms;
                steps.push((time, Step::Fault(*event)));
            }
            steps.extend(replies.iter().map(|(node, at, letters)| (*at, Step::Reply(*node, *letters))));
            steps.extend(death.map(|at| (at, Step::Death)));
            steps.sort_by_key(|(at, _)| *at);
            let mut steps = VecDeque::from(steps);
            let mut written = Vec::new();
            while let Some((at, step)) = steps.pop_front() {
                sleep_until(start + Duration::from_millis(at)).await;
                match step {
                    Step::Fault(Event { node, fault, .. }) => {
                        let concerned = nodes.iter().enumerate().filter(|(place, _)| node.is_none_or(|one| one == *place));
                        for node in concerned.filter_map(|(_, node)| node.as_ref()) {
                            *node.fault.lock().unwrap() = fault;
                        }
                    }
                    Step::Reply(place, letters) => {
                        // As `sendMessage` does: only while the lease is held.
                        if let Some(node) = nodes[place].as_mut().filter(|node| node.journal.is_lease_held()) {
                            written.push((place, world.write(node, letters)));
                        }
                    }
                    Step::Death => nodes[0] = None,
                }
            }
            for node in nodes.iter().flatten() {
                *node.fault.lock().unwrap() = None;
            }
            sleep(SETTLED + Duration::from_secs(32)).await;
            for (place, reply) in &written {
                world.check(reply, nodes[*place].is_some());
            }
            for node in nodes.iter().flatten() {
                assert!(node.journal.is_lease_held() && node.running.is_empty());
            }
            assert!(world.rows.lock().unwrap().chunks.is_empty(), "the final rows hold everything");
        });
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Fault(Event),
    Reply(usize, usize),
    Death,
}
