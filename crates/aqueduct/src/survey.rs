//! The state of a pipeline from outside: its last checkpoint, the brokers and the tables. Changes nothing.
//! [`Survey::status`] is the input of `report`.
//!
//! See [`crate::commands::status`] and [`crate::commands::reconcile`] for its interpretation.

pub(crate) mod beam;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use event::{EventTime, EventsSettings, Millis, Partition};
use flow::{Flow, append::Table, row::FlowTable};
use kafka::{
    KafkaConfig,
    survey::{Log, Survey as Logs, survey},
};
use processor::{
    core::Core,
    engine::{Engine, FlowState},
    frontier::{Limits, Track},
    outbox::{Outbox, Outboxes},
    saved::recover,
    store::{StateSettings, Store},
    view::{Detail, Own, PartitionView, WriterView},
};
use report::{
    Status,
    status::{self, Brokers, Checkpoint, Processor},
};
use writer::{LatestRow, Refusals, Writer, WriterConfig};

use crate::{
    config::{Config, NamedWriter},
    errors,
};

/// The sources.
pub(crate) struct Places {
    events: EventsSettings,
    flows: Vec<Flow>,
    tables: Vec<FlowTable>,
    state: StateSettings,
    store: Store,
    kafka: Option<KafkaConfig>,
    writers: Vec<NamedWriter>,
}

/// The result, with the reasons for unreachable services.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Start time.
    pub(crate) at: EventTime,
    pub(crate) state: State,
    pub(crate) logs: Result<Logs, String>,
    /// The writers of the configuration; without one, the first of the state.
    pub(crate) writers: Vec<WriterSurvey>,
    /// Rows that wait in the state for writers which are not configured, by the names of these.
    pub(crate) parked: Vec<(Arc<str>, u64)>,
}

/// What one writer was sent, and what it has.
#[derive(Debug)]
pub(crate) struct WriterSurvey {
    pub(crate) name: Arc<str>,
    pub(crate) outbox: Outbox,
    pub(crate) tables: Result<Tables, String>,
}

/// The last checkpoint.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) place: String,
    /// Its number; `None` if there is none yet.
    pub(crate) checkpoint: Option<u64>,
    pub(crate) written_at: Option<EventTime>,
    pub(crate) core: Core,
    /// Flows that it does not contain yet.
    pub(crate) added: Vec<String>,
    /// A processor without a checkpoint for this long is not running.
    pub(crate) takeover_after: Millis,
    /// Memory limit of the live state.
    pub(crate) memory: u64,
}

/// The contents of the tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) rows: BTreeMap<Table, Result<u64, String>>,
    /// By flow: the newest window that the table knows to be complete.
    pub(crate) newest: BTreeMap<Arc<str>, Result<Vec<LatestRow>, String>>,
    /// The contents of `dead_letters`.
    pub(crate) refusals: Vec<Refusals>,
    /// A topic instead of tables, which cannot be queried: only what Pub/Sub has acknowledged is known.
    pub(crate) topic: Option<String>,
}

/// How long the tables may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Maximum number of keys of a window that are compared.
const KEYS: usize = 100_000;

impl Survey {
    /// The status, in the form of a running processor, with the results of the services.
    pub(crate) fn status(&self) -> Status {
        let state = &self.state;
        let own = Own { memory: state.memory, ..Own::default() };
        let partitions = self.partitions();
        let writers = self.writers.iter().map(|writer| WriterView::of(&writer.name, &writer.outbox));
        let detail = Detail { partitions, ..Detail::of(&state.core, writers.collect(), own, self.at) };
        let is_caught_up = detail.partitions.iter().all(|partition| partition.lag.unwrap_or(0) == 0);
        let survey = status::Survey {
            state: Checkpoint {
                place: state.place.clone(),
                checkpoint: state.checkpoint,
                written_at: state.written_at,
                takeover_after: state.takeover_after,
                hole_limit: state.core.limits().hole_limit,
            },
            kafka: self.logs.as_ref().map(brokers).map_err(Clone::clone),
            tables: self.tables(),
        };
        Status {
            at: self.at,
            version: env!("CARGO_PKG_VERSION"),
            command: "status",
            started_at: self.at,
            conditions: Vec::new(),
            connector: None,
            processor: Some(Processor { is_caught_up, detail, ..Processor::default() }),
            survey: Some(survey),
        }
    }

