//! The tasks that run beside the driver: writing a checkpoint, and, at most one of each kind at a time for each writer, opening
//! streams and sending rows. Each task waits out transient errors itself and logs them once.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use flow::append::{Append, Appended, Table};
use service::{Backoff, metrics::Counter};
use tracing::{info, warn};

use crate::{
    core::Core,
    error::ProcessorError,
    saved::{self, Restoring, Saved},
    sink::{Sink, SinkError},
    stages::{Sent, Stopped},
    store::{Appender, Recovered, Store},
};

/// The result of a task.
#[derive(Debug)]
pub enum Ended {
    /// A checkpoint is durable, with its size in bytes before compression, or it failed permanently.
    Checkpoint(Box<Appender>, Result<u64, ProcessorError>),
    /// Streams of a writer were opened.
    Streams(usize, Result<Vec<(Table, String)>, SinkError>),
    /// Requests were sent to a writer, in order.
    Sent(usize, Sent),
    /// Whether the rows of a request to a writer, whose stream is gone, are in their table.
    Queried(usize, Result<bool, SinkError>),
}

const MIN_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Waits between attempts, and logs once that there is trouble and once that it is over.
struct Patience {
    backoff: Backoff,
    waiting: bool,
    retries: Counter,
}

impl Patience {
    fn new(retries: Counter) -> Self {
        Self { backoff: Backoff::new(MIN_WAIT, MAX_WAIT), waiting: false, retries }
    }

    async fn wait(&mut self, error: &(dyn Error + Sync)) {
        self.retries.inc();
        if !self.waiting {
            self.waiting = true;
            warn!(
                error = %chain(error),
                action = "check that the place named in the error is reachable and accepts writes",
                "cannot write a checkpoint or rows; retrying"
            );
        }
        let random = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        tokio::time::sleep(self.backoff.next(random).max(MIN_WAIT / 4)).await;
    }

    fn over(&mut self, what: &str) {
        if std::mem::take(&mut self.waiting) {
            info!("{what} is available again");
        }
        self.backoff.reset();
    }
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Reads the state.
///
/// # Errors
/// Returns an error if the state cannot be read and waiting does not help.
pub async fn recover(
    store: &Store,
    new_core: impl Fn() -> Core,
    retries: Counter,
) -> Result<(Recovered, Restoring), ProcessorError> {
    let mut patience = Patience::new(retries);
    loop {
        match saved::recover(store, &new_core).await {
            Err(ProcessorError::Store(error)) if error.is_transient() => patience.wait(&error).await,
            ended => return ended,
        }
    }
}

/// Writes a checkpoint until it is durable.
pub async fn checkpoint(mut appender: Box<Appender>, saved: Saved, retries: Counter) -> Ended {
    let part = saved.part;
    // Encoding runs in another thread, so events are applied meanwhile.
    let encoded = match tokio::task::spawn_blocking(move || saved.encode()).await {
        Ok(encoded) => encoded,
        Err(failed) => Err(ProcessorError::Task(service::telemetry::task_failure(&failed))),
    };
    let payload = match encoded {
        Ok(payload) => Bytes::from(payload),
        Err(error) => return Ended::Checkpoint(appender, Err(error)),
    };
    let mut patience = Patience::new(retries);
    loop {
        match appender.append(part, payload.clone()).await {
            Ok(_) => {
                patience.over("the state");
                if appender.has_old() {
                    appender.prune().await;
                }
                return Ended::Checkpoint(appender, Ok(payload.len() as u64));
            }
            Err(error) if error.is_transient() => patience.wait(&error).await,
            Err(error) => return Ended::Checkpoint(appender, Err(error.into())),
        }
    }
}

/// A writer, by its number.
pub type To<S> = (usize, Arc<S>);

/// Opens a stream for each table.
pub async fn open_streams<S: Sink>((writer, sink): To<S>, tables: Vec<Table>, retries: Counter) -> Ended {
    let mut streams = Vec::new();
    let mut patience = Patience::new(retries);
    for table in tables {
        loop {
            match sink.open(&table).await {
                Ok(name) => {
                    patience.over("the writer");
                    streams.push((table, name));
                    break;
                }
                Err(error) if error.retryable => patience.wait(&error).await,
                Err(error) => return Ended::Streams(writer, Err(error)),
            }
        }
    }
    Ended::Streams(writer, Ok(streams))
}

/// Sends requests in order, each one until its rows are in their table.
pub async fn send<S: Sink>((writer, sink): To<S>, requests: Vec<(u64, Append)>, retries: Counter) -> Ended {
    let mut done = None;
    let mut patience = Patience::new(retries);
    for (number, append) in requests {
        let stopped = loop {
            match sink.append(&append).await {
                Ok(Appended::Done) => break None,
                Ok(Appended::StreamGone) => break Some(Stopped::StreamGone(append.table.clone())),
                Ok(Appended::Refused(rows)) => break Some(Stopped::Refused(number, rows)),
                Ok(Appended::Gap) => break Some(Stopped::Gap(append.table.name())),
                Err(error) if error.retryable => patience.wait(&error).await,
                Err(error) => break Some(Stopped::Failed(error)),
            }
        };
        if stopped.is_some() {
            return Ended::Sent(writer, Sent { done, stopped });
        }
        patience.over("the writer");
        done = Some(number);
    }
    Ended::Sent(writer, Sent { done, stopped: None })
}

/// Asks until there is an answer whether the rows of a request are in their table.
pub async fn contains<S: Sink>((writer, sink): To<S>, append: Append, retries: Counter) -> Ended {
    let mut patience = Patience::new(retries);
    loop {
        match sink.contains(&append).await {
            Err(error) if error.retryable => patience.wait(&error).await,
            answer => {
                patience.over("the writer");
                return Ended::Queried(writer, answer);
            }
        }
    }
}
