//! The connections of this process: how many there are, and how many bytes they have sent that no operation has consumed yet.
//!
//! Both are limited in total and per address, so that nobody can take all the memory or all the file descriptors. An IPv6 address
//! counts by its /64. The address is that of the socket's peer: a trusted proxy speaks for many clients, so it has no limit per
//! address, only the total one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::server::TrustedProxies;
use crate::domain::viewer;
use crate::http::edge::Limits;

/// The bytes that every connection may hold whatever others hold: a full server still answers small requests.
const ALWAYS: usize = 16 * 1024;

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

/// What some connections use together.
#[derive(Debug, Default)]
struct Usage {
    connections: AtomicUsize,
    bytes: AtomicUsize,
}

impl Connections {
    /// No connections yet. A peer that is one of `trusted` has no limit of its own.
    pub fn new(limits: &Limits, trusted: TrustedProxies) -> Self {
        let (total, by_network) = (Usage::default(), Mutex::default());
        Self(Arc::new(Inner { limits: limits.clone(), trusted, total, by_network }))
    }

    /// Counts a new connection; none when there are too many.
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

    /// How long a client may leave unread what is written to it.
    pub(super) fn write_timeout(&self) -> Duration {
        self.0.limits.write_timeout
    }

    /// How long a message may take to arrive.
    pub(super) fn message_timeout(&self) -> Duration {
        self.0.limits.body_timeout
    }
}

/// What one connection has sent that is not consumed yet. When it is dropped, the connection does not count any more.
#[derive(Debug)]
pub(super) struct Input {
    connections: Connections,
    own: Option<(IpAddr, Arc<Usage>)>,
    message: Message,
}

/// The message of a WebSocket that is arriving. Over HTTP nothing is counted here: bodies have their own bounds.
#[derive(Debug, Default)]
struct Message {
    /// The largest that is accepted, in bytes; 0 before the connection is a WebSocket.
    limit: AtomicUsize,
    bytes: AtomicUsize,
    /// How many have arrived.
    finished: AtomicUsize,
    refusal: AtomicU8,
}

/// Why a message is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// It is larger than this connection may send.
    TooLarge = 1,
    /// It did not arrive in time.
    TooSlow,
    /// Too many bytes of this address, or of all, wait to be consumed.
    Full,
}

impl Input {
    /// Holds bytes that have arrived until the answer is dropped.
    ///
    /// # Errors
    /// [`Overflow::Full`]
    pub(super) fn hold(self: &Arc<Self>, bytes: usize) -> Result<Held, Overflow> {
        let held = Held { input: self.clone(), bytes };
        self.add(bytes);
        if self.is_full() && bytes > ALWAYS { Err(Overflow::Full) } else { Ok(held) }
    }

    /// Counts messages from now on, or with another limit.
    pub(super) fn limit_messages(&self, bytes: usize) {
        self.message.limit.store(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of a message, and refuses one that goes beyond a limit.
    pub(super) fn arrived(&self, bytes: usize) {
        let limit = self.message.limit.load(Ordering::Relaxed);
        if limit == 0 {
            return;
        }
        self.add(bytes);
        let bytes = self.message.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // The next message may have begun to arrive in the same read, and each frame has a header.
        if bytes > limit + ALWAYS {
            self.refuse(Overflow::TooLarge);
        } else if bytes > ALWAYS && self.is_full() {
            self.refuse(Overflow::Full);
        }
    }

    /// The serial number of the message that is arriving; none between messages.
    pub(super) fn arriving(&self) -> Option<usize> {
        (self.message.bytes.load(Ordering::Relaxed) > 0).then(|| self.message.finished.load(Ordering::Relaxed))
    }

    /// The message has arrived: what it holds is held until the answer is dropped.
    pub(super) fn finish_message(self: &Arc<Self>) -> Held {
        self.message.finished.fetch_add(1, Ordering::Relaxed);
        Held { input: self.clone(), bytes: self.message.bytes.swap(0, Ordering::Relaxed) }
    }

    /// A frame that belongs to no message has arrived.
    pub(super) fn pass_control_frame(self: &Arc<Self>, payload: usize) {
        // Two bytes of header and four of the mask (RFC 6455, section 5.2).
        let frame = payload + 6;
        let before = self.message.bytes.load(Ordering::Relaxed);
        let bytes = before.min(frame);
        self.message.bytes.store(before - bytes, Ordering::Relaxed);
        drop(Held { input: self.clone(), bytes });
    }

    /// Reads nothing more of the connection.
    pub(super) fn refuse(&self, overflow: Overflow) {
        self.message.refusal.store(overflow as u8, Ordering::Relaxed);
    }

    /// Why nothing more is read.
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

/// Bytes of input that are held for an operation.
#[derive(Debug)]
pub(super) struct Held {
    input: Arc<Input>,
    bytes: usize,
}

impl Held {
    /// Holds more.
    ///
    /// # Errors
    /// [`Overflow::Full`]
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Overflow> {
        self.input.add(bytes);
        self.bytes += bytes;
        if self.input.is_full() && self.bytes > ALWAYS { Err(Overflow::Full) } else { Ok(()) }
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
        let (small, large) = (ALWAYS, 2 * ALWAYS);
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
        input.arrived(100_001 + ALWAYS);
        assert_eq!((input.arriving(), input.refusal()), (Some(1), Some(Overflow::TooLarge)));
        drop(input);
        assert_eq!(all.0.total.bytes.load(Ordering::Relaxed), 0);
    }
}
