//! A subscription, and the buffer of events that wait for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::in_process::Channels;
use super::{Event, Topic};
use crate::entity::ids::UserId;

/// The maximum number of events that wait for a subscription. Equal events count once.
pub(super) const MAX_WAITING: usize = 256;

/// What a subscription receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Events may have been missed before this item, and none are missed after it. Always the first item.
    Started,
    /// An event.
    Event(Event),
    /// Too many events were waiting. No more events are received.
    Lagged,
}

/// A subscription to the channel of a user. It ends when it is dropped.
#[derive(Debug)]
pub struct Subscription {
    channels: Channels,
    user: UserId,
    buffer: Arc<Buffer>,
}

impl Subscription {
    /// Adds a subscription to the channel of a user.
    pub(super) fn new(channels: Channels, user: UserId, topic: Topic) -> Self {
        let buffer = Arc::new(Buffer { topic, state: Mutex::default(), changed: Notify::new() });
        channels.add(user, Arc::clone(&buffer));
        Self { channels, user, buffer }
    }

    /// Waits for the next item. Loses nothing if it is cancelled.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.buffer.take() {
                return next;
            }
            self.buffer.changed.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.channels.remove(self.user, &self.buffer);
    }
}

/// The events that wait for one subscription.
#[derive(Debug)]
pub(super) struct Buffer {
    topic: Topic,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether [`Next::Started`] was received. Events before it are not kept.
    is_started: bool,
    has_lagged: bool,
    events: VecDeque<Event>,
}

impl Buffer {
    /// Adds an event. An event that is already waiting is not added again, because its content is read on delivery.
    pub(super) fn push(&self, event: &Event) {
        if !self.topic.includes(event) {
            return;
        }
        let mut state = self.lock();
        if !state.is_started || state.has_lagged || state.events.contains(event) {
            return;
        }
        if state.events.len() < MAX_WAITING {
            state.events.push_back(*event);
        } else {
            state.has_lagged = true;
            state.events = VecDeque::new();
        }
        drop(state);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Next> {
        let mut state = self.lock();
        if !state.is_started {
            state.is_started = true;
            return Some(Next::Started);
        }
        if state.has_lagged { Some(Next::Lagged) } else { state.events.pop_front().map(Next::Event) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
