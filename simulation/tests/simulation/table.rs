//! The simulated tables as a `Sink` of the processor: streams with offsets, and all rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use flow::{
    append::{Append, Appended, Body, Rows, Table},
    row::{DeadLetterRow, Pane, Row, Value},
};
use processor::sink::{Sink, SinkError};
use serde::{Deserialize, Serialize};

/// All tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    streams: BTreeMap<String, Stream>,
    /// Rows of the flows, in order of arrival.
    pub(crate) rows: Vec<(Arc<str>, Written)>,
    /// Rejected records and rows.
    pub(crate) letters: Vec<DeadLetterRow>,
    /// The rejected rows, each once.
    pub(crate) refused: BTreeSet<RowName>,
    /// Duplicated rows, and conflicting appends.
    pub(crate) wrong: Vec<String>,
    /// Keys that every table rejects.
    pub(crate) refuses: BTreeSet<String>,
    /// The beginning of the names of streams.
    pub(crate) prefix: String,
    names: u64,
    seen: BTreeSet<RowName>,
    /// Requests of other tables.
    others: BTreeSet<(Table, Arc<[u8]>)>,
    /// Rows of the flows replace each other, and requests may arrive again.
    pub(crate) upserts: Option<Upserts>,
}

/// The tables of the flows with one row for each window and key.
#[derive(Debug, Default)]
pub(crate) struct Upserts {
    /// The row of each flow, window and key.
    pub(crate) rows: BTreeMap<(Arc<str>, i64, String), Written>,
    panes: BTreeMap<RowName, Written>,
    /// Every request that arrived, in order.
    requests: Vec<Append>,
}

/// A row as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// The key as text.
    pub(crate) key: String,
    /// The start of the window.
    pub(crate) start: i64,
    /// Every measure of these flows is a count.
    pub(crate) counts: Vec<u64>,
    pane: Pane,
    pub(crate) pane_index: u32,
    watermark: i64,
    emitted_at: i64,
}

/// Flow, start of the window, key and pane index.
pub(crate) type RowName = (Arc<str>, i64, String, u32);

#[derive(Debug, Default)]
struct Stream {
    length: u64,
    requests: BTreeMap<u64, (u32, Arc<[u8]>)>,
    is_gone: bool,
}

/// The tables of one writer.
#[derive(Debug, Default)]
pub(crate) struct SimulatedSink(Mutex<Tables>);

impl SimulatedSink {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().expect("nothing panics with it")
    }
}

impl Tables {
    /// Streams are forgotten after some idle days.
    pub(crate) fn forget_streams(&mut self) {
        for stream in self.streams.values_mut() {
            stream.is_gone = true;
        }
    }

    fn open(&mut self, table: &Table) -> String {
        if self.upserts.is_some() && matches!(table, Table::Flow(_)) {
            return format!("{}-default-{}", self.prefix, table.name());
        }
        self.names += 1;
        let name = format!("{}-stream-{}", self.prefix, self.names);
        self.streams.insert(name.clone(), Stream::default());
        name
    }

    /// A request that arrived before, chosen by a random number, arrives again.
    pub(crate) fn repeat(&mut self, random: u64) {
        let Some(upserts) = &mut self.upserts else { return };
        let Some(place) = random.checked_rem(upserts.requests.len() as u64) else { return };
        let append = upserts.requests[place as usize].clone();
        self.wrong.extend(upserts.put(&append));
    }

    fn append(&mut self, append: &Append) -> Appended {
        if let (Some(upserts), Table::Flow(_)) = (&mut self.upserts, &append.table) {
            self.wrong.extend(upserts.put(append));
            upserts.requests.push(append.clone());
            return Appended::Done;
        }
        let Some(stream) = self.streams.get_mut(&append.stream).filter(|stream| !stream.is_gone) else {
            return Appended::StreamGone;
        };
        if append.offset > stream.length {
            return Appended::Gap;
        }
        if append.offset < stream.length {
            let same = (append.rows, append.body.clone());
            if stream.requests.get(&append.offset) != Some(&same) {
                self.wrong.push(format!("other rows came to {} at {}", append.stream, append.offset));
            }
            return Appended::Done;
        }
        let rows = match &append.table {
            Table::Flow(_) => decode(&append.body),
            Table::Progress(_) | Table::DeadLetters => Vec::new(),
        };
        let refused: Vec<(u32, String)> = (0u32..)
            .zip(&rows)
            .filter(|(_, row)| self.refuses.contains(&row.key))
            .map(|(index, _)| (index, "refused".to_owned()))
            .collect();
        if let (Table::Flow(flow), false) = (&append.table, refused.is_empty()) {
            self.refused.extend(refused.iter().map(|(index, _)| name(flow, &rows[*index as usize])));
            return Appended::Refused(refused);
        }
        stream.length += u64::from(append.rows);
        stream.requests.insert(append.offset, (append.rows, append.body.clone()));
        let other = (append.table.clone(), append.body.clone());
        if !matches!(append.table, Table::Flow(_)) && !self.others.insert(other) {
            self.wrong.push(format!("a request is twice in {}", append.table.name()));
        }
        if let Table::DeadLetters = &append.table {
            let letters: Vec<DeadLetterRow> =
                postcard::from_bytes(&append.body).expect("the simulation wrote it");
            self.letters.extend(letters);
        }
        if let Table::Flow(flow) = &append.table {
            for row in rows {
                if !self.seen.insert(name(flow, &row)) {
                    self.wrong.push(format!(
                        "a row is twice in {flow}: window {}, key {}, pane {}",
                        row.start, row.key, row.pane_index
                    ));
                }
                self.rows.push((flow.clone(), row));
            }
        }
        Appended::Done
    }

