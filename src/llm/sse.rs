//! Parses server-sent events within limits (WHATWG HTML, section 9.2.6).
//!
//! `eventsource-stream` 0.2.3 does the parsing. On its own it panics on a leading byte order mark, drops a last event
//! without a blank line, takes quadratic time on small chunks, has no limit, and does not recover from invalid UTF-8.
//! Therefore [`Lines`] passes it complete lines of valid text only, each with one line feed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use eventsource_stream::{Event, EventStream as Parser, EventStreamError};
use futures_util::{Stream, StreamExt as _};

/// Maximum size of an event, in bytes, including names and line ends. Typical events have some hundred bytes; a tool
/// result may be one event.
pub(super) const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Why there are no more events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken<E> {
    /// An event is longer than [`MAX_EVENT_BYTES`].
    TooLong,
    /// Reading the bytes failed.
    Transport(E),
}

/// The events in `bytes`. Nothing follows an error. An event that is cut off by the end of the bytes is returned
/// incomplete; the reader detects this.
pub(super) fn events<S, E>(bytes: S) -> impl Stream<Item = Result<Event, Broken<E>>> + Send
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Send,
{
    Parser::new(Lines::new(bytes)).filter_map(|event| {
        std::future::ready(match event {
            Ok(event) => Some(Ok(event)),
            Err(EventStreamError::Transport(broken)) => Some(Err(broken)),
            // Cannot occur: lines are valid UTF-8, and the grammar accepts every line.
            Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)) => None,
        })
    })
}

/// Splits bytes into lines.
struct Lines<S> {
    bytes: S,
    chunk: Bytes,
    /// The current incomplete line.
    line: Vec<u8>,
    /// The size of the event's previous lines, in bytes.
    event_bytes: usize,
    /// A line feed now belongs to the preceding carriage return.
    after_return: bool,
    is_first_line: bool,
    /// The remaining lines after the end of the bytes.
    ending: Option<VecDeque<String>>,
}

impl<S> Lines<S> {
    fn new(bytes: S) -> Self {
        Self {
            bytes,
            chunk: Bytes::new(),
            line: Vec::new(),
            event_bytes: 0,
            after_return: false,
            is_first_line: true,
            ending: None,
        }
    }

    /// Takes from the chunk up to the end of a line, if there is one.
    fn next_line(&mut self) -> Option<String> {
        if self.after_return && !self.chunk.is_empty() {
            self.after_return = false;
            if self.chunk[0] == b'\n' {
                let _ = self.chunk.split_to(1);
            }
        }
        let Some(end) = self.chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.line.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return None;
        };
        self.after_return = self.chunk[end] == b'\r';
        let rest = self.chunk.split_off(end + 1);
        self.line.reserve_exact(end + 1);
        self.line.extend_from_slice(&self.chunk[..end]);
        self.chunk = rest;
        Some(self.finish_line())
    }

    fn finish_line(&mut self) -> String {
        match self.line.first() {
            None => self.event_bytes = 0,
            // The parser ignores comments.
            Some(b':') => {}
            Some(_) => self.event_bytes += self.line.len() + 1,
        }
        let mut bytes = std::mem::take(&mut self.line);
        bytes.push(b'\n');
        let line = String::from_utf8(bytes);
        let line = line.unwrap_or_else(|invalid| String::from_utf8_lossy(invalid.as_bytes()).into_owned());
        if std::mem::take(&mut self.is_first_line) {
            // The parser slices off a leading byte order mark incorrectly.
            return line.trim_start_matches('\u{feff}').to_owned();
        }
        line
    }

    fn is_too_long(&self) -> bool {
        self.event_bytes + self.line.len() > MAX_EVENT_BYTES
    }
}

