//! Detects whether Pub/Sub answers.
//!
//! A stream without messages cannot distinguish a quiet topic from a network that drops everything. When nothing has
//! arrived for a while, the link therefore requests the subscription's description. It logs one warning when there is
//! no answer and one line when answers arrive again, and then has the streams reopened. A refusal counts as an
//! answer, because many accounts may pull from a subscription but not read its description.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{admin, connection::Connection, error::Error};

/// How often a quiet subscription is checked.
const QUIET_PERIOD: Duration = Duration::from_secs(5);
/// How often a subscription that does not answer is checked.
const OUTAGE_PERIOD: Duration = Duration::from_secs(1);

/// Whether Pub/Sub answers for a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Not known yet.
    #[default]
    Unknown,
    /// Pub/Sub answers.
    Up {
        /// Number of past outages.
        returns: u64,
    },
    /// Pub/Sub does not answer.
    Outage {
        /// Number of earlier outages.
        returns: u64,
    },
}

impl Link {
    /// Whether Pub/Sub answers.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// The state after a check.
    fn after(self, answered: bool) -> Self {
        match (self, answered) {
            (Self::Unknown, true) => Self::Up { returns: 0 },
            (Self::Unknown, false) => Self::Outage { returns: 0 },
            (Self::Outage { returns }, true) => Self::Up { returns: returns + 1 },
            (Self::Up { returns }, false) => Self::Outage { returns },
            (Self::Up { .. }, true) | (Self::Outage { .. }, false) => self,
        }
    }
}

/// Watches one subscription until it is stopped.
pub(crate) struct LinkWatch {
    pub(crate) connection: Connection,
    pub(crate) subscription: String,
    /// Responses received so far, over all streams.
    pub(crate) received: Arc<AtomicU64>,
    pub(crate) state: watch::Sender<Link>,
}

impl LinkWatch {
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut received = 0;
        while !stop.is_cancelled() {
            let now_received = self.received.load(Ordering::Relaxed);
            if now_received == received {
                let Some(answer) = stop.run_until_cancelled(self.ask()).await else { return };
                self.note(answer);
            } else {
                self.note(Ok(()));
            }
            received = now_received;
            let pause = if self.state.borrow().is_up() { QUIET_PERIOD } else { OUTAGE_PERIOD };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    async fn ask(&self) -> Result<(), Error> {
        match admin::get_subscription(&self.connection, &self.subscription).await {
            Err(error) if error.is_retryable() => Err(error),
            _ => Ok(()),
        }
    }

    fn note(&self, answer: Result<(), Error>) {
        let before = *self.state.borrow();
        let after = before.after(answer.is_ok());
        if after == before {
            return;
        }
        let subscription = &self.subscription;
        match (before, answer) {
            (_, Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(
                    subscription, endpoint = %self.connection.endpoint(), cause,
                    action = "check the network and the status of Google Cloud; messages remain in the subscription",
                    "Pub/Sub is unreachable; retrying"
                );
            }
            (Link::Unknown, Ok(())) => tracing::debug!(subscription, "connected to Pub/Sub"),
            (_, Ok(())) => tracing::info!(subscription, "Pub/Sub is reachable again"),
        }
        self.state.send_replace(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_reported_once() {
        let states: Vec<Link> = [false, false, true, true, false, true]
            .iter()
            .scan(Link::Unknown, |link, &answered| {
                *link = link.after(answered);
                Some(*link)
            })
            .collect();
        let (outage, up) = (|returns| Link::Outage { returns }, |returns| Link::Up { returns });
        assert_eq!(states, [outage(0), outage(0), up(1), up(1), outage(1), up(2)]);
        assert_eq!(Link::Unknown.after(true), up(0));
    }
}
