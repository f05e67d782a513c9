//! A Pub/Sub topic: each row is a message.
//!
//! A topic is only written. It has no offsets that could refuse a repetition, so a repeated append publishes its rows again
//! with the same stream and offsets, and a reader removes repetitions by these two attributes. Nothing is ever added in part
//! and refused in part: rows that are too large are found before, and everything else that Pub/Sub refuses concerns the topic.

mod body;

use std::sync::Arc;

use async_trait::async_trait;
use flow::{
    append::{Append, Appended, Body, Rows, Table},
    row::{DeadLetterRow, ProgressRow},
};
use futures::{TryStreamExt as _, stream};
use pubsub::{Connection, Publisher, admin};

use crate::{
    Backend, LatestRow, Letters, PubSubConfig, Refusals, WriterError,
    backend::{Mode, Place},
    schema::Tables,
    settings::TopicPath,
    writer::{Claim, State, Step},
};

/// Publish requests under way. A request has one ordering key, so that an append has about as many as it has keys.
const CONCURRENT: usize = 64;

/// A topic and a connection to it.
#[derive(Debug)]
struct Topic {
    path: TopicPath,
    publisher: Publisher,
    tables: Tables,
}

#[async_trait]
impl Place for PubSubConfig {
    async fn connect(&self, tables: Tables) -> Result<Arc<dyn Backend>, WriterError> {
        let publisher = Connection::open(self.endpoint.clone()).await?.publisher();
        Ok(Arc::new(Topic { path: self.topic.clone(), publisher, tables }))
    }

    async fn open(&self, _: Tables) -> Result<Arc<dyn Backend>, WriterError> {
        Err(write_only(&self.topic))
    }

    async fn prepare(&self, _: Tables, mode: Mode) -> Result<Vec<Step>, WriterError> {
        let path = self.topic.full();
        let connection = Connection::open(self.endpoint.clone()).await?;
        let step = |state, what: String| vec![Step { what: format!("topic {what}"), state }];
        if mode == Mode::Apply {
            let plan = admin::TopicPlan {
                path: path.clone(),
                retention: self.retention,
                regions: self.regions.clone(),
            };
            let done = admin::apply(&connection, vec![admin::Step::Topic(plan)]).await?;
            return Ok(done
                .into_iter()
                .flat_map(|(_, outcome)| match outcome {
                    admin::Outcome::Created => step(State::Created, path.clone()),
                    admin::Outcome::Exists => step(State::Exists, path.clone()),
                    admin::Outcome::Differs(how) => {
                        step(State::Exists, format!("{path} ({})", how.join("; ")))
                    }
                })
                .collect());
        }
        match admin::check_topic(&connection, &path).await {
            Ok(()) => Ok(step(State::Exists, path)),
            Err(pubsub::Error::NotFound { .. }) if mode == Mode::DryRun => Ok(step(State::WouldCreate, path)),
            Err(error) => Err(error.into()),
        }
    }

    /// A topic has no owner: the streams of two pipelines differ.
    async fn check_owner(&self, _: Tables, _: &str) -> Result<(), WriterError> {
        Ok(())
    }
}

#[async_trait]
impl Backend for Topic {
    fn too_large(&self, rows: Rows<'_>) -> Vec<usize> {
        body::too_large(&self.tables, rows)
    }

    fn encode(&self, table: &Table, rows: Rows<'_>) -> Result<Vec<Body>, WriterError> {
        body::encode(&self.tables.target(table)?, rows)
    }

    fn without(&self, append: &Append, refused: &[u32]) -> Result<Body, WriterError> {
        body::without(append, refused)
    }

    /// Does nothing, because a topic cannot record an owner. Readers distinguish two pipelines by the streams.
    async fn claim(&self, _: &str, _: Claim) -> Result<(), WriterError> {
        Ok(())
    }

    /// A stream is only a name. It contains the topic, so that an edit of `[writer] topic` begins new streams.
    async fn open_stream(&self, table: &Table) -> Result<String, WriterError> {
        self.tables.target(table)?;
        let unavailable = |error: getrandom::Error| WriterError::Encode {
            table: table.name(),
            source: error.to_string().into(),
        };
        let random = [getrandom::u64(), getrandom::u64()];
        let [first, second] = random.map(|number| number.map_err(unavailable));
        Ok(format!("{}{}/{:016x}{:016x}", self.streams(), table.name(), first?, second?))
    }

    /// Publishes all rows. If one request fails, the others may have been published; the repetition has the same streams and
    /// offsets.
    async fn append(&self, append: &Append) -> Result<Appended, WriterError> {
        if !append.stream.starts_with(&self.streams()) {
            return Ok(Appended::StreamGone);
        }
        let path = self.path.full();
        let lanes = stream::iter(body::lanes(append)?.into_iter().map(Ok));
        let published = lanes.try_for_each_concurrent(CONCURRENT, async |lane| {
            // Rows of one key stay in order, because a request is sent when Pub/Sub has the one before it.
            for request in lane {
                self.publisher.publish(&path, request.iter()).await?;
            }
            Ok(())
        });
        match published.await {
            Ok(()) => Ok(Appended::Done),
            Err(source @ pubsub::Error::Refused { .. }) => {
                Err(WriterError::TopicRefuses { topic: path, source })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A stream is gone only if it is of another topic or database, which does not count for this topic.
    async fn contains(&self, _: &Append) -> Result<bool, WriterError> {
        Ok(false)
    }

    async fn count(&self, _: &Table) -> Result<u64, WriterError> {
        Err(write_only(&self.path))
    }

    async fn progress(&self, _: &str) -> Result<Option<ProgressRow>, WriterError> {
        Err(write_only(&self.path))
    }

    async fn latest(&self, _: &str, _: usize) -> Result<Vec<LatestRow>, WriterError> {
        Err(write_only(&self.path))
    }

    async fn refusals(&self) -> Result<Vec<Refusals>, WriterError> {
        Err(write_only(&self.path))
    }

    async fn dead_letters(&self, _: &Letters) -> Result<Vec<DeadLetterRow>, WriterError> {
        Err(write_only(&self.path))
    }

    async fn close(&self) -> Result<(), WriterError> {
        Ok(())
    }
}

impl Topic {
    /// The beginning of the names of this topic's streams.
    fn streams(&self) -> String {
        format!("{}/{}/", self.path.project, self.path.topic)
    }
}

/// The error of everything that would need the contents of a topic.
fn write_only(topic: &TopicPath) -> WriterError {
    WriterError::WriteOnly { topic: topic.full() }
}
