//! Workloads of streams: latency, throughput and cost of the relay, and the memory of idle readers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::bed::{Bed, PLANS, Server};
use crate::http::permille;
use crate::provider::{PLAIN_TOKEN, now};
use crate::streams::{Reader, Source};
use crate::table::{Outcome, Row};
use crate::{Failure, Result};

const PACED_STREAMS: usize = 50;
const PACED_TIME: Duration = Duration::from_secs(8);
const FAST_STREAMS: usize = 200;
const MANY_STREAMS: usize = 1_000;
/// Streams started per second.
const MANY_PER_SECOND: u32 = 100;
const MANY_TIME: Duration = Duration::from_secs(6);
const IDLE_READERS: usize = 1_000;
/// The number of replies that idle readers share, because the sockets per user are limited.
const IDLE_REPLIES: usize = 4;
/// The time after which a server's memory is stable.
const SETTLE: Duration = Duration::from_secs(1);

/// Latencies of paced streams, in microseconds.
#[derive(Debug, Default)]
struct Delays {
    /// From the reader's request to the provider, and from the provider's first token to the reader.
    first: Vec<u64>,
    /// Of each token after the first.
    rest: Vec<u64>,
}

impl Delays {
    /// Records a frame received at time `at`. `began` is when the reader requested the stream.
    fn take(&mut self, text: &str, began: u64, at: u64, is_first: bool) {
        let mut stamps = text.split_ascii_whitespace().map(|stamp| stamp.parse::<u64>().unwrap_or(0));
        if is_first && let (Some(received), Some(sent)) = (stamps.next(), stamps.next()) {
            self.first.push(received.saturating_sub(began) + at.saturating_sub(sent));
        }
        self.rest.extend(stamps.map(|sent| at.saturating_sub(sent)));
    }
}

/// A permille of latencies, in milliseconds.
fn millis(values: &mut [u64], share: usize) -> f64 {
    permille(values, share) as f64 / 1_000.0
}

async fn servers(bed: &Bed) -> Result<[(Server, Source); 2]> {
    let (raw, duologue) = (bed.raw().await?, bed.duologue().await?);
    let (raw_source, source) = (Source::Raw { port: raw.port }, bed.source(&duologue));
    Ok([(raw, raw_source), (duologue, source)])
}

/// W3: latency added to each token, with 50 streams of 50 tokens per second.
pub async fn w3(bed: &Bed) -> Result<Vec<Row>> {
    let mut seen = Vec::new();
    for (_server, source) in &servers(bed).await? {
        let (mut all, until) = (JoinSet::new(), Instant::now() + PACED_TIME);
        for number in 0..PACED_STREAMS {
            let source = source.clone();
            all.spawn(async move {
                let mut reader = Reader::open(&source, number).await?;
                // Spread over one second.
                tokio::time::sleep(Duration::from_secs(1) * u32::try_from(number)? / PACED_STREAMS as u32).await;
                let mut delays = Delays::default();
                let mut is_warm = false;
                while Instant::now() < until {
                    let (began, mut is_first) = (now(), true);
                    reader.begin(PLANS[0]).await?;
                    while let Some(tokens) = reader.next().await? {
                        if is_warm {
                            delays.take(tokens.text(), began, now(), is_first);
                        }
                        is_first = false;
                    }
                    // Not measured: a reader's first stream opens connections and compiles statements.
                    is_warm = true;
                }
                Ok::<_, Failure>(delays)
            });
        }
        let mut delays = Delays::default();
        while let Some(one) = all.join_next().await {
            let one = one??;
            delays.first.extend(one.first);
            delays.rest.extend(one.rest);
        }
        seen.push(delays);
    }
    let [raw, duologue] = seen.as_mut_slice() else { return Err("expected two servers".into()) };
    let mut rows = Vec::new();
    for (workload, figure, share, target, is_first) in [
        ("W3 50 streams, 50 tokens/s", "first token p99 ms", 990, Some(1.5), true),
        ("", "first token p50 ms", 500, None, true),
        ("", "token p99 ms", 990, Some(2.0), false),
        ("", "token p50 ms", 500, None, false),
    ] {
        let pick = |delays: &mut Delays| millis(if is_first { &mut delays.first } else { &mut delays.rest }, share);
        let (raw, duologue) = (pick(raw), pick(duologue));
        let result = target.map(|target| Outcome::AtMost(duologue / raw, target));
        rows.push(Row { workload, figure, raw: Some(raw), duologue, result });
    }
    Ok(rows)
}

