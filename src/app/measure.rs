//! The metrics that are measured when they are requested.

use std::sync::Arc;

use crate::domain::accounts::Accounts;
use crate::domain::replies::Replies;
use crate::http::{Connections, Measure};
use crate::metrics::Text;
use crate::storage::Database;

pub(super) fn measure(database: Database, replies: Replies, accounts: Accounts, connections: Connections) -> Measure {
    Arc::new(move |text| {
        text.gauge("duologue_connections", "Open connections, including WebSockets.", &[], connections.count());
        text.gauge("duologue_replies_running", "Replies that this node is writing.", &[], replies.running());
        pools(text, &database);
        let (waiting, working) = accounts.password_queue();
        text.gauge("duologue_password_hashes_waiting", "Password hashes that wait for a thread.", &[], waiting);
        text.gauge("duologue_password_hashes_running", "Password hashes that are being computed.", &[], working);
    })
}

fn pools(text: &mut Text, database: &Database) {
    let pools = database.pools();
    text.head("duologue_database_connections", "gauge", "Open connections to the database.");
    for (pool, connections) in &pools {
        let used = connections.open.saturating_sub(connections.idle);
        for (state, count) in [("idle", connections.idle), ("used", used)] {
            text.sample("duologue_database_connections", &[("pool", pool), ("state", state)], count);
        }
    }
    text.head("duologue_database_connections_max", "gauge", "Limit of connections to the database.");
    for (pool, connections) in &pools {
        text.sample("duologue_database_connections_max", &[("pool", pool)], connections.most);
    }
}
