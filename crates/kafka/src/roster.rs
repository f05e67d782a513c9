//! A membership that only says who is there: the members of a consumer group, as its coordinator lists them.
//!
//! The group's coordinator decides who is a member: it drops one that has been silent for `session.timeout.ms`, whether its
//! process was killed, frozen or cut off. Each member is listed with its `client.id`. Nothing is read.

use std::time::{Duration, Instant};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use crate::{
    Brokers, KafkaConfig,
    client::{
        self, ANSWER_TIMEOUT, client_config,
        context::{Callback, Context},
        faults::{self, Fault},
        find_again,
    },
    error::Error,
};

/// A member of the group of a configuration, subscribed to its first topic.
pub struct Roster {
    consumer: BaseConsumer<Context>,
    brokers: Brokers,
    config: KafkaConfig,
}

/// What the coordinator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The `client.id` of each member.
    Members(Vec<String>),
    /// A rebalance is in progress, and with it the members change.
    Forming,
    /// It does not answer.
    Unanswered,
}

/// How long a poll waits.
const POLL: Duration = Duration::from_millis(100);

impl Roster {
    /// Begins to join the group.
    ///
    /// # Errors
    /// [`Error::Client`] if librdkafka rejects the configuration.
    pub fn join(config: &KafkaConfig) -> Result<Self, Error> {
        let rejected = |error: KafkaError| Error::Client { source: error.into() };
        let consumer =
            client::create(&client_config(config.consumer()), Context::default()).map_err(rejected)?;
        let topics: Vec<&str> = config.topics.iter().map(|topic| &**topic).take(1).collect();
        consumer.subscribe(&topics).map_err(rejected)?;
        Ok(Self { consumer, brokers: Brokers::new(config)?, config: config.clone() })
    }

    /// Serves the membership for this long, and asks for the members. Blocks, for some seconds more if the coordinator does
    /// not answer.
    ///
    /// # Errors
    /// If this member cannot be one, for example because the group is of another kind.
    pub fn look(&mut self, wait: Duration) -> Result<Look, Error> {
        let end = Instant::now() + wait;
        loop {
            self.serve(end.saturating_duration_since(Instant::now()).min(POLL))?;
            if Instant::now() >= end {
                break;
            }
        }
        match self.brokers.group(&self.config.group_id, ANSWER_TIMEOUT) {
            Ok(group) if group.is_stable => Ok(Look::Members(group.clients)),
            Ok(_) => Ok(Look::Forming),
            Err(code) => {
                tracing::debug!(%code, "no list of the group's members");
                self.brokers.serve(client::brokers::SERVE);
                Ok(Look::Unanswered)
            }
        }
    }

    fn serve(&self, wait: Duration) -> Result<(), Error> {
        // What was fetched before its partition was paused is dropped.
        if let Some(Err(error)) = self.consumer.poll(wait) {
            match faults::judge(&error, &self.config) {
                Fault::Final(error) => return Err(error),
                Fault::Passing(_) | Fault::OutOfRange => tracing::debug!(%error, "transient Kafka error"),
            }
        }
        find_again(&self.consumer, &self.config.bootstrap_servers, "roster");
        for callback in self.consumer.context().take() {
            let answer = match callback {
                Callback::Assign(list) => self.take(&list),
                Callback::Revoke(list) => self.consumer.incremental_unassign(&list),
                Callback::Committed(_) => Ok(()),
            };
            if let Err(error) = answer {
                tracing::debug!(%error, "cannot answer a rebalance");
            }
        }
        Ok(())
    }

    fn take(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        self.consumer.incremental_assign(list)?;
        self.consumer.pause(list)
    }

    /// Leaves the group. Returns whether that was done in time. Blocks.
    pub fn leave(self) -> bool {
        client::close(self.consumer)
    }
}
