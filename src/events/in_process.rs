//! The bus of a server without other nodes: events reach the subscriptions of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::subscription::{Buffer, Subscription};
use super::{Bus, Event, Topic};
use crate::entity::ids::UserId;

/// The buffers of the subscriptions to each channel; a channel without subscriptions has no entry. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Channels(Arc<Mutex<HashMap<UserId, Vec<Arc<Buffer>>>>>);

impl Channels {
    pub(super) fn add(&self, user: UserId, buffer: Arc<Buffer>) {
        self.lock().entry(user).or_default().push(buffer);
    }

    pub(super) fn remove(&self, user: UserId, buffer: &Arc<Buffer>) {
        let mut channels = self.lock();
        let Some(buffers) = channels.get_mut(&user) else { return };
        buffers.retain(|other| !Arc::ptr_eq(other, buffer));
        if buffers.is_empty() {
            channels.remove(&user);
        }
    }

    fn of(&self, user: UserId) -> Vec<Arc<Buffer>> {
        self.lock().get(&user).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Arc<Buffer>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bus within one process.
#[derive(Debug, Default)]
pub struct InProcess {
    channels: Channels,
}

impl Bus for InProcess {
    fn publish(&self, user: UserId, events: &[Event]) {
        for buffer in self.channels.of(user) {
            events.iter().for_each(|event| buffer.push(event));
        }
    }

    fn subscribe(&self, user: UserId, topic: Topic) -> Subscription {
        Subscription::new(self.channels.clone(), user, topic)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;
    use crate::entity::ids::{ChatId, MessageId};
    use crate::events::Next;
    use crate::events::subscription::MAX_WAITING;

    const ADA: UserId = UserId(Uuid::from_u128(1));
    const BOB: UserId = UserId(Uuid::from_u128(2));
    const CHAT: ChatId = ChatId(Uuid::from_u128(3));
    const OTHER_CHAT: ChatId = ChatId(Uuid::from_u128(4));

    fn added(number: u128) -> Event {
        Event::MessageAdded(CHAT, MessageId(Uuid::from_u128(number)))
    }

    /// The next item, if one is ready.
    fn ready(subscription: &mut Subscription) -> Option<Next> {
        subscription.next().now_or_never()
    }

    #[test]
    fn events_after_the_start_reach_the_subscriptions_of_their_user_and_topic() {
        let bus = InProcess::default();
        let mut all = bus.subscribe(ADA, Topic::Chats);
        let mut one = bus.subscribe(ADA, Topic::Chat(OTHER_CHAT));
        let mut other_user = bus.subscribe(BOB, Topic::Chats);
        bus.publish(ADA, &[added(1)]);
        for subscription in [&mut all, &mut one, &mut other_user] {
            assert_eq!(ready(subscription), Some(Next::Started), "it replaces earlier events");
            assert_eq!(ready(subscription), None);
        }
        let changed = Event::ChatChanged(OTHER_CHAT);
        bus.publish(ADA, &[added(2), changed]);
        assert_eq!(ready(&mut all), Some(Next::Event(added(2))));
        assert_eq!(ready(&mut all), Some(Next::Event(changed)));
        assert_eq!(ready(&mut one), Some(Next::Event(changed)));
        for subscription in [&mut all, &mut one, &mut other_user] {
            assert_eq!(ready(subscription), None);
        }
    }

    #[test]
    fn equal_events_that_wait_are_merged() {
        let bus = InProcess::default();
        let mut subscription = bus.subscribe(ADA, Topic::Chats);
        ready(&mut subscription);
        for _ in 0..10 * MAX_WAITING {
            bus.publish(ADA, &[added(1), Event::ChatChanged(CHAT)]);
        }
        assert_eq!(ready(&mut subscription), Some(Next::Event(added(1))));
        bus.publish(ADA, &[added(1)]);
        assert_eq!(ready(&mut subscription), Some(Next::Event(Event::ChatChanged(CHAT))));
        assert_eq!(ready(&mut subscription), Some(Next::Event(added(1))), "a change after a delivery is delivered");
        assert_eq!(ready(&mut subscription), None);
    }

    #[test]
    fn a_subscription_that_lags_ends_and_others_do_not() {
        let bus = InProcess::default();
        let (mut slow, mut fast) = (bus.subscribe(ADA, Topic::Chats), bus.subscribe(ADA, Topic::Chats));
        assert_eq!((ready(&mut slow), ready(&mut fast)), (Some(Next::Started), Some(Next::Started)));
        for number in 0..=MAX_WAITING as u128 {
            bus.publish(ADA, &[added(number)]);
            assert_eq!(ready(&mut fast), Some(Next::Event(added(number))));
        }
        assert_eq!((ready(&mut slow), ready(&mut slow)), (Some(Next::Lagged), Some(Next::Lagged)));
        bus.publish(ADA, &[added(1)]);
        assert_eq!((ready(&mut slow), ready(&mut fast)), (Some(Next::Lagged), Some(Next::Event(added(1)))));
    }

    #[test]
    fn channels_without_subscriptions_use_no_memory() {
        let bus = InProcess::default();
        let (first, second) = (bus.subscribe(ADA, Topic::Chats), bus.subscribe(ADA, Topic::Chats));
        drop(first);
        assert_eq!(bus.channels.of(ADA).len(), 1);
        drop(second);
        assert!(bus.channels.lock().is_empty());
    }

    #[tokio::test]
    async fn a_waiting_subscription_wakes() {
        let bus = InProcess::default();
        let mut subscription = bus.subscribe(ADA, Topic::Chats);
        assert_eq!(subscription.next().await, Next::Started);
        let (next, ()) = tokio::join!(subscription.next(), async { bus.publish(ADA, &[added(1)]) });
        assert_eq!(next, Next::Event(added(1)));
    }
}
