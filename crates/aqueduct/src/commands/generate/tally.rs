//! Counts of the generated events, for the summary.

use std::fmt;

use event::EventTime;

use crate::traffic::{Kind, Meta};

/// The counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    target: String,
    seed: u64,
    records: u64,
    views: u64,
    clicks: u64,
    others: u64,
    late: u64,
    duplicates: u64,
    broken: u64,
    /// Times of the first and the last record.
    written: Option<(EventTime, EventTime)>,
}

impl Tally {
    pub(crate) fn new(target: &str, seed: u64) -> Self {
        Self { target: target.to_owned(), seed, ..Self::default() }
    }

    pub(crate) fn count(&mut self, meta: &Meta) {
        self.records += 1;
        match meta.kind {
            _ if meta.defect.is_some() => self.broken += 1,
            Kind::View => self.views += 1,
            Kind::Click => self.clicks += 1,
            Kind::Search | Kind::Contact => self.others += 1,
        }
        self.late += u64::from(meta.late);
        self.duplicates += u64::from(meta.duplicate);
        let first = self.written.map_or(meta.written, |(first, _)| first);
        self.written = Some((first, meta.written));
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, seed, records, views, clicks, others, late, duplicates, broken, .. } = self;
        write!(
            f,
            "{records} records to {target}: {views} views, {clicks} clicks, {others} others, {broken} broken; "
        )?;
        write!(f, "of these {late} late, {duplicates} duplicates; ")?;
        if let Some((first, last)) = self.written {
            write!(f, "{first} to {last}; ")?;
        }
        write!(f, "seed {seed}")
    }
}
