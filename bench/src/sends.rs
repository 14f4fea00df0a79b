//! W8: the latency of `sendMessage` while many replies run, whose checkpoints also write to the database.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::bed::{Bed, PLANS};
use crate::http::permille;
use crate::streams::{Reader, Source};
use crate::table::Row;
use crate::{Failure, Result};

const REPLIES: usize = 1_000;
/// Replies started per second.
const PER_SECOND: u32 = 100;
const SENDERS: usize = 4;
/// The pause between two messages of a sender.
const PAUSE: Duration = Duration::from_millis(50);
const TIME: Duration = Duration::from_secs(8);

/// The latencies of `sendMessage` without other load (the baseline), then during 1,000 replies of 20 tokens per second.
pub async fn w8(bed: &Bed) -> Result<Vec<Row>> {
    let server = bed.duologue().await?;
    let source = bed.source(&server);
    let mut calm = send(&source).await?;
    let mut readers = JoinSet::new();
    for number in 0..REPLIES {
        let source = source.clone();
        readers.spawn(async move {
            tokio::time::sleep(Duration::from_secs(1) * u32::try_from(number)? / PER_SECOND).await;
            let mut reader = Reader::open(&source, number).await?;
            reader.begin(PLANS[2]).await?;
            while reader.next().await?.is_some() {}
            Ok::<_, Failure>(())
        });
    }
    tokio::time::sleep(Duration::from_secs(1) * REPLIES as u32 / PER_SECOND + Duration::from_secs(1)).await;
    let mut busy = send(&source).await?;
    if let Some(early) = readers.try_join_next() {
        early??;
        return Err("a reply ended early".into());
    }
    readers.shutdown().await;
    let mut row = |workload, figure, share| {
        let millis = |values: &mut Vec<u64>| permille(values, share) as f64 / 1_000.0;
        Row::more(workload, figure, millis(&mut calm), millis(&mut busy))
    };
    Ok(vec![
        row("W8 sendMessage, without load and during 1,000 replies", "p99 ms", 990),
        row("", "p50 ms", 500),
        row("", "maximum ms", 1_000),
    ])
}

/// The latencies of the sends, in microseconds.
async fn send(source: &Source) -> Result<Vec<u64>> {
    let (until, mut senders) = (Instant::now() + TIME, JoinSet::new());
    for number in 0..SENDERS {
        let source = source.clone();
        senders.spawn(async move {
            let mut sender = Reader::open(&source, number).await?;
            let mut latencies = Vec::new();
            // Not measured: the first send opens connections and compiles statements.
            sender.send_message(PLANS[4]).await?;
            while Instant::now() < until {
                tokio::time::sleep(PAUSE).await;
                let start = Instant::now();
                sender.send_message(PLANS[4]).await?;
                latencies.push(u64::try_from(start.elapsed().as_micros())?);
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(one) = senders.join_next().await {
        latencies.extend(one??);
    }
    Ok(latencies)
}
