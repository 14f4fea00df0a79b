//! Counts the connections of this process, and the bytes received on them that no operation has consumed yet.
//!
//! Both are limited in total and per address, so that one client cannot use up memory or file descriptors. IPv6
//! addresses count by their /64. The address is that of the socket's peer. A trusted proxy has no limit per address,
//! because it forwards many clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::server::TrustedProxies;
use crate::domain::viewer;
use crate::http::limits::Limits;

/// Bytes that each connection may hold even if the limits are reached, so that a full server still handles small
/// requests.
const GUARANTEED_BYTES: usize = 16 * 1024;

/// The connections of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    trusted: TrustedProxies,
    total: Usage,
    by_network: Mutex<HashMap<IpAddr, Arc<Usage>>>,
}

/// The connections and bytes of one address, or of all.
#[derive(Debug, Default)]
struct Usage {
    connections: AtomicUsize,
    bytes: AtomicUsize,
}

impl Connections {
    /// Starts without connections. Peers in `trusted` have no limit per address.
    pub fn new(limits: &Limits, trusted: TrustedProxies) -> Self {
        let (total, by_network) = (Usage::default(), Mutex::default());
        Self(Arc::new(Inner { limits: limits.clone(), trusted, total, by_network }))
    }

    /// The number of open connections.
    pub fn count(&self) -> usize {
        self.0.total.connections.load(Ordering::Relaxed)
    }

    /// Counts a new connection; `None` if there are too many.
    pub(super) fn open(&self, peer: IpAddr) -> Option<Arc<Input>> {
        let Inner { limits, trusted, total, by_network } = &*self.0;
        let network = (!trusted.contains(peer)).then(|| viewer::network(peer));
        let mut usages = by_network.lock().unwrap_or_else(PoisonError::into_inner);
        if total.connections.load(Ordering::Relaxed) >= limits.connections {
            return None;
        }
        let own = network.map(|network| (network, usages.entry(network).or_default().clone()));
        if own
            .as_ref()
            .is_some_and(|(_, own)| own.connections.load(Ordering::Relaxed) >= limits.connections_per_address)
        {
            return None;
        }
        for usage in [Some(total), own.as_ref().map(|(_, own)| &**own)].into_iter().flatten() {
            usage.connections.fetch_add(1, Ordering::Relaxed);
        }
        Some(Arc::new(Input { connections: self.clone(), own, message: Message::default() }))
    }

    /// The maximum time that a client may leave output unread.
    pub(super) fn write_timeout(&self) -> Duration {
        self.0.limits.write_timeout
    }

    /// The maximum time to receive a message.
    pub(super) fn message_timeout(&self) -> Duration {
        self.0.limits.body_timeout
    }
}

/// The unconsumed input of one connection. Dropping it ends the count of the connection.
#[derive(Debug)]
pub(super) struct Input {
    connections: Connections,
    own: Option<(IpAddr, Arc<Usage>)>,
    message: Message,
}

/// The WebSocket message that is being received. HTTP bodies are limited separately and not counted here.
#[derive(Debug, Default)]
struct Message {
    /// The maximum size, in bytes; 0 before the connection is a WebSocket.
    limit: AtomicUsize,
    bytes: AtomicUsize,
    /// The number of messages received completely.
    finished: AtomicUsize,
    refusal: AtomicU8,
}

/// Why the rest of a message is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// The message is larger than allowed on this connection.
    TooLarge = 1,
    /// The message was not received in time.
    TooSlow,
    /// The limit of unconsumed bytes, in total or per address, is reached.
    Full,
}

impl Input {
    /// Counts received bytes until the result is dropped.
    ///
    /// # Errors
    /// [`Overflow::Full`]
    pub(super) fn hold(self: &Arc<Self>, bytes: usize) -> Result<Held, Overflow> {
        let held = Held { input: self.clone(), bytes };
        self.add(bytes);
        if self.is_full() && bytes > GUARANTEED_BYTES { Err(Overflow::Full) } else { Ok(held) }
    }

    /// Counts messages from now on, with this maximum size in bytes.
    pub(super) fn limit_messages(&self, bytes: usize) {
        self.message.limit.store(bytes, Ordering::Relaxed);
    }

    /// Counts received bytes of a message, and refuses a message that exceeds a limit.
    pub(super) fn arrived(&self, bytes: usize) {
        let limit = self.message.limit.load(Ordering::Relaxed);
        if limit == 0 {
            return;
        }
        self.add(bytes);
        let bytes = self.message.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // One read may contain the start of the next message, and each frame has a header.
        if bytes > limit + GUARANTEED_BYTES {
            self.refuse(Overflow::TooLarge);
        } else if bytes > GUARANTEED_BYTES && self.is_full() {
            self.refuse(Overflow::Full);
        }
    }

    /// The serial number of the message that is being received; `None` between messages.
    pub(super) fn arriving(&self) -> Option<usize> {
        (self.message.bytes.load(Ordering::Relaxed) > 0).then(|| self.message.finished.load(Ordering::Relaxed))
    }

    /// Ends the message. Its bytes count until the result is dropped.
    pub(super) fn finish_message(self: &Arc<Self>) -> Held {
        self.message.finished.fetch_add(1, Ordering::Relaxed);
        Held { input: self.clone(), bytes: self.message.bytes.swap(0, Ordering::Relaxed) }
    }

