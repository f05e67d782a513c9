//! The loop that sends acknowledgements, lease extensions and nacks for one subscription. See [`crate::leases`] for
//! what is due.
//!
//! They are unary calls instead of messages on the streams, so that they do not depend on the stream that delivered
//! the messages. Acknowledgements are not confirmed: if one is lost, the message is redelivered, which at-least-once
//! delivery allows anyway.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use google::Caller;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    call,
    leases::{Leases, Work},
};

/// The leases, shared by streams, handles and the loop.
#[derive(Debug)]
pub(crate) struct Register {
    leases: Mutex<Leases>,
    /// Notified when something is due to be sent.
    work: Notify,
    /// Notified when messages are no longer held.
    freed: Notify,
}

/// Sends for one subscription.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    pub(crate) register: Arc<Register>,
    pub(crate) caller: Caller,
    pub(crate) subscription: Arc<str>,
}

const ACKNOWLEDGE: &str = "/google.pubsub.v1.Subscriber/Acknowledge";
const MODIFY: &str = "/google.pubsub.v1.Subscriber/ModifyAckDeadline";
/// How often leases are checked.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Maximum number of concurrent calls.
const CALLS: usize = 16;

impl Register {
    pub(crate) fn new(leases: Leases) -> Self {
        Self { leases: Mutex::new(leases), work: Notify::new(), freed: Notify::new() }
    }

    /// The leases. They are consistent after every call, even if it panicked.
    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acknowledges or returns responses, and wakes the loop.
    pub(crate) fn settle(&self, change: impl FnOnce(&mut Leases)) {
        change(&mut self.leases());
        self.work.notify_one();
        self.freed.notify_waiters();
    }

    /// Waits until a stream with a limit of `most` messages holds at most half of them.
    pub(crate) async fn room(&self, stream: usize, most: usize) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // Enabled before the check, so that a notification between the check and the wait is not lost.
            freed.as_mut().enable();
            if self.leases().outstanding(stream) <= most / 2 {
                return;
            }
            freed.await;
        }
    }
}

impl Keeper {
    /// Runs until `closing` is cancelled and nothing is held or waits to be sent.
    pub(crate) async fn run(self, closing: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                () = self.register.work.notified() => {}
                _ = look.tick() => {
                    self.register.leases().look(Instant::now());
                    self.register.freed.notify_waiters();
                }
                Some(_) = calls.join_next() => {}
                () = closing.cancelled(), if calls.is_empty() && self.register.leases().is_settled() => return,
            }
            while calls.len() < CALLS
                && let Some(work) = self.next()
            {
                calls.spawn(self.clone().send(work));
            }
        }
    }

    fn next(&self) -> Option<Work> {
        self.register.leases().next()
    }

    async fn send(self, work: Work) {
        match work {
            Work::Acknowledge(request) => {
                self.call(ACKNOWLEDGE, request).await;
            }
            Work::GiveBack(request) => {
                self.call(MODIFY, request).await;
            }
            Work::Extend(numbers, requests) => {
                let sent = Instant::now();
                let is_done = self.extend(requests).await;
                self.register.leases().extended(&numbers, is_done.then_some(sent));
            }
        }
    }

    async fn extend(&self, requests: Vec<Bytes>) -> bool {
        for request in requests {
            if !self.call(MODIFY, request).await {
                return false;
            }
        }
        true
    }

    /// Whether the call succeeded. Google's front ends close each connection after an hour; a call that is
    /// interrupted by this is made once more.
    async fn call(&self, method: &'static str, request: Bytes) -> bool {
        for _ in 0..2 {
            match call::about_subscription(&self.caller, method, &self.subscription, request.clone()).await {
                Ok(()) => return true,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::debug!(
                        method,
                        subscription = &*self.subscription,
                        cause,
                        "lease request failed"
                    );
                    if !error.is_retryable() {
                        return false;
                    }
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{leases::Terms, requests::tests::ids};

    /// Without the wait, a stream that replaces a broken one could deliver its full limit again.
    #[tokio::test(start_paused = true)]
    async fn another_stream_waits_for_half_its_window() {
        let terms = Terms { lease: Duration::from_secs(10), longest: Duration::from_secs(100) };
        let register = Register::new(Leases::new("s", terms, 1));
        let mut hold = |name| register.leases().hold(0, ids([name]), Duration::ZERO, Instant::now());
        let numbers = ["a", "b", "c"].map(&mut hold);
        let begin = Instant::now();
        let free = async {
            for number in numbers {
                tokio::time::sleep(Duration::from_secs(1)).await;
                register.settle(|leases| leases.acknowledge(number));
            }
        };
        let room = async {
            register.room(0, 3).await;
            begin.elapsed()
        };
        let (waited, ()) = tokio::join!(room, free);
        assert_eq!(waited, Duration::from_secs(2));
    }
}