impl<S, E> Stream for Lines<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<String, Broken<E>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(ending) = &mut this.ending {
                return Poll::Ready(ending.pop_front().map(Ok));
            }
            if let Some(line) = this.next_line() {
                if this.is_too_long() {
                    this.ending = Some(VecDeque::new());
                    return Poll::Ready(Some(Err(Broken::TooLong)));
                }
                return Poll::Ready(Some(Ok(line)));
            }
            if this.is_too_long() {
                this.ending = Some(VecDeque::new());
                return Poll::Ready(Some(Err(Broken::TooLong)));
            }
            match std::task::ready!(this.bytes.poll_next_unpin(context)) {
                Some(Ok(chunk)) => this.chunk = chunk,
                Some(Err(cause)) => {
                    this.ending = Some(VecDeque::new());
                    return Poll::Ready(Some(Err(Broken::Transport(cause))));
                }
                None => this.ending = Some(VecDeque::from([this.finish_line(), "\n".to_owned()])),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    /// The events of `bytes` that come in chunks of `size`, as (name, data).
    async fn read(bytes: &[u8], size: usize) -> Vec<Result<(String, String), Broken<Infallible>>> {
        let chunks = bytes.chunks(size.max(1)).map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
        events(stream::iter(chunks.collect::<Vec<_>>())).map(|event| event.map(|e| (e.event, e.data))).collect().await
    }

    fn named(name: &str, data: &str) -> Result<(String, String), Broken<Infallible>> {
        Ok((name.to_owned(), data.to_owned()))
    }

    #[tokio::test]
    async fn every_line_end_and_every_chunk_size_give_the_same_events() {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = format!(
                "\u{feff}event: a{line_end}data: née 🦀{line_end}{line_end}: note{line_end}{line_end}data:1{line_end}data: 2{line_end}{line_end}"
            );
            for size in 1..=text.len() {
                let expected = [named("a", "née 🦀"), named("message", "1\n2")];
                assert_eq!(read(text.as_bytes(), size).await, expected, "{line_end:?} in chunks of {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_last_event_without_a_blank_line_is_returned() {
        assert_eq!(read(b"data: 1\n\ndata: 2", 3).await, [named("message", "1"), named("message", "2")]);
        assert_eq!(read(b"data: 1\n", 3).await, [named("message", "1")]);
        assert_eq!(read(b"", 1).await, []);
        assert_eq!(read(b"\xef\xbb", 1).await, []);
    }

    #[tokio::test]
    async fn byte_order_marks_do_not_panic() {
        assert_eq!(read("\u{feff}\u{feff}data: 1\n\n".as_bytes(), 2).await, [named("message", "1")]);
        assert_eq!(read("data: \u{feff}\n\n".as_bytes(), 2).await, [named("message", "\u{feff}")]);
    }

    #[tokio::test]
    async fn invalid_utf_8_affects_only_its_own_line() {
        let read = read(b"data: a\xff\xf0\x9fb\n\ndata: c\n\n", 1).await;
        assert_eq!(read, [named("message", "a\u{fffd}\u{fffd}b"), named("message", "c")]);
    }

    #[tokio::test]
    async fn an_event_may_be_as_long_as_the_limit_and_no_longer() {
        // "data: " and the line end are counted.
        let fits = format!("data: {}\n\ndata: 2\n\n", "x".repeat(MAX_EVENT_BYTES - 7));
        let events = read(fits.as_bytes(), 8192).await;
        assert_eq!((events.len(), &events[1]), (2, &named("message", "2")));

        let too_long = fits.replacen("x", "xx", 1);
        assert_eq!(read(too_long.as_bytes(), 8192).await, [Err(Broken::TooLong)]);

        let many_lines = "data: x\n".repeat(MAX_EVENT_BYTES / 8 + 1);
        assert_eq!(read(many_lines.as_bytes(), 8192).await, [Err(Broken::TooLong)]);

        let comments = ": still here, without a blank line\n".repeat(MAX_EVENT_BYTES / 8) + "data: 1\n\n";
        assert_eq!(read(comments.as_bytes(), 8192).await, [named("message", "1")]);
    }

    #[tokio::test]
    async fn an_endless_line_is_not_buffered() {
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4096])));
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = taken.clone();
        let counted = endless.inspect(move |_| {
            counter.fetch_add(4096, std::sync::atomic::Ordering::Relaxed);
        });
        let read: Vec<_> = events(counted).collect().await;
        assert_eq!(read, [Err(Broken::TooLong)]);
        assert!(taken.load(std::sync::atomic::Ordering::Relaxed) <= MAX_EVENT_BYTES + 4096);
    }

    #[tokio::test]
    async fn a_transport_error_ends_the_events() {
        let bytes = stream::iter([Ok(Bytes::from_static(b"data: 1\n\ndata: 2")), Err("reset"), Ok(Bytes::new())]);
        let read: Vec<_> = events(bytes).map(|event| event.map(|e| e.data)).collect().await;
        assert_eq!(read, [Ok("1".to_owned()), Err(Broken::Transport("reset"))]);
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_matter(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b'd'), any::<u8>()], 0..200), size in 1_usize..20) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                prop_assert_eq!(read(&bytes, size).await, read(&bytes, 1000).await);
                Ok(())
            })?;
        }
    }
}
