//! A pipeline of `engines/beam` from outside: the brokers, and what it has written. Its state is Flink's and cannot be read, so
//! each row of progress has a column `detail` with what its rows, dead letters and offsets have to agree with.

mod folder;

use std::{collections::BTreeMap, path::PathBuf};

use event::{EventTime, Partition};
use flow::{
    append::Table,
    row::{FlowTable, ProgressRow},
};
use kafka::{
    KafkaConfig,
    survey::{Log, Survey as Logs},
};
use processor::frontier::{Track, track::Absence};
use serde::Deserialize;
use writer::{Refusals, Writer, WriterConfig, WriterMode};

use super::{PATIENCE, counted, logs};
use crate::{
    config::Config,
    errors::{self, WrongUsage},
};

/// The sources.
pub(crate) struct Places {
    tables: Vec<FlowTable>,
    kafka: Option<KafkaConfig>,
    outputs: Vec<(String, Output)>,
}

/// Where a pipeline writes its rows.
enum Output {
    Folder(PathBuf),
    Writer(WriterConfig),
}

/// The result.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Start time.
    pub(crate) at: EventTime,
    pub(crate) logs: Result<Logs, String>,
    /// The flows, in the order of the configuration.
    pub(crate) flows: Vec<String>,
    /// What each folder or dataset has, by its name, or why it could not be read.
    pub(crate) outputs: Vec<(String, Result<Written, String>)>,
    /// Topics with rows, which cannot be queried.
    pub(crate) topics: Vec<String>,
}

/// What a pipeline has written to one place. Repetitions count once.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The newest row of progress by flow.
    pub(crate) progress: BTreeMap<String, Progress>,
    /// The number of panes by flow.
    pub(crate) panes: BTreeMap<String, u64>,
    /// The contents of `dead_letters`.
    pub(crate) refusals: Vec<Refusals>,
}

/// A row of `<flow>_progress`.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) row: ProgressRow,
    pub(crate) detail: Detail,
}

/// The column `detail`: what the pipeline had done when it wrote the row.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Detail {
    /// Panes of the flow that have fired.
    pub(crate) panes: u64,
    /// Dead letters with a position.
    pub(crate) dead_letters: u64,
    /// Offsets of all partitions that have an outcome, with messages that have no position.
    pub(crate) accounted: u64,
    partitions: Vec<OfPartition>,
}

/// The offsets of a partition that have an outcome.
#[derive(Clone, Debug, Deserialize)]
struct OfPartition {
    #[serde(flatten)]
    partition: Partition,
    /// Ranges of them; the first ones if there are many.
    accounted: Vec<(u64, u64)>,
    /// Those of them that are lost unless they arrive later.
    lost: Vec<(u64, u64)>,
}

impl Detail {
    /// # Errors
    /// The text is not that of the column `detail`.
    fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("invalid detail in a row of progress: {error}"))
    }
}

impl OfPartition {
    /// The same as the processor keeps it, without clocks.
    fn track(&self) -> Track {
        let mut track = Track::new();
        for (ranges, absence) in [(&self.lost, Absence::Lost), (&self.accounted, Absence::Final)] {
            for &(from, to) in ranges {
                track.absent(from..to, absence);
            }
        }
        track
    }
}

impl Survey {
    /// What could be read.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&str, &Written)> {
        self.outputs.iter().filter_map(|(name, written)| Some((name.as_str(), written.as_ref().ok()?)))
    }

    /// The newest row of progress, which knows most about the partitions; `None` if there is none.
    pub(crate) fn newest(&self) -> Option<&Progress> {
        self.written().filter_map(|(_, written)| written.newest()).max_by_key(|progress| progress.row.at)
    }

    /// Every partition that Kafka or the newest row of progress knows, with its track and its log.
    pub(crate) fn tracks(&self) -> BTreeMap<&Partition, (Track, Option<&Log>)> {
        let known = self.newest().into_iter().flat_map(|progress| &progress.detail.partitions);
        let mut all: BTreeMap<_, _> = known.map(|of| (&of.partition, (of.track(), None))).collect();
        for log in self.logs.iter().flat_map(|logs| &logs.logs) {
            all.entry(&log.partition).or_insert_with(|| (Track::new(), None)).1 = Some(log);
        }
        all
    }
}

