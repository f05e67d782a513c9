//! Messages that are generated during delivery, so that a backlog of any length needs no memory.
//!
//! The caller's [`Source`] decides the contents and the order of the messages.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};

use super::{
    subscription::{Millis, Stored, Subscription},
    wire,
};

/// A message of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// When it was published, in milliseconds since the epoch.
    pub published: u64,
    /// An encoded `google.pubsub.v1.PubsubMessage` without ID and publish time.
    pub message: Bytes,
}

/// Generates the messages of one subscription.
pub trait Source: Debug + Send {
    /// The next message in the order of delivery at this time (milliseconds since the epoch); `None` if there is none
    /// yet.
    fn next(&mut self, now: u64) -> Option<Made>;
}

/// A source and its buffer.
#[derive(Debug)]
pub(super) struct Feed {
    source: Box<dyn Source>,
    /// How many messages are generated ahead of their delivery. Faults reorder messages among these.
    ahead: usize,
    buffer: BytesMut,
}

/// How long to wait before asking a source again that had no message.
pub(super) const ASK_AGAIN: Millis = 20;

impl Feed {
    pub(super) fn new(source: Box<dyn Source>, ahead: usize) -> Self {
        Self { source, ahead: ahead.max(1), buffer: BytesMut::new() }
    }

    /// Generates messages until the subscription has enough waiting ones.
    pub(super) fn fill(&mut self, subscription: &mut Subscription, next_message: &mut u64, now: Millis) {
        while subscription.waiting() < self.ahead {
            let Some(made) = self.source.next(now) else { return };
            let raw = wire::with_receipt(&made.message, *next_message, made.published, &mut self.buffer);
            subscription.push(Stored { published: made.published, raw });
            *next_message += 1;
        }
    }
}