    fn contains(&self, append: &Append) -> bool {
        match &append.table {
            Table::Flow(flow) => {
                let rows = decode(&append.body);
                self.rows.iter().any(|(of, row)| of == flow && rows.contains(row))
            }
            other => self.others.contains(&(other.clone(), append.body.clone())),
        }
    }
}

impl Upserts {
    /// Puts the rows of a request, and returns what is wrong with them.
    fn put(&mut self, append: &Append) -> Option<String> {
        let Table::Flow(flow) = &append.table else { return None };
        for row in decode(&append.body) {
            let pane = self.panes.entry(name(flow, &row)).or_insert_with(|| row.clone());
            if *pane != row {
                return Some(format!("pane {} of {} has two contents", row.pane_index, row.key));
            }
            let place = (flow.clone(), row.start, row.key.clone());
            let newest = self.rows.entry(place).or_insert_with(|| row.clone());
            if row.pane_index >= newest.pane_index {
                *newest = row;
            }
        }
        None
    }
}

fn written(row: &Row) -> Written {
    Written {
        key: row.key.iter().map(|value| value.unwrap_or("-")).collect::<Vec<_>>().join("|"),
        start: row.window.start.0,
        counts: row.values.iter().filter_map(Value::count).collect(),
        pane: row.pane,
        pane_index: row.pane_index,
        watermark: row.watermark.0,
        emitted_at: row.emitted_at.0,
    }
}

fn name(flow: &Arc<str>, row: &Written) -> RowName {
    (flow.clone(), row.start, row.key.clone(), row.pane_index)
}

fn decode(body: &[u8]) -> Vec<Written> {
    postcard::from_bytes(body).expect("the simulation wrote it")
}

fn encode(rows: &impl serde::Serialize) -> Vec<u8> {
    postcard::to_stdvec(rows).expect("rows can be written")
}

impl Sink for SimulatedSink {
    fn too_large(&self, _: Rows<'_>) -> Vec<usize> {
        Vec::new()
    }

    fn encode(&self, _: &Table, rows: Rows<'_>) -> Result<Vec<Body>, SinkError> {
        // Two rows per request, so that a crash occurs between requests.
        let bodies = match rows {
            Rows::Panes(rows) => {
                let written = |part: &[Row]| part.iter().map(written).collect::<Vec<_>>();
                rows.chunks(2).map(|part| (part.len(), encode(&written(part)))).collect::<Vec<_>>()
            }
            Rows::Progress(rows) => vec![(rows.len(), encode(&rows))],
            Rows::DeadLetters(rows) => vec![(rows.len(), encode(&rows))],
        };
        Ok(bodies.into_iter().map(|(rows, bytes)| Body { rows: rows as u32, bytes }).collect())
    }

    fn without(&self, append: &Append, rows: &[u32]) -> Result<Body, SinkError> {
        let kept = (0u32..).zip(decode(&append.body)).filter(|(index, _)| !rows.contains(index));
        let kept: Vec<Written> = kept.map(|(_, row)| row).collect();
        Ok(Body { rows: kept.len() as u32, bytes: encode(&kept) })
    }

    async fn open(&self, table: &Table) -> Result<String, SinkError> {
        Ok(self.tables().open(table))
    }

    async fn append(&self, append: &Append) -> Result<Appended, SinkError> {
        Ok(self.tables().append(append))
    }

    async fn contains(&self, append: &Append) -> Result<bool, SinkError> {
        Ok(self.tables().contains(append))
    }
}