impl Written {
    /// The newest row of all flows; `None` if there is none.
    pub(crate) fn newest(&self) -> Option<&Progress> {
        self.progress.values().max_by_key(|progress| progress.row.at)
    }

    /// Dead letters with a position.
    pub(crate) fn dead_letters(&self) -> u64 {
        self.refusals.iter().filter(|of| of.partition >= 0).map(|of| of.rows).sum()
    }
}

impl Places {
    /// Reads `[[flows]]`, and `[kafka]` if configured. Rows are in the folder or, without one, in the tables of `[writer]`.
    ///
    /// # Errors
    /// A section is invalid, the folder does not exist, or a pipeline of `engines/beam` does not write to a writer.
    pub(crate) fn read(config: &Config, folder: Option<PathBuf>) -> anyhow::Result<Self> {
        let flows = config.flows()?;
        let kafka = if config.settings().has("kafka") { Some(config.kafka()?) } else { None };
        let outputs = match folder {
            Some(folder) if folder.is_dir() => vec![(folder.display().to_string(), Output::Folder(folder))],
            Some(folder) => {
                let text =
                    format!("{} is not a folder; name that of the pipeline's --output", folder.display());
                return Err(WrongUsage(text).into());
            }
            None => writers(config)?,
        };
        Ok(Self { tables: config.tables_of(&flows)?, kafka, outputs })
    }

    /// Looks at the brokers first, so that events in flight are not reported as missing.
    pub(crate) async fn look(&self) -> Survey {
        let at = processor::driver::now();
        let logs = logs(self.kafka.clone()).await;
        let (mut outputs, mut topics) = (Vec::new(), Vec::new());
        for (name, output) in &self.outputs {
            let written = match output {
                Output::Writer(WriterConfig::PubSub(topic)) => {
                    topics.push(topic.topic.full());
                    continue;
                }
                Output::Folder(folder) => folder::read(folder),
                Output::Writer(writer) => match tokio::time::timeout(PATIENCE, self.query(writer)).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        Err(format!("no response from the tables within {} seconds", PATIENCE.as_secs()))
                    }
                },
            };
            outputs.push((name.clone(), written));
        }
        let flows = self.tables.iter().map(|table| table.flow.to_string()).collect();
        Survey { at, logs, flows, outputs, topics }
    }

    async fn query(&self, config: &WriterConfig) -> Result<Written, String> {
        let failed = |error| errors::one_line(&error);
        let writer = Writer::open(config, &self.tables).await.map_err(failed)?;
        let mut written = Written::default();
        for FlowTable { flow, .. } in &self.tables {
            // Before the panes, which may only be more than it knows of.
            if let Some(row) = writer.progress(flow).await.map_err(failed)? {
                let detail = writer.progress_detail(flow, row.at).await.map_err(failed)?;
                let detail = detail.ok_or_else(|| {
                    format!("the newest row of {flow}_progress has no detail: engines/beam did not write it over a stream")
                })?;
                written.progress.insert(flow.to_string(), Progress { row, detail: Detail::parse(&detail)? });
            }
        }
        for FlowTable { flow, .. } in &self.tables {
            written.panes.insert(flow.to_string(), counted(&writer, &Table::Flow(flow.clone())).await?);
        }
        written.refusals = writer.refusals().await.map_err(failed)?;
        writer.close().await.map_err(failed)?;
        Ok(written)
    }
}

fn writers(config: &Config) -> anyhow::Result<Vec<(String, Output)>> {
    let mut outputs = Vec::new();
    for writer in config.writers()? {
        match &writer.config {
            WriterConfig::BigQuery(bigquery) if bigquery.mode == WriterMode::Upsert => {}
            WriterConfig::PubSub(_) => {}
            _ => {
                let text = "engines/beam writes only to BigQuery with mode = \"upsert\", to Pub/Sub, and to a folder, \
                            which --rows names";
                return Err(WrongUsage(format!("writer {:?}: {text}", writer.name)).into());
            }
        }
        outputs.push((writer.name.to_string(), Output::Writer(writer.config)));
    }
    Ok(outputs)
}