    /// Every partition that Kafka or the state knows, with its track and its log.
    pub(crate) fn tracks(&self) -> BTreeMap<&Partition, (Track, Option<&Log>)> {
        let tracks = self.state.core.frontier().tracks();
        let mut all: BTreeMap<_, _> =
            tracks.map(|(partition, track)| (partition, (track.clone(), None))).collect();
        for log in self.logs.iter().flat_map(|logs| &logs.logs) {
            all.entry(&log.partition).or_insert_with(|| (Track::new(), None)).1 = Some(log);
        }
        all
    }

    fn partitions(&self) -> Vec<PartitionView> {
        let limits = self.state.core.limits();
        let view = |(partition, (track, log)): (&Partition, (Track, Option<&Log>))| {
            let mut view = PartitionView::of(partition, &track, limits, None);
            if let Some(log) = log {
                view.asked(log.low, log.high, log.committed, &track);
            }
            view
        };
        self.tracks().into_iter().map(view).collect()
    }

    /// Whether the last checkpoint does not contain a flow of the configuration.
    pub(crate) fn is_new(&self, flow: &FlowState) -> bool {
        self.state.added.iter().any(|added| **added == **flow.name())
    }

    /// What was rejected, by partition, stage and reason, as the first writer has it that can be queried.
    pub(crate) fn refusals(&self) -> &[Refusals] {
        let tables = self.writers.iter().filter_map(|writer| writer.tables.as_ref().ok());
        tables
            .filter(|tables| tables.topic.is_none())
            .map(|tables| &*tables.refusals)
            .next()
            .unwrap_or_default()
    }

    /// The name of a writer before a text about it, if there are several.
    pub(crate) fn of(&self, writer: &WriterSurvey, text: &str) -> String {
        if self.writers.len() > 1 { format!("{}: {text}", writer.name) } else { text.to_owned() }
    }

    /// The tables of all writers together, or why one of them could not be queried.
    fn tables(&self) -> Result<status::Tables, String> {
        let mut all = status::Tables::default();
        for writer in &self.writers {
            let tables = writer.tables.as_ref().map_err(Clone::clone);
            let tables = tables.and_then(|tables| tables.status(&writer.outbox));
            let tables = tables.map_err(|reason| self.of(writer, &reason))?;
            all.rows += tables.rows;
            all.waiting += tables.waiting;
            all.missing += tables.missing;
        }
        Ok(all)
    }
}

impl WriterSurvey {
    /// Rows that wait in the state for a table.
    pub(crate) fn waiting(&self, table: &Table) -> u64 {
        waiting(&self.outbox, table)
    }
}

impl Tables {
    fn status(&self, outbox: &Outbox) -> Result<status::Tables, String> {
        let mut all = status::Tables::default();
        for rows in self.rows.values() {
            all.rows += *rows.as_ref().map_err(Clone::clone)?;
        }
        all.waiting = outbox.pending_from(0).map(|(_, append)| u64::from(append.rows)).sum();
        for (table, sent) in outbox.given() {
            let taken = sent.saturating_sub(waiting(outbox, table));
            if self.topic.is_some() {
                // Pub/Sub has acknowledged them.
                all.rows += taken;
            } else if let Some(Ok(rows)) = self.rows.get(table) {
                all.missing += taken.saturating_sub(*rows);
            }
        }
        Ok(all)
    }
}

/// Rows that wait in the state for their table.
fn waiting(outbox: &Outbox, table: &Table) -> u64 {
    let of_table = outbox.pending_from(0).filter(|(_, append)| append.table == *table);
    of_table.map(|(_, append)| u64::from(append.rows)).sum()
}

fn brokers(logs: &Logs) -> Brokers {
    let offsets = |log: &Log| {
        let uncommitted = log.high.saturating_sub(log.committed.unwrap_or(log.low).max(log.low));
        (log.partition.to_string(), (log.high.saturating_sub(log.low), uncommitted))
    };
    Brokers {
        missing_topics: logs.missing.iter().map(ToString::to_string).collect(),
        members: logs.members,
        offsets: logs.logs.iter().map(offsets).collect(),
    }
}

impl Places {
    /// Reads the sections `[events]`, `[[flows]]` and `[state]`, and `[kafka]` and `[writer]` if configured.
    pub(crate) fn read(config: &Config) -> anyhow::Result<Self> {
        let flows = config.flows()?;
        let state = config.state()?;
        let has = |section| config.settings().has(section);
        Ok(Self {
            events: config.events()?,
            tables: config.tables_of(&flows)?,
            store: Store::open(&state.checkpoints, config.settings().dir())?,
            kafka: if has("kafka") { Some(config.kafka()?) } else { None },
            writers: if config.has_writers() { config.writers()? } else { Vec::new() },
            flows,
            state,
        })
    }

