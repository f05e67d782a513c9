//! What can be seen of a pipeline from outside: its last checkpoint, the brokers and the tables. Changes
//! nothing.
//!
//! See [`crate::commands::status`] and [`crate::commands::reconcile`] for its interpretation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::anyhow;
use event::{EventTime, EventsSettings, Millis};
use flow::{Flow, append::Table, row::FlowTable};
use kafka::{
    KafkaConfig,
    survey::{Survey as Logs, survey},
};
use processor::{
    core::Core,
    frontier::{Holder, Limits},
    outbox::Outbox,
    saved::recover,
    store::{StateSettings, Store},
};
use writer::{LatestRow, Refusals, Writer, WriterConfig};

use crate::{config::Config, exit};

/// Where to look.
pub(crate) struct Places {
    events: EventsSettings,
    flows: Vec<Flow>,
    tables: Vec<FlowTable>,
    state: StateSettings,
    store: Store,
    kafka: Option<KafkaConfig>,
    writer: Option<WriterConfig>,
}

/// The result. What could not be reached has the reason.
#[derive(Debug)]
pub(crate) struct Survey {
    /// When it was begun.
    pub(crate) at: EventTime,
    pub(crate) state: State,
    pub(crate) logs: Result<Logs, String>,
    pub(crate) tables: Result<Tables, String>,
}

/// The last checkpoint.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) place: String,
    /// Its number; nothing where none was written yet.
    pub(crate) checkpoint: Option<u64>,
    pub(crate) written_at: Option<EventTime>,
    pub(crate) core: Core,
    pub(crate) outbox: Outbox,
    /// Flows that it does not know yet.
    pub(crate) added: Vec<String>,
    /// A processor that wrote no checkpoint for so long does not run.
    pub(crate) takeover_after: Millis,
}

/// What the tables hold.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) rows: BTreeMap<Table, Result<u64, String>>,
    /// By flow: the newest window that the table knows to be complete.
    pub(crate) newest: BTreeMap<Arc<str>, Result<Vec<LatestRow>, String>>,
    /// The contents of `dead_letters`.
    pub(crate) refusals: Vec<Refusals>,
}

/// How long the tables may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Keys of one window that are looked at.
const KEYS: usize = 100_000;

impl Places {
    /// Reads the sections: `[events]`, `[[flows]]` and `[state]`, and `[kafka]` and `[writer]` where they are there.
    pub(crate) fn read(config: &Config) -> anyhow::Result<Self> {
        let flows = config.flows()?;
        let state = config.state()?;
        let has = |section| config.settings().has(section);
        Ok(Self {
            events: config.events()?,
            tables: config.tables_of(&flows)?,
            store: Store::open(&state.checkpoints, config.settings().dir())?,
            kafka: if has("kafka") { Some(config.kafka()?) } else { None },
            writer: if has("writer") { Some(config.writer()?) } else { None },
            flows,
            state,
        })
    }

    /// Looks. The brokers first and the tables last: what flows on meanwhile is not taken for missing.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) async fn look(&self) -> anyhow::Result<Survey> {
        let at = processor::driver::now();
        let logs = self.logs().await;
        let state = self.state(at).await?;
        let tables = match tokio::time::timeout(PATIENCE, self.tables()).await {
            Ok(answer) => answer.map_err(|error| exit::one_line(error.as_ref())),
            Err(_) => Err(format!("the tables do not answer within {} seconds", PATIENCE.as_secs())),
        };
        Ok(Survey { at, state, logs, tables })
    }

    async fn logs(&self) -> Result<Logs, String> {
        let Some(kafka) = self.kafka.clone() else {
            return Err("there is no [kafka] in the configuration".to_owned());
        };
        match tokio::task::spawn_blocking(move || survey(&kafka)).await {
            Ok(answer) => answer.map_err(|error| exit::one_line(&error)),
            Err(error) => Err(exit::one_line(&error)),
        }
    }

    async fn state(&self, at: EventTime) -> anyhow::Result<State> {
        let limits = Limits {
            idle_after: self.state.idle_after,
            hole_limit: self.state.hole_limit,
            cold_start: self.state.cold_start,
        };
        let new_core = || Core::new(&self.events, self.flows.clone(), limits, at);
        let (recovered, restoring) = recover(&self.store, new_core).await?;
        let (core, outbox, restored) = restoring.finish()?;
        Ok(State {
            place: self.state.checkpoints.clone(),
            checkpoint: recovered.newest,
            written_at: recovered.written_at,
            core,
            outbox,
            added: restored.added,
            takeover_after: self.state.takeover_after,
        })
    }

    async fn tables(&self) -> anyhow::Result<Tables> {
        let Some(config) = &self.writer else {
            return Err(anyhow!("there is no [writer] in the configuration; add it to see the rows too"));
        };
        let writer = Writer::open(config, &self.tables).await?;
        let mut seen = Tables::default();
        for flow in self.tables.iter().map(|table| table.flow.clone()) {
            for table in [Table::Flow(flow.clone()), Table::Progress(flow.clone())] {
                seen.rows.insert(table.clone(), counted(&writer, &table).await);
            }
            let newest = writer.latest(&flow, KEYS).await.map_err(|error| exit::one_line(&error));
            seen.newest.insert(flow, newest);
        }
        let letters = match writer.refusals().await {
            Ok(refusals) => {
                seen.refusals = refusals;
                counted(&writer, &Table::DeadLetters).await
            }
            Err(error) => Err(exit::one_line(&error)),
        };
        seen.rows.insert(Table::DeadLetters, letters);
        writer.close().await?;
        Ok(seen)
    }
}

async fn counted(writer: &Writer, table: &Table) -> Result<u64, String> {
    writer.count(table).await.map_err(|error| exit::one_line(&error))
}

/// Describes which partition holds the watermark, and why.
pub(crate) fn held_by(holder: &Holder, has_unpositioned: bool) -> String {
    match holder {
        Holder::NoMark if has_unpositioned => {
            "messages without positions: the clock is that of the newest event".to_owned()
        }
        Holder::NoMark => "no mark has arrived yet: is the connector running?".to_owned(),
        Holder::Unheard(topic, partition) => {
            format!("{topic}[{partition}], of which nothing has arrived: does a connector read it?")
        }
        Holder::Topic(topic, asked_at) => {
            format!("topic {topic}, whose partitions were last counted at {asked_at}")
        }
        Holder::Partition(partition, clock, hole) => {
            let (at, without_event) = match known(*clock) {
                Some(clock) => (format!(" at {clock}"), ""),
                None => (String::new(), ", without an event so far"),
            };
            match (hole, without_event) {
                (Some(end), _) => {
                    format!("{partition}{at}: offsets below {end} were published and have not arrived")
                }
                (None, "") => format!("{partition}{at}, the lowest clock"),
                (None, without_event) => format!("{partition}{without_event}"),
            }
        }
    }
}

/// A time that RFC 3339 can write; nothing for the ends of time and what lies close to them.
pub(crate) fn known(time: EventTime) -> Option<String> {
    EventTime::from_millis(time.0).map(|time| time.to_string())
}
