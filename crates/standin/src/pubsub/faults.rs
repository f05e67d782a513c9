//! The faults of a running server, switched on and off by a test.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, watch};
use tonic::{Code, Status};

use super::{broker::Broker, subscription::Chaos};

/// Controls the faults of a running server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Faults {
    pub(super) broker: Arc<Mutex<Broker>>,
    plan: Arc<Mutex<Plan>>,
    /// How often streams were cut.
    cuts: watch::Sender<u64>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Plan {
    down: bool,
    failing_publishes: Option<(u64, Code)>,
    lost_answers: u64,
    delay: Duration,
}

/// The result of one publish request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    /// The messages are published, but the answer is UNAVAILABLE.
    AnswerLost,
}

impl Faults {
    pub(super) fn new(broker: Arc<Mutex<Broker>>, wake: Arc<Notify>) -> Self {
        Self { broker, plan: Arc::default(), cuts: watch::Sender::new(0), wake }
    }

    /// Redelivers this share of messages (0 to 0.9) once within two seconds, acknowledged or not.
    pub fn redeliver(&self, share: f64) {
        self.chaos(|chaos| chaos.redeliver = share.clamp(0.0, 0.9));
    }

    /// Delivers in random order among the next `window` waiting messages; 0 for the original order.
    pub fn reorder(&self, window: usize) {
        self.chaos(|chaos| chaos.reorder = window);
    }

    /// While true, every call is answered with UNAVAILABLE. Open streams continue.
    pub fn refuse(&self, refuse: bool) {
        self.plan().down = refuse;
    }

    /// While true, every call is answered with UNAVAILABLE, and open streams end with it.
    pub fn down(&self, down: bool) {
        self.refuse(down);
        if down {
            self.cut_streams();
        }
    }

    /// Refuses the next `count` publish requests with this code.
    pub fn fail_publishes(&self, count: u64, code: Code) {
        self.plan().failing_publishes = Some((count, code));
    }

    /// Publishes the messages of the next `count` requests, but answers UNAVAILABLE.
    pub fn lose_answers(&self, count: u64) {
        self.plan().lost_answers = count;
    }

    /// Delays every publish request and every delivery.
    pub fn delay(&self, delay: Duration) {
        self.plan().delay = delay;
    }

    /// Ends every open stream with UNAVAILABLE. New streams can be opened.
    pub fn cut_streams(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(super) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }

    pub(super) fn wait(&self) -> Duration {
        self.plan().delay
    }

    /// UNAVAILABLE while the server is down.
    pub(super) fn reachable(&self) -> Result<(), Status> {
        if self.plan().down { Err(Status::unavailable("the stand-in is down")) } else { Ok(()) }
    }

    /// The result of the next publish request, or the status that refuses it.
    pub(super) fn of_publish(&self) -> Result<Fate, Status> {
        let mut plan = self.plan();
        if let Some((count, code)) = &mut plan.failing_publishes
            && *count > 0
        {
            *count -= 1;
            return Err(Status::new(*code, "rejected by an injected fault"));
        }
        if plan.lost_answers > 0 {
            plan.lost_answers -= 1;
            return Ok(Fate::AnswerLost);
        }
        Ok(Fate::Answered)
    }

    fn chaos(&self, change: impl FnOnce(&mut Chaos)) {
        change(&mut locked(&self.broker).chaos);
        self.wake.notify_waiters();
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        locked(&self.plan)
    }
}

/// Locks a mutex. The state behind it is consistent after every call, even if it panicked.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
