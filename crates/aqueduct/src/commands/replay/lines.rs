//! Rows as lines of JSON, written where they fire or by a separate thread, so that counting does not wait for
//! it.
//!
//! See [`crate::output`] for the file, and [`writer::NdjsonFormat`] for the format.

use std::{
    io::Write as _,
    panic::resume_unwind,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use anyhow::Context as _;
use flow::{Flow, row::Row};
use writer::NdjsonFormat;

use crate::output::Output;

/// Lines of JSON.
pub(super) enum Lines {
    Inline(Box<Pen>),
    Aside(Aside),
}

/// A thread that writes.
pub(super) struct Aside {
    name: String,
    /// `None` once the thread has failed or ended.
    writing: Option<(SyncSender<Rows>, JoinHandle<anyhow::Result<Pen>>)>,
    /// Memory for rows, which would be new for each message otherwise.
    spares: Receiver<Vec<Row>>,
}

/// Writes lines.
pub(super) struct Pen {
    output: Output,
    formats: Vec<NdjsonFormat>,
    lines: Vec<u8>,
    rows: u64,
}

/// A flow's number, and rows of it.
type Rows = (usize, Vec<Row>);

/// Number of lines that are written together.
const TOGETHER: usize = 256;
/// Number of rows per message to the thread, and number of messages before counting waits: a few megabytes, so that
/// counting goes on while the thread writes the rows of a large window.
const ASIDE: usize = 4_096;
const AHEAD: usize = 16;

impl Lines {
    /// Opens the output. With more than one thread, writing has a separate one.
    pub(super) fn create(path: &Path, flows: &[Flow], threads: usize) -> anyhow::Result<Self> {
        let formats = flows.iter().map(|flow| NdjsonFormat::new(&flow.table())).collect();
        let pen = Pen { output: Output::create(path)?, formats, lines: Vec::new(), rows: 0 };
        if threads < 2 {
            return Ok(Self::Inline(Box::new(pen)));
        }
        let name = pen.output.name().to_owned();
        let (sender, rows) = sync_channel(AHEAD);
        let (spare, spares) = sync_channel(AHEAD);
        let thread = std::thread::Builder::new()
            .name("aqueduct-rows".to_owned())
            .spawn(move || pen.write_all(&rows, &spare))
            .context("cannot start the threads of the replay; reduce --threads")?;
        Ok(Self::Aside(Aside { name, writing: Some((sender, thread)), spares }))
    }

    /// The file, or `standard output`.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Inline(pen) => pen.output.name(),
            Self::Aside(aside) => &aside.name,
        }
    }

    /// Takes all rows of a flow.
    pub(super) fn write(&mut self, flow: usize, rows: &mut Vec<Row>) -> anyhow::Result<()> {
        match self {
            Self::Inline(pen) => pen.write(flow, rows),
            Self::Aside(aside) => aside.write(flow, rows),
        }
    }

    /// Completes the output; returns the number of its rows.
    pub(super) fn finish(self) -> anyhow::Result<u64> {
        let pen = match self {
            Self::Inline(pen) => *pen,
            Self::Aside(mut aside) => aside.end()?,
        };
        pen.output.finish()?;
        Ok(pen.rows)
    }
}

impl Aside {
    fn write(&mut self, flow: usize, rows: &mut Vec<Row>) -> anyhow::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if rows.len() <= ASIDE {
            let spare = self.spare();
            return self.send(flow, std::mem::replace(rows, spare));
        }
        let mut rows = rows.drain(..);
        while rows.len() > 0 {
            let mut some = self.spare();
            some.extend(rows.by_ref().take(ASIDE));
            self.send(flow, some)?;
        }
        Ok(())
    }

    fn spare(&self) -> Vec<Row> {
        self.spares.try_recv().unwrap_or_default()
    }

    fn send(&mut self, flow: usize, rows: Vec<Row>) -> anyhow::Result<()> {
        let sent = self.writing.as_ref().is_some_and(|(sender, _)| sender.send((flow, rows)).is_ok());
        // The thread stops receiving only after an error, which it returns when it is joined.
        if sent { Ok(()) } else { self.end().map(drop) }
    }

    /// Waits until everything is written.
    fn end(&mut self) -> anyhow::Result<Pen> {
        let (sender, thread) = self.writing.take().with_context(|| format!("cannot write {}", self.name))?;
        drop(sender);
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// The thread owns the unfinished file, which is removed only if the thread ends before the process.
impl Drop for Aside {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.writing.take() {
            drop(sender);
            // What failed was reported where the rows were taken.
            let _ = thread.join();
        }
    }
}

impl Pen {
    fn write_all(mut self, rows: &Receiver<Rows>, spare: &SyncSender<Vec<Row>>) -> anyhow::Result<Self> {
        while let Ok((flow, mut rows)) = rows.recv() {
            self.write(flow, &rows)?;
            rows.clear();
            // Dropped if counting has enough of them.
            let _ = spare.try_send(rows);
        }
        Ok(self)
    }

    fn write(&mut self, flow: usize, rows: &[Row]) -> anyhow::Result<()> {
        self.rows += rows.len() as u64;
        for some in rows.chunks(TOGETHER) {
            self.lines.clear();
            some.iter().for_each(|row| self.formats[flow].write(row, &mut self.lines));
            self.output
                .write_all(&self.lines)
                .with_context(|| format!("cannot write {}", self.output.name()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use event::EventTime;
    use flow::{FlowSettings, Window, row::Pane};

    use super::*;

    #[test]
    fn unfinished_output_is_removed_when_dropped() {
        let settings: FlowSettings = serde_json::from_value(serde_json::json!({
            "name": "f", "by": { "page": "/p" }, "window": { "size": "10s" },
            "measures": { "n": { "count": {} } },
        }))
        .expect("the flow");
        let flow = Flow::try_from(settings).expect("the flow is valid");
        let mut rows = vec![
            Row {
                key: [Some("p".into())].into(),
                window: Window { start: EventTime(0), end: EventTime(10_000) },
                values: flow.table().measures.iter().map(|_| flow::row::Value::Count(1)).collect(),
                pane: Pane::OnTime,
                pane_index: 0,
                watermark: EventTime(0),
                emitted_at: EventTime(0),
                replaced: flow::row::Replaced::default(),
            };
            AHEAD * ASIDE
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let mut lines = Lines::create(&folder.path().join("rows.gz"), &[flow], 2).expect("a thread");
        lines.write(0, &mut rows).expect("the thread runs");
        drop(lines);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }
}
