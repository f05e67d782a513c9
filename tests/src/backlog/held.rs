//! A backlog in the Pub/Sub stand-in: generated on delivery, out of order, with marks.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use standin::pubsub::{Made, Options, PubSub, Source};
use tokio::runtime::{Builder, Runtime};

use super::{
    Kind, Shape,
    beam::{Dropped, Rule, Windows},
    marks,
    message::Encoder,
    order::Lanes,
};
use crate::pipe::{PROJECT, Pipe};

/// How the backlog is delivered.
#[derive(Clone, Copy, Debug)]
pub struct Disorder {
    /// Number of lanes that deliver in parallel.
    pub lanes: u64,
    /// How many records the fastest lane may be ahead of the slowest.
    pub lead: u64,
    /// Window of waiting messages from which the next one is drawn at random.
    pub among: usize,
    /// Share of messages that are delivered twice.
    pub twice: f64,
}

/// A Pub/Sub stand-in with a backlog.
pub struct Held {
    pubsub: PubSub,
    until: Arc<AtomicI64>,
    rules: Arc<Mutex<Vec<Rule>>>,
    _runtime: Runtime,
}

/// Delay between writing a record and its message being in Pub/Sub.
const ON_ITS_WAY: i64 = 200;
/// Marks that are generated ahead of delivery.
const MARKS_AHEAD: usize = 200;

impl Held {
    /// A stand-in without a backlog. Configure it in a pipeline before `setup`.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(seed: u64) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let pubsub = runtime.block_on(PubSub::start(Options { seed, ..Options::default() }))?;
        let (until, rules) = (Arc::new(AtomicI64::new(i64::MIN)), Arc::default());
        Ok(Self { pubsub, until, rules, _runtime: runtime })
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.pubsub.host()
    }

    /// Fills the subscriptions of a pipeline with the backlog, and a mark at this interval in milliseconds. Computes what
    /// Beam's rule would do for these readers.
    ///
    /// # Errors
    /// The pipeline was not set up.
    pub fn lay(&self, pipe: &Pipe, shape: &Shape, disorder: Disorder, mark_every: i64) -> Result<()> {
        let faults = self.pubsub.faults();
        faults.reorder(disorder.among);
        faults.redeliver(disorder.twice);
        let events = Events {
            shape: shape.clone(),
            lanes: Lanes::new(disorder.lanes, disorder.lead, shape.seed),
            until: Arc::clone(&self.until),
            rules: Arc::clone(&self.rules),
            encoder: Encoder::default(),
        };
        let marks = Marks {
            shape: shape.clone(),
            every: mark_every,
            until: Arc::clone(&self.until),
            sequence: 0,
            covered: 0,
            encoder: Encoder::default(),
        };
        let name = |part: &str| format!("projects/{PROJECT}/subscriptions/{}-ctr{part}", pipe.name());
        self.pubsub.fill(&name(""), events, disorder.among)?;
        self.pubsub.fill(&name("-marks"), marks, MARKS_AHEAD)?;
        Ok(())
    }

    /// Delivers everything that was written until a time, then waits; messages that are published later follow.
    pub fn deliver_until(&self, time: i64) {
        self.until.store(time, Ordering::SeqCst);
    }

    /// From now on deliveries are also processed by Beam's rule: by a reader that starts with them, and by one that was
    /// idle before.
    pub fn compare_with_beam(&self, windows: Windows, now: i64) {
        let rules = vec![Rule::new(windows), Rule::idle_until(windows, now)];
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Events that Beam's rule would have dropped: for a reader that starts with the backlog, and for one that was idle
    /// before.
    ///
    /// # Errors
    /// Nothing was compared.
    pub fn dropped_by_beam(&self) -> Result<[Dropped; 2]> {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped: Vec<Dropped> = rules.iter().map(Rule::dropped).collect();
        dropped.try_into().ok().context("nothing was compared with Beam's rule")
    }

    /// The number of deliveries of events, including redeliveries.
    ///
    /// # Errors
    /// The pipeline was not set up.
    pub fn delivered(&self, pipe: &Pipe) -> Result<u64> {
        let name = format!("projects/{PROJECT}/subscriptions/{}-ctr", pipe.name());
        Ok(self.pubsub.counts(&name).context("there is such a subscription")?.delivered)
    }
}

/// The data messages.
#[derive(Debug)]
struct Events {
    shape: Shape,
    lanes: Lanes,
    until: Arc<AtomicI64>,
    rules: Arc<Mutex<Vec<Rule>>>,
    encoder: Encoder,
}

impl Source for Events {
    fn next(&mut self, now: u64) -> Option<Made> {
        let now = i64::try_from(now).ok()?;
        let until = self.until.load(Ordering::Relaxed).min(now - ON_ITS_WAY);
        let end = self.shape.written_by(until);
        loop {
            let record = self.shape.record(self.lanes.next(end)?);
            if record.kind == Kind::Refused {
                continue;
            }
            for rule in self.rules.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                rule.read(now, record.time);
            }
            return Some(made(record.written, self.encoder.message(&self.shape, &record)));
        }
    }
}

/// The marks.
#[derive(Debug)]
struct Marks {
    shape: Shape,
    every: i64,
    until: Arc<AtomicI64>,
    sequence: u64,
    /// Records that marks have covered.
    covered: u64,
    encoder: Encoder,
}

impl Source for Marks {
    fn next(&mut self, now: u64) -> Option<Made> {
        let (halt, present) = (self.until.load(Ordering::Relaxed), i64::try_from(now).ok()? - ON_ITS_WAY);
        let due = self.shape.start + i64::try_from(self.sequence).ok()? * self.every;
        // The last one before a stop is at the stop, at any pace.
        let is_due = due <= halt.min(present);
        if !is_due && halt > present {
            return None;
        }
        let time = if is_due { due } else { halt };
        let written = self.shape.written_by(time);
        if !is_due && written <= self.covered {
            return None;
        }
        let mark = marks::mark(&self.shape, self.sequence + 1, time, self.covered, written);
        self.sequence += u64::from(is_due);
        self.covered = self.covered.max(written);
        Some(made(time, self.encoder.plain(mark.to_string().as_bytes())))
    }
}

fn made(written: i64, message: Bytes) -> Made {
    Made { published: u64::try_from(written + ON_ITS_WAY).unwrap_or(0), message }
}