    /// Runs the survey: the brokers first and the tables last, so that events in flight are not reported as missing.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) async fn look(&self) -> anyhow::Result<Survey> {
        let at = processor::driver::now();
        let logs = self.logs().await;
        let (state, mut outboxes) = self.state(at).await?;
        let mut writers = Vec::new();
        for named in &self.writers {
            let tables = match tokio::time::timeout(PATIENCE, self.tables(&named.config)).await {
                Ok(answer) => answer.map_err(|error| errors::one_line(error.as_ref())),
                Err(_) => Err(format!("no response from the tables within {} seconds", PATIENCE.as_secs())),
            };
            let outbox = outboxes.take(&named.name).unwrap_or_default();
            writers.push(WriterSurvey { name: named.name.clone(), outbox, tables });
        }
        if writers.is_empty() {
            let tables = Err("[writer] is not configured; add it to include the rows".to_owned());
            writers.push(WriterSurvey { name: "".into(), outbox: Outbox::default(), tables });
        }
        let rows = |outbox: &Outbox| outbox.pending_from(0).map(|(_, append)| u64::from(append.rows)).sum();
        let parked = outboxes.iter().filter(|(_, outbox)| !outbox.is_empty());
        let parked = parked.map(|(name, outbox)| (name.unwrap_or_default().into(), rows(outbox))).collect();
        Ok(Survey { at, state, logs, writers, parked })
    }

    pub(crate) async fn logs(&self) -> Result<Logs, String> {
        logs(self.kafka.clone()).await
    }

    pub(crate) async fn state(&self, at: EventTime) -> anyhow::Result<(State, Outboxes)> {
        let limits = Limits {
            idle_after: self.state.idle_after,
            hole_limit: self.state.hole_limit,
            cold_start: self.state.cold_start,
        };
        let new_core = || Core::new(&self.events, self.flows.clone(), limits, at);
        let (recovered, restoring) = recover(&self.store, new_core).await?;
        let (core, outboxes, restored) = restoring.finish()?;
        let state = State {
            place: self.state.checkpoints.clone(),
            checkpoint: recovered.newest,
            written_at: recovered.written_at,
            core,
            added: restored.added,
            takeover_after: self.state.takeover_after,
            memory: self.state.memory.0,
        };
        Ok((state, outboxes))
    }

    /// Opens the tables of the first writer that has any, for reading.
    pub(crate) async fn open_tables(&self) -> anyhow::Result<Writer> {
        let has_tables = |config: &&WriterConfig| !matches!(config, WriterConfig::PubSub(_));
        let Some(config) = self.writers.iter().map(|named| &named.config).find(has_tables) else {
            return Err(anyhow::anyhow!("no writer has tables; add one to [writer]"));
        };
        Ok(Writer::open(config, &self.tables).await?)
    }

    /// The flows, and how events are read for them.
    pub(crate) fn engine(&self) -> Engine {
        Engine::new(&self.events, self.flows.clone())
    }

    async fn tables(&self, config: &WriterConfig) -> anyhow::Result<Tables> {
        if let WriterConfig::PubSub(topic) = config {
            return Ok(Tables { topic: Some(topic.topic.full()), ..Tables::default() });
        }
        let writer = Writer::open(config, &self.tables).await?;
        let mut seen = Tables::default();
        for flow in self.tables.iter().map(|table| table.flow.clone()) {
            for table in [Table::Flow(flow.clone()), Table::Progress(flow.clone())] {
                seen.rows.insert(table.clone(), counted(&writer, &table).await);
            }
            let newest = writer.latest(&flow, KEYS).await.map_err(|error| errors::one_line(&error));
            seen.newest.insert(flow, newest);
        }
        let letters = match writer.refusals().await {
            Ok(refusals) => {
                seen.refusals = refusals;
                counted(&writer, &Table::DeadLetters).await
            }
            Err(error) => Err(errors::one_line(&error)),
        };
        seen.rows.insert(Table::DeadLetters, letters);
        writer.close().await?;
        Ok(seen)
    }
}

async fn logs(kafka: Option<KafkaConfig>) -> Result<Logs, String> {
    let Some(kafka) = kafka else {
        return Err("[kafka] is not configured".to_owned());
    };
    match tokio::task::spawn_blocking(move || survey(&kafka)).await {
        Ok(answer) => answer.map_err(|error| errors::one_line(&error)),
        Err(error) => Err(errors::one_line(&error)),
    }
}

async fn counted(writer: &Writer, table: &Table) -> Result<u64, String> {
    writer.count(table).await.map_err(|error| errors::one_line(&error))
}

#[cfg(test)]
mod tests;
