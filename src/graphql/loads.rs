//! The loads of one request run on the task of the request, after its resolvers were polled. Everything that one level
//! of the document requests is therefore one batch. On a task of its own, a load would start on another thread while
//! resolvers still add keys, and a page would take a statement for every few of its items.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::{BoxFuture, poll_fn};
use futures_util::stream::{self, BoxStream, FuturesUnordered, Stream, StreamExt as _};

/// The loads that were requested and not started yet. Cheap to clone.
#[derive(Clone, Default)]
pub struct Loads(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Loads {
    /// Adds a load.
    pub fn push(&self, load: BoxFuture<'static, ()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(load);
    }

    /// Runs resolvers together with the loads that they request.
    pub async fn run<T>(self, resolvers: impl Future<Output = T>) -> T {
        let (mut resolvers, mut running) = (pin!(resolvers), Running::default());
        poll_fn(|context| self.poll(context, &mut running, |context| resolvers.as_mut().poll(context))).await
    }

    /// Runs the resolvers of a subscription together with the loads that they request.
    pub fn run_stream<T: 'static>(self, mut events: BoxStream<'static, T>) -> impl Stream<Item = T> + Send + 'static {
        let mut running = Running::default();
        stream::poll_fn(move |context| self.poll(context, &mut running, |context| events.poll_next_unpin(context)))
    }

    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        running: &mut Running,
        mut resolvers: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let resolvers_waker = running.watch(context.waker());
        loop {
            running.woken.is_woken.store(false, Ordering::Release);
            if let Poll::Ready(result) = resolvers(&mut Context::from_waker(&resolvers_waker)) {
                return Poll::Ready(result);
            }
            // Resolvers that woke themselves are not through with their level: joined futures yield after a few.
            let is_level_complete = !running.woken.is_woken.load(Ordering::Acquire);
            if is_level_complete {
                running.loads.extend(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)));
            }
            // A load that ended lets resolvers continue.
            let mut has_ended = false;
            while let Poll::Ready(Some(())) = running.loads.poll_next_unpin(context) {
                has_ended = true;
            }
            if !has_ended {
                return Poll::Pending;
            }
        }
    }
}

/// The loads that run, and whether the resolvers were woken since they were last polled.
#[derive(Default)]
struct Running {
    loads: FuturesUnordered<BoxFuture<'static, ()>>,
    woken: Arc<Woken>,
}

impl Running {
    /// A waker for the resolvers, which wakes the task and is noted.
    fn watch(&self, task: &Waker) -> Waker {
        *self.woken.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
        Waker::from(Arc::clone(&self.woken))
    }
}

#[derive(Default)]
struct Woken {
    is_woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    /// As an executor polls the fields of many objects: nested joins, which yield after a few of their futures.
    #[tokio::test]
    async fn a_level_of_nested_fields_is_one_batch() {
        let (loads, keys) = (Loads::default(), Arc::new(Mutex::new(Vec::new())));
        let (done, finished) = tokio::sync::watch::channel(0);
        let (queue, batches) = (loads.clone(), Arc::new(Mutex::new(Vec::new())));
        let field = async |key: usize| {
            let is_first = {
                let mut keys = keys.lock().unwrap();
                keys.push(key);
                keys.len() == 1
            };
            if is_first {
                let (keys, batches, done) = (Arc::clone(&keys), Arc::clone(&batches), done.clone());
                queue.push(Box::pin(async move {
                    batches.lock().unwrap().push(std::mem::take(&mut *keys.lock().unwrap()).len());
                    done.send_modify(|count| *count += 1);
                }));
            }
            finished.clone().wait_for(|count| *count > 0).await.unwrap();
        };
        let object = async |number: usize| {
            join_all((0..40).map(|place| field(number * 40 + place))).await;
        };
        loads.clone().run(join_all((0..90).map(object))).await;
        assert_eq!(*batches.lock().unwrap(), [3_600]);
    }
}