/// W4: 200 unpaced streams.
pub async fn w4(bed: &Bed) -> Result<Vec<Row>> {
    let mut figures = Vec::new();
    for (server, source) in &servers(bed).await? {
        let mut readers = Vec::new();
        for number in 0..FAST_STREAMS {
            readers.push(Reader::open(source, number).await?);
        }
        let (cpu, start, mut all) = (server.process.cpu()?, Instant::now(), JoinSet::new());
        for mut reader in readers {
            all.spawn(async move {
                reader.begin(PLANS[1]).await?;
                let mut bytes = 0;
                while let Some(tokens) = reader.next().await? {
                    bytes += tokens.text().len();
                }
                Ok::<_, Failure>(bytes / PLAIN_TOKEN.len())
            });
        }
        let mut tokens = 0;
        while let Some(one) = all.join_next().await {
            tokens += one??;
        }
        if tokens != FAST_STREAMS * 4_000 {
            return Err(format!("received {tokens} tokens").into());
        }
        let (elapsed, cpu) = (start.elapsed().as_secs_f64(), (server.process.cpu()? - cpu).as_secs_f64());
        figures.push((tokens as f64 / elapsed, cpu * 1e6 / tokens as f64));
    }
    let [(raw_rate, raw_cpu), (rate, cpu)] = figures[..] else { return Err("expected two servers".into()) };
    Ok(vec![
        Row::at_least("W4 200 streams, unpaced", "tokens/s", raw_rate, rate, 0.45),
        Row::more("", "CPU µs per token", raw_cpu, cpu),
    ])
}

/// The figures of one server in W5.
struct Many {
    cpu_micros: f64,
    tokens_per_second: f64,
    delays: Delays,
    mib: f64,
    kib_per_stream: f64,
}

