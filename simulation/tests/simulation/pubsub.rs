//! The simulated Pub/Sub: two topics with one subscription each, at-least-once delivery in any order.

use std::{rc::Rc, sync::Arc};

use event::Partition;

use crate::{kafka::Happening, wire::WireMark};

/// Which subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Marks,
}

/// The content of a message.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Data {
        partition: Arc<Partition>,
        /// More than one only in a pack.
        records: Vec<Sent>,
        form: Form,
    },
    Mark(Rc<WireMark>),
}

/// A record in a message.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) offset: u64,
    pub(crate) timestamp: i64,
    pub(crate) event: Rc<Happening>,
}

/// The format of a data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Single,
    Pack,
    /// A rejected record that the redrive with this number published again.
    Redrive(u64),
    /// Only the next version can read it.
    Next,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) body: Body,
    pub(crate) published: i64,
    pub(crate) is_acked: bool,
    /// It is never delivered.
    pub(crate) is_vanished: bool,
    /// It is delivered much later than everything else.
    pub(crate) is_stalled: bool,
    /// Who received it last: the worker, and how often that had started.
    pub(crate) lease: Option<(usize, u32)>,
    pub(crate) deliveries: u64,
}

/// The service.
#[derive(Debug, Default)]
pub(crate) struct PubSub {
    pub(crate) messages: Vec<Message>,
    /// Messages that can be delivered now.
    data: Vec<usize>,
    marks: Vec<usize>,
}

impl Message {
    pub(crate) fn kind(&self) -> Kind {
        match self.body {
            Body::Data { .. } => Kind::Data,
            Body::Mark(_) => Kind::Marks,
        }
    }
}

impl PubSub {
    pub(crate) fn publish(&mut self, body: Body, now: i64) -> usize {
        self.messages.push(Message {
            body,
            published: now,
            is_acked: false,
            is_vanished: false,
            is_stalled: false,
            lease: None,
            deliveries: 0,
        });
        self.messages.len() - 1
    }

    /// The message can be delivered, perhaps again.
    pub(crate) fn ready(&mut self, message: usize) {
        if self.messages[message].is_acked {
            return;
        }
        match self.messages[message].kind() {
            Kind::Data => self.data.push(message),
            Kind::Marks => self.marks.push(message),
        }
    }

    /// Delivers any message.
    pub(crate) fn pull(&mut self, kind: Kind, draw: u64) -> Option<usize> {
        let ready = match kind {
            Kind::Data => &mut self.data,
            Kind::Marks => &mut self.marks,
        };
        if ready.is_empty() {
            return None;
        }
        let at = (draw % ready.len() as u64) as usize;
        Some(ready.swap_remove(at))
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.messages.iter().filter(|m| !m.is_acked && !m.is_vanished).count()
    }
}
