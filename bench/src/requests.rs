//! Workloads of requests: a page of chats, creating chats, and a page of chats during a login flood.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::bed::{Bed, PASSWORD, Server};
use crate::fill::{USERS, User};
use crate::http::{Load, closed_loop, permille, post};
use crate::table::{Outcome, Row};

const CONNECTIONS: usize = 32;
/// Rounds per server, which alternate, so that disturbances affect both.
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(700);
/// Connections of the login flood; each signs in again after each response.
const FLOOD: usize = 200;
const FLOOD_TURN: Duration = Duration::from_secs(5);

const ME: &str =
    r#"{"query":"{ me { username chats(first: 20) { nodes { id title updatedAt lastMessage { role content } } } } }"}"#;

type Request = Arc<dyn Fn(usize) -> Vec<u8> + Send + Sync>;

/// Requests per second and CPU time per request of one server.
#[derive(Debug, Default)]
struct Totals {
    latencies: Vec<u64>,
    elapsed: Duration,
    cpu: Duration,
}

impl Totals {
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latencies.len().max(1) as f64
    }

    fn p99_millis(&mut self) -> f64 {
        permille(&mut self.latencies, 990) as f64 / 1_000.0
    }
}

async fn turn(server: &Server, request: &Request, length: Duration, totals: &mut Totals) -> Result<()> {
    let (start, cpu, request) = (Instant::now(), server.process.cpu()?, Arc::clone(request));
    let load: Load = closed_loop(server.port, CONNECTIONS, start + length, move |number| request(number)).await?;
    if let Some(refusal) = load.refusals.into_iter().next() {
        return Err(refusal.into());
    }
    totals.latencies.extend(load.latencies);
    totals.elapsed += start.elapsed();
    totals.cpu += server.process.cpu()? - cpu;
    Ok(())
}

/// Compares the two servers. The targets are the minimum ratio of the rates and the maximum ratio of the p99.
async fn compare(
    bed: &Bed,
    workload: &'static str,
    raw: Request,
    duologue: Request,
    target: f64,
    p99_target: Option<f64>,
) -> Result<Vec<Row>> {
    let sides = [(bed.raw().await?, raw), (bed.duologue().await?, duologue)];
    let mut totals = [Totals::default(), Totals::default()];
    for (server, request) in &sides {
        turn(server, request, WARM_UP, &mut Totals::default()).await?;
    }
    for _ in 0..TURNS {
        for ((server, request), totals) in sides.iter().zip(&mut totals) {
            turn(server, request, TURN, totals).await?;
        }
    }
    let [mut raw, mut duologue] = totals;
    let (raw_p99, p99) = (raw.p99_millis(), duologue.p99_millis());
    let p99_row = Row::more("", "p99 ms", raw_p99, p99);
    let p99_target = p99_target.map(|target| Outcome::AtMost(p99 / raw_p99, target));
    Ok(vec![
        Row::at_least(workload, "requests/s", raw.rate(), duologue.rate(), target),
        Row::more("", "CPU µs per request", raw.cpu_micros(), duologue.cpu_micros()),
        Row { result: p99_target.or(p99_row.result), ..p99_row },
    ])
}

/// Selects the users in a cache-unfriendly order.
fn user(users: &[User], number: usize) -> &User {
    &users[number * 617 % USERS]
}

fn page_of_chats(bed: &Bed) -> Request {
    let requests: Vec<_> = bed.users.iter().map(|user| post("/graphql", Some(&user.token), ME)).collect();
    Arc::new(move |number| requests[number * 617 % USERS].clone())
}

/// W1: a page of chats with their last messages.
pub async fn w1(bed: &Bed) -> Result<Vec<Row>> {
    let users = bed.users.clone();
    let raw = move |number| post("/me", None, &format!(r#"{{"user":"{}"}}"#, user(&users, number).id));
    compare(bed, "W1 page of chats", Arc::new(raw), page_of_chats(bed), 0.45, None).await
}

/// W2: creating chats.
pub async fn w2(bed: &Bed) -> Result<Vec<Row>> {
    let users = bed.users.clone();
    let raw = move |number| {
        let id = user(&users, number).id;
        post("/chats", None, &format!(r#"{{"user":"{id}","title":"Chat {number}"}}"#))
    };
    let users = bed.users.clone();
    let duologue = move |number| {
        let query = "mutation($input: CreateChatInput!) { createChat(input: $input) { chat { id title updatedAt lastMessage { content } } } }";
        let body = format!(r#"{{"query":"{query}","variables":{{"input":{{"title":"Chat {number}"}}}}}}"#);
        post("/graphql", Some(&user(&users, number).token), &body)
    };
    compare(bed, "W2 createChat", Arc::new(raw), Arc::new(duologue), 0.5, Some(3.0)).await
}

/// W7: W1 during a login flood.
pub async fn w7(bed: &Bed) -> Result<Vec<Row>> {
    let server = bed.duologue().await?;
    let (mut calm, mut flooded) = (Totals::default(), Totals::default());
    let request = page_of_chats(bed);
    turn(&server, &request, WARM_UP, &mut Totals::default()).await?;
    turn(&server, &request, FLOOD_TURN, &mut calm).await?;
    let memory = server.process.memory()?;
    let login = |number: usize| {
        let login = format!(r#"login(input: {{ login: \"user{}\", password: \"{PASSWORD}\" }})"#, number % USERS + 1);
        post("/graphql", None, &format!(r#"{{"query":"mutation {{ {login} {{ session {{ id }} }} }}"}}"#))
    };
    let flood = tokio::spawn(closed_loop(server.port, FLOOD, Instant::now() + FLOOD_TURN + WARM_UP, login));
    tokio::time::sleep(WARM_UP).await;
    turn(&server, &request, FLOOD_TURN, &mut flooded).await?;
    let grown = (server.process.memory()? - memory) / (1024.0 * 1024.0);
    let flood = flood.await??;
    let (before, after) = (calm.p99_millis(), flooded.p99_millis());
    let in_a_second = |answers: usize| answers as f64 / (FLOOD_TURN + WARM_UP).as_secs_f64();
    let (logins, refused) = (in_a_second(flood.latencies.len()), in_a_second(flood.refusals.len()));
    Ok(vec![
        Row {
            workload: "W7 page of chats during a login flood",
            figure: "p99 ms, without and with the flood",
            raw: Some(before),
            duologue: after,
            result: Some(Outcome::AtMost(after / before, 2.0)),
        },
        Row::more("", "requests/s, without and with the flood", calm.rate(), flooded.rate()),
        Row {
            workload: "",
            figure: "additional MiB during the flood",
            raw: None,
            duologue: grown,
            result: Some(Outcome::AtMost(grown, 64.0)),
        },
        Row { workload: "", figure: "sign-ins/s", raw: None, duologue: logins, result: None },
        Row { workload: "", figure: "refused sign-ins/s", raw: None, duologue: refused, result: None },
    ])
}