    /// Excludes a control frame from the current message.
    pub(super) fn pass_control_frame(self: &Arc<Self>, payload: usize) {
        // 2 bytes of header and 4 of the mask (RFC 6455, section 5.2).
        let frame = payload + 6;
        let before = self.message.bytes.load(Ordering::Relaxed);
        let bytes = before.min(frame);
        self.message.bytes.store(before - bytes, Ordering::Relaxed);
        drop(Held { input: self.clone(), bytes });
    }

    /// Stops reading from the connection.
    pub(super) fn refuse(&self, overflow: Overflow) {
        self.message.refusal.store(overflow as u8, Ordering::Relaxed);
    }

    /// Why the connection is no longer read.
    pub(super) fn refusal(&self) -> Option<Overflow> {
        let refusal = self.message.refusal.load(Ordering::Relaxed);
        [Overflow::TooLarge, Overflow::TooSlow, Overflow::Full].into_iter().find(|overflow| *overflow as u8 == refusal)
    }

    fn usages(&self) -> impl Iterator<Item = &Usage> {
        [Some(&self.connections.0.total), self.own.as_ref().map(|(_, own)| &**own)].into_iter().flatten()
    }

    fn add(&self, bytes: usize) {
        for usage in self.usages() {
            usage.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn release(&self, bytes: usize) {
        for usage in self.usages() {
            usage.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn is_full(&self) -> bool {
        let limits = &self.connections.0.limits;
        let limits = [limits.input, limits.input_per_address];
        self.usages().zip(limits).any(|(usage, limit)| usage.bytes.load(Ordering::Relaxed) > limit)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.release(self.message.bytes.load(Ordering::Relaxed));
        let mut usages = self.connections.0.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        for usage in self.usages() {
            usage.connections.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some((network, own)) = &self.own
            && own.connections.load(Ordering::Relaxed) == 0
        {
            usages.remove(network);
        }
    }
}

/// Received bytes that are counted for an operation.
#[derive(Debug)]
pub(super) struct Held {
    input: Arc<Input>,
    bytes: usize,
}

impl Held {
    /// The number of bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts more bytes.
    ///
    /// # Errors
    /// [`Overflow::Full`]
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Overflow> {
        self.input.add(bytes);
        self.bytes += bytes;
        if self.input.is_full() && self.bytes > GUARANTEED_BYTES { Err(Overflow::Full) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.input.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "192.0.2.1";
    const EVE: &str = "192.0.2.2";
    const PROXY: &str = "10.0.0.1";

    fn connections(limits: Limits) -> Connections {
        Connections::new(&limits, "10.0.0.0/8".parse().unwrap())
    }

    fn open(connections: &Connections, peer: &str) -> Option<Arc<Input>> {
        connections.open(peer.parse().unwrap())
    }

    #[test]
    fn connections_are_limited_in_total_and_per_address() {
        let all = connections(Limits { connections: 4, connections_per_address: 2, ..Limits::default() });
        let held = [open(&all, "2001:db8::1"), open(&all, "2001:db8::2:0:0:1")];
        assert!(held.iter().all(Option::is_some) && open(&all, "2001:db8::3").is_none(), "one /64 is one address");
        let other = open(&all, ADA);
        let proxy = open(&all, PROXY);
        assert!(other.is_some() && proxy.is_some() && open(&all, EVE).is_none(), "four are all");
        drop(held);
        let proxies = [open(&all, PROXY), open(&all, PROXY)];
        assert!(proxies.iter().all(Option::is_some), "a proxy has no limit of its own");
        drop((other, proxy, proxies));
        assert!(all.0.by_network.lock().unwrap().is_empty());
        assert_eq!(all.0.total.connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn input_is_limited_in_total_and_per_address() {
        let (small, large) = (GUARANTEED_BYTES, 2 * GUARANTEED_BYTES);
        let all = connections(Limits { input: 3 * large, input_per_address: large, ..Limits::default() });
        let [ada, eve] = [ADA, EVE].map(|peer| open(&all, peer).unwrap());
        let first = ada.hold(large).unwrap();
        assert_eq!(ada.hold(large).unwrap_err(), Overflow::Full);
        assert!(ada.hold(small).is_ok(), "what is small is always read");
        let second = eve.hold(large).unwrap();
        let proxy = open(&all, PROXY).unwrap();
        let mut third = proxy.hold(large).unwrap();
        assert_eq!(third.grow(1), Err(Overflow::Full), "beyond the total");
        drop((first, second, third));
        assert_eq!(all.0.total.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_message_counts_until_its_operation_ends() {
        let all = connections(Limits::default());
        let input = open(&all, ADA).unwrap();
        input.arrived(1 << 30);
        assert!(input.arriving().is_none(), "this is HTTP");
        input.limit_messages(100_000);
        input.arrived(60_000);
        input.arrived(50);
        input.pass_control_frame(44);
        assert_eq!(input.arriving(), Some(0));
        let held = input.finish_message();
        assert_eq!((input.arriving(), all.0.total.bytes.load(Ordering::Relaxed)), (None, 60_000));
        drop(held);
        assert_eq!(input.refusal(), None);
        input.arrived(100_001 + GUARANTEED_BYTES);
        assert_eq!((input.arriving(), input.refusal()), (Some(1), Some(Overflow::TooLarge)));
        drop(input);
        assert_eq!(all.0.total.bytes.load(Ordering::Relaxed), 0);
    }
}
