//! Messages that are made while they are delivered, so that a backlog of any length needs no room.
//!
//! Not here: what a message holds, and in which order a backlog comes; that is whoever brings the source.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};

use super::{
    subscription::{Millis, Stored, Subscription},
    wire,
};

/// A message of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// When it was published, milliseconds since the epoch.
    pub published: u64,
    /// An encoded `google.pubsub.v1.PubsubMessage` without id and publish time.
    pub message: Bytes,
}

/// Makes the messages of one subscription.
pub trait Source: Debug + Send {
    /// The next message in the order of delivery, at a time (ms since the epoch); nothing while there is none.
    fn next(&mut self, now: u64) -> Option<Made>;
}

/// A source with its subscription.
#[derive(Debug)]
pub(super) struct Feed {
    source: Box<dyn Source>,
    /// So many messages are made before they are delivered: disorder among them is the faults'.
    ahead: usize,
    buffer: BytesMut,
}

/// A source that had nothing is asked again after that long.
pub(super) const ASK_AGAIN: Millis = 20;

impl Feed {
    pub(super) fn new(source: Box<dyn Source>, ahead: usize) -> Self {
        Self { source, ahead: ahead.max(1), buffer: BytesMut::new() }
    }

    /// Fills up what waits in the subscription.
    pub(super) fn fill(&mut self, subscription: &mut Subscription, next_message: &mut u64, now: Millis) {
        while subscription.waiting() < self.ahead {
            let Some(made) = self.source.next(now) else { return };
            let raw = wire::with_receipt(&made.message, *next_message, made.published, &mut self.buffer);
            subscription.push(Stored { published: made.published, raw });
            *next_message += 1;
        }
    }
}
