//! Delivers the events of a subscription in order. The bus carries only ids: the content of an event is read from the
//! database just before it is sent.

use futures_util::stream::{self, Stream};

use crate::domain::{Error, Result};
use crate::events::{Event, Next, Subscription};

/// The items of a subscription: what `read` makes of each event, and of none for its start. Events for which `read`
/// returns none are skipped. The stream ends only with an error: [`Error::lagged`] if the reader is too slow, or an
/// error of `read`.
pub(super) fn deliver<T, R, F>(subscription: Subscription, read: R) -> impl Stream<Item = Result<T>> + Send
where
    T: Send,
    R: Fn(Option<Event>) -> F + Send + 'static,
    F: Future<Output = Result<Option<T>>> + Send,
{
    stream::unfold((Some(subscription), read), |(subscription, read)| async move {
        let mut subscription = subscription?;
        loop {
            let item = match subscription.next().await {
                Next::Started => read(None).await,
                Next::Event(event) => read(Some(event)).await,
                Next::Lagged => Err(Error::lagged()),
            };
            match item {
                Ok(None) => {}
                Ok(Some(item)) => return Some((Ok(item), (Some(subscription), read))),
                Err(cause) => return Some((Err(cause), (None, read))),
            }
        }
    })
}
