//! Rows into tables: an SQLite file that replaces another one only once it is complete, or the configured
//! dataset.
//!
//! Every request has its stream and offset, so that a repeated one adds nothing. See [`writer`] for the
//! databases.

use std::{
    fs,
    future::Future,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use event::{EventTime, Ledger, Millis};
use flow::{
    Flow,
    append::{Append, Appended, Rows, Table},
    row::{ProgressRow, Row},
};
use service::Backoff;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use writer::{Claim, SqliteConfig, Writer, WriterConfig, WriterError, WriterMode};

/// Tables that receive rows.
pub(super) struct Tables {
    runtime: Handle,
    writer: Writer,
    flows: Vec<FlowTable>,
    kind: Kind,
    name: String,
    rows: u64,
    shutdown: CancellationToken,
}

enum Kind {
    /// A new file in a directory next to the old one.
    Replace {
        folder: TempDir,
        path: PathBuf,
    },
    Shared,
}

struct FlowTable {
    table: Table,
    allowed_lateness: Millis,
    waiting: Vec<Row>,
    place: Place,
    last_end: Option<EventTime>,
}

/// A stream, and how many rows are in it.
#[derive(Default)]
struct Place {
    stream: Option<String>,
    rows: u64,
}

/// The owner that the tables of an SQLite file record.
pub(super) const PIPELINE: &str = "replay";
/// Rows of one flow that are sent together.
const BATCH: usize = 20_000;
const FILE: &str = "rows.db";
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

impl Tables {
    /// A new SQLite file in place of another.
    pub(super) fn replace(path: &Path, flows: &[Flow], shutdown: &CancellationToken) -> anyhow::Result<Self> {
        // Through links, so that they stay links.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        refuse_if_in_use(&path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = tempfile::Builder::new()
            .prefix(".aqueduct-")
            .tempdir_in(folder)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let config =
            WriterConfig::Sqlite(SqliteConfig { path: folder.path().join(FILE), mode: WriterMode::Append });
        let name = path.display().to_string();
        Self::open(&config, flows, (Kind::Replace { folder, path }, name), shutdown)
    }

    /// The configured tables, which must exist.
    pub(super) fn connect(
        config: &WriterConfig,
        flows: &[Flow],
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let tables: Vec<_> = flows.iter().map(Flow::table).collect();
        Handle::current().block_on(Writer::check(config, &tables))?;
        Self::open(config, flows, (Kind::Shared, "the tables of [writer]".to_owned()), shutdown)
    }

    fn open(
        config: &WriterConfig,
        flows: &[Flow],
        (kind, name): (Kind, String),
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let runtime = Handle::current();
        let tables: Vec<_> = flows.iter().map(Flow::table).collect();
        let writer = runtime.block_on(Writer::connect(config, &tables))?;
        // The configured tables keep their owner: a replay fills in the past.
        if matches!(kind, Kind::Replace { .. }) {
            runtime.block_on(writer.claim(PIPELINE, Claim::Take))?;
        }
        let flow_table = |flow: &Flow| FlowTable {
            table: Table::Flow(flow.name.clone()),
            allowed_lateness: flow.table().allowed_lateness,
            waiting: Vec::new(),
            place: Place::default(),
            last_end: None,
        };
        let flows = flows.iter().map(flow_table).collect();
        Ok(Self { runtime, writer, flows, kind, name, rows: 0, shutdown: shutdown.clone() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn write(&mut self, flow: usize, rows: &[Row]) -> anyhow::Result<()> {
        let flow_table = &mut self.flows[flow];
        flow_table.last_end =
            rows.iter().map(|row| Some(row.window.end)).fold(flow_table.last_end, Option::max);
        flow_table.waiting.extend_from_slice(rows);
        if flow_table.waiting.len() >= BATCH { self.flush(flow) } else { Ok(()) }
    }

    /// Sends the waiting rows, records how far they are final, and moves a new file into place.
    pub(super) fn finish(mut self, ledgers: &[Ledger]) -> anyhow::Result<u64> {
        for (flow, ledger) in ledgers.iter().enumerate() {
            self.flush(flow)?;
            self.progress(flow, ledger)?;
        }
        let Self { runtime, writer, kind, rows, .. } = self;
        runtime.block_on(writer.close())?;
        if let Kind::Replace { folder, path } = kind {
            refuse_if_in_use(&path)?;
            put_into_place(&folder.path().join(FILE), &path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(rows)
    }

    fn flush(&mut self, flow: usize) -> anyhow::Result<()> {
        let mut rows = std::mem::take(&mut self.flows[flow].waiting);
        let table = self.flows[flow].table.clone();
        let large = self.writer.too_large(Rows::Panes(&rows));
        if !large.is_empty() {
            let left_out = large.len();
            tracing::error!(
                table = table.name(),
                left_out,
                action = "shorten the values of the `by` columns at the source",
                "rows skipped: they exceed the maximum size of a request"
            );
            let mut index = 0..;
            rows.retain(|_| index.next().is_none_or(|index| !large.contains(&index)));
        }
        let mut place = std::mem::take(&mut self.flows[flow].place);
        self.send(&table, Rows::Panes(&rows), &mut place)?;
        self.flows[flow].place = place;
        self.rows += rows.len() as u64;
        Ok(())
    }

    /// A row of `<flow>_progress`, from which the view derives that the windows of these rows are final,
    /// unless a processor that fills the same tables has progressed further. A flow of which nothing fired
    /// has a ledger, too.
    fn progress(&self, flow: usize, ledger: &Ledger) -> anyhow::Result<()> {
        let FlowTable { table: Table::Flow(name), allowed_lateness, last_end, .. } = &self.flows[flow] else {
            return Ok(());
        };
        let watermark = last_end.map_or(EventTime::MIN, |end| end + *allowed_lateness);
        let newest = self.retried(async || self.writer.progress(name).await)?;
        if newest.is_some_and(|newest| newest.watermark >= watermark) {
            return Ok(());
        }
        let at = EventTime(jiff::Timestamp::now().as_millisecond());
        let row = ProgressRow { at, watermark, ledger: *ledger };
        self.send(&Table::Progress(name.clone()), Rows::Progress(&[row]), &mut Place::default())
    }

    fn send(&self, table: &Table, rows: Rows<'_>, place: &mut Place) -> anyhow::Result<()> {
        for body in self.writer.encode(table, rows)? {
            if place.stream.is_none() {
                place.stream = Some(self.retried(async || self.writer.open_stream(table).await)?);
                place.rows = 0;
            }
            let stream = place.stream.clone().unwrap_or_default();
            let mut append = Append {
                table: table.clone(),
                stream,
                offset: place.rows,
                rows: body.rows,
                body: body.bytes.into(),
            };
            self.append(&mut append)?;
            *place = Place { rows: append.offset + u64::from(append.rows), stream: Some(append.stream) };
        }
        Ok(())
    }

    fn append(&self, append: &mut Append) -> anyhow::Result<()> {
        loop {
            match self.retried(async || self.writer.append(append).await)? {
                Appended::Done => return Ok(()),
                // The response to an earlier attempt may have been lost.
                Appended::StreamGone if self.retried(async || self.writer.contains(append).await)? => {
                    append.stream = self.retried(async || self.writer.open_stream(&append.table).await)?;
                    (append.offset, append.rows) = (0, 0);
                    return Ok(());
                }
                Appended::StreamGone => {
                    append.stream = self.retried(async || self.writer.open_stream(&append.table).await)?;
                    append.offset = 0;
                }
                Appended::Refused(rows) => {
                    let reason = rows.first().map_or("", |(_, reason)| reason);
                    bail!(
                        "table {} rejected {} rows: {reason}; correct the columns of the table, or give the flow a new name",
                        append.table.name(),
                        rows.len()
                    );
                }
                Appended::Gap => bail!(
                    "table {} has fewer rows than were sent; empty it and repeat the replay",
                    append.table.name()
                ),
            }
        }
    }

    /// A shared database may be unavailable for a while; a local file fails immediately.
    fn retried<T, F: Future<Output = Result<T, WriterError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> anyhow::Result<T> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            match self.runtime.block_on(attempt()) {
                Ok(done) => return Ok(done),
                Err(error) if error.is_retryable() && matches!(self.kind, Kind::Shared) => {
                    let wait = backoff.next(1.0);
                    tracing::warn!(
                        %error, ?wait,
                        action = "none if it recovers; otherwise check that BigQuery is reachable and the quotas are not exhausted",
                        "cannot append rows to BigQuery; retrying"
                    );
                    let stopped =
                        async { tokio::time::timeout(wait, self.shutdown.cancelled()).await.is_ok() };
                    if self.runtime.block_on(stopped) {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A file that is in use has a write-ahead log next to it, which would not belong to the new file. The new file has the
/// mode of the one that it replaces.
fn put_into_place(new: &Path, path: &Path) -> io::Result<()> {
    if let Ok(replaced) = path.metadata() {
        fs::set_permissions(new, replaced.permissions())?;
    }
    fs::rename(new, path)
}

fn refuse_if_in_use(path: &Path) -> anyhow::Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).metadata().is_ok_and(|metadata| metadata.len() > 0) {
        bail!(
            "cannot replace {}: another program is using it ({} exists); stop it, or choose another file",
            path.display(),
            Path::new(&log).display()
        );
    }
    Ok(())
}
