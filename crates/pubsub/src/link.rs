//! Whether Pub/Sub answers.
//!
//! A stream without messages does not tell a quiet topic from a network that swallows everything. So a link asks for
//! the subscription whenever nothing has come for a while: it warns once when no answer comes, says once that answers
//! come again, and has the streams opened anew at once. An answer that refuses is an answer:
//! many accounts may pull from a subscription, but not look at it.

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

/// A quiet subscription is asked for that often, ...
const QUIET_PERIOD: Duration = Duration::from_secs(5);
/// ... and one that does not answer that often.
const AWAY_PERIOD: Duration = Duration::from_secs(1);

/// What is known of the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It answers. Counts how often it came back.
    Up {
        /// Outages that are over.
        returns: u64,
    },
    /// It does not answer.
    Away {
        /// Outages before this one.
        returns: u64,
    },
}

impl Link {
    /// Whether it answers.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// The state after it answered or did not.
    fn after(self, answered: bool) -> Self {
        match (self, answered) {
            (Self::Unknown, true) => Self::Up { returns: 0 },
            (Self::Unknown, false) => Self::Away { returns: 0 },
            (Self::Away { returns }, true) => Self::Up { returns: returns + 1 },
            (Self::Up { returns }, false) => Self::Away { returns },
            (Self::Up { .. }, true) | (Self::Away { .. }, false) => self,
        }
    }
}

/// Watches one subscription until told to stop.
pub(crate) struct LinkWatch {
    pub(crate) connection: Connection,
    pub(crate) subscription: String,
    /// Responses received so far, by all streams.
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
            let pause = if self.state.borrow().is_up() { QUIET_PERIOD } else { AWAY_PERIOD };
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
                    action = "see the network and Google Cloud's status; messages wait in the subscription meanwhile",
                    "Pub/Sub does not answer; going on trying"
                );
            }
            (Link::Unknown, Ok(())) => tracing::debug!(subscription, "connected to Pub/Sub"),
            (_, Ok(())) => tracing::info!(subscription, "Pub/Sub answers again"),
        }
        self.state.send_replace(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_noted_once_and_so_is_its_end() {
        let states: Vec<Link> = [false, false, true, true, false, true]
            .iter()
            .scan(Link::Unknown, |link, &answered| {
                *link = link.after(answered);
                Some(*link)
            })
            .collect();
        let (away, up) = (|returns| Link::Away { returns }, |returns| Link::Up { returns });
        assert_eq!(states, [away(0), away(0), up(1), up(1), away(1), up(2)]);
        assert_eq!(Link::Unknown.after(true), up(0));
    }
}