/// W5: 1,000 streams of 20 tokens per second: cost per token, latency of each token, and memory.
pub async fn w5(bed: &Bed) -> Result<Vec<Row>> {
    let mut figures = Vec::new();
    for (server, source) in &servers(bed).await? {
        let mut readers = Vec::new();
        for number in 0..MANY_STREAMS {
            readers.push(Reader::open(source, number).await?);
        }
        let (memory, tokens, mut all) = (server.process.memory()?, Arc::new(AtomicU64::new(0)), JoinSet::new());
        let delays = Arc::new(Mutex::new(Delays::default()));
        let pause = Duration::from_secs(1) / MANY_PER_SECOND;
        for (number, mut reader) in readers.into_iter().enumerate() {
            let (tokens, delays) = (Arc::clone(&tokens), Arc::clone(&delays));
            all.spawn(async move {
                tokio::time::sleep(pause * u32::try_from(number)?).await;
                let (began, mut is_first) = (now(), true);
                reader.begin(PLANS[2]).await?;
                while let Some(next) = reader.next().await? {
                    lock(&delays).take(next.text(), began, now(), std::mem::take(&mut is_first));
                    tokens.fetch_add(next.text().split_ascii_whitespace().count() as u64, Ordering::Relaxed);
                }
                Ok::<_, Failure>(())
            });
        }
        tokio::time::sleep(pause * MANY_STREAMS as u32 + SETTLE).await;
        let (before, cpu) = (tokens.load(Ordering::Relaxed), server.process.cpu()?);
        tokio::time::sleep(MANY_TIME).await;
        let (after, cpu) = (tokens.load(Ordering::Relaxed), (server.process.cpu()? - cpu).as_secs_f64());
        let memory_now = server.process.memory()?;
        if let Some(early) = all.try_join_next() {
            early??;
            return Err("a stream ended early".into());
        }
        let seen = (after - before) as f64;
        all.shutdown().await;
        figures.push(Many {
            cpu_micros: cpu * 1e6 / seen,
            tokens_per_second: seen / MANY_TIME.as_secs_f64(),
            delays: std::mem::take(&mut lock(&delays)),
            mib: memory_now / 1024.0 / 1024.0,
            kib_per_stream: (memory_now - memory) / MANY_STREAMS as f64 / 1024.0,
        });
    }
    let [raw, duologue] = figures.as_mut_slice() else { return Err("expected two servers".into()) };
    let row = |workload, figure, raw: f64, duologue: f64, target| {
        let result = Some(Outcome::AtMost(duologue, target));
        Row { workload, figure, raw: Some(raw), duologue, result }
    };
    let ratio = duologue.cpu_micros / raw.cpu_micros;
    let p99 = |latencies: &mut Vec<u64>| millis(latencies, 990);
    Ok(vec![
        Row {
            result: Some(Outcome::AtMost(ratio, 1.8)),
            ..row("W5 1,000 streams, 20 tokens/s", "CPU µs per token", raw.cpu_micros, duologue.cpu_micros, 0.0)
        },
        Row::more("", "tokens/s", raw.tokens_per_second, duologue.tokens_per_second),
        row("", "token p99 ms", p99(&mut raw.delays.rest), p99(&mut duologue.delays.rest), 3.0),
        row("", "first token p99 ms", p99(&mut raw.delays.first), p99(&mut duologue.delays.first), 10.0),
        row("", "MiB", raw.mib, duologue.mib, 90.0),
        Row::more("", "KiB per stream", raw.kib_per_stream, duologue.kib_per_stream),
    ])
}

fn lock(delays: &Mutex<Delays>) -> MutexGuard<'_, Delays> {
    delays.lock().unwrap_or_else(PoisonError::into_inner)
}

/// W6: memory of an idle subscription, including its socket.
pub async fn w6(bed: &Bed) -> Result<Vec<Row>> {
    let [raw, duologue] = servers(bed).await?;
    let (server, source) = &duologue;
    let mut senders = Vec::new();
    for number in 0..IDLE_REPLIES {
        let mut sender = Reader::open(source, number).await?;
        let reply = sender.send_message(PLANS[3]).await?;
        sender.subscribe(&reply).await?;
        sender.next().await?.ok_or("a reply ended early")?;
        senders.push((sender, reply));
    }
    let before = server.process.memory()?;
    let mut readers = Vec::new();
    for number in 0..IDLE_READERS {
        let mut reader = Reader::open(source, number % IDLE_REPLIES).await?;
        reader.subscribe(&senders[number % IDLE_REPLIES].1).await?;
        reader.next().await?.ok_or("a reply ended early")?;
        readers.push(reader);
    }
    tokio::time::sleep(SETTLE).await;
    let held = (server.process.memory()? - before) / IDLE_READERS as f64 / 1024.0;
    drop(readers);

    let (server, source) = &raw;
    let before = server.process.memory()?;
    let mut readers = Vec::new();
    for number in 0..IDLE_READERS {
        readers.push(Reader::open(source, number).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let raw_held = (server.process.memory()? - before) / IDLE_READERS as f64 / 1024.0;
    let result = Some(Outcome::AtMost(held, 15.0));
    Ok(vec![Row {
        workload: "W6 idle subscriptions",
        figure: "KiB each, including the socket",
        raw: Some(raw_held),
        duologue: held,
        result,
    }])
}
