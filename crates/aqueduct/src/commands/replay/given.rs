//! The rows of events that a flow test gives.

use std::path::Path;

use connector::{
    anonymise::Raw,
    decode::{Decoder, Undecoded},
};
use flow::Flow;
use tokio_util::sync::CancellationToken;

use super::{
    OpenSource,
    files::Files,
    neighbours::Neighbours,
    plan::{Place, Rules, Target},
    rows::RowSink,
    session::{At, Session},
};
use crate::config::Config;

/// The events of a test.
pub(crate) enum Given<'a> {
    /// A file, with the topic of its events; empty without one.
    File { topic: &'a str, path: &'a Path },
    /// Each with its topic, in the order in which they arrive.
    Events(&'a [(&'a str, &'a str)]),
}

impl Given<'_> {
    /// Writes the rows as lines of JSON, and returns what was counted and rejected. That every event is rejected is a result as well.
    ///
    /// # Errors
    /// The configuration cannot be replayed, the file cannot be read, or the output cannot be written.
    pub(crate) fn replay(&self, config: &Config, only_final: bool, output: &Path) -> anyhow::Result<String> {
        let mut rules = Rules::make(config, false, true, only_final)?;
        let shutdown = CancellationToken::new();
        let neighbours = Neighbours::new(&rules.events, &rules.flows);
        let sink = |flows: &[Flow]| RowSink::create(&Target::Lines(output.to_owned()), flows, 1, &shutdown);
        let mut session = match self {
            Self::File { topic, path } => {
                let places = vec![Place { topic: (*topic).to_owned(), path: (*path).to_owned() }];
                rules.read_lines_of(&places, config)?;
                let files = Files::open(places, 1, &neighbours, &shutdown)?;
                files.check_tags(&mut rules)?;
                let rows = sink(&rules.flows)?;
                let mut session = Session::new(rules, files.partitions(), rows);
                OpenSource::Files(files).read(&mut session, &shutdown)?;
                session
            }
            Self::Events(events) => {
                config.refuse_tags()?;
                let decoder = config.lines_of_topics()?;
                let rows = sink(&rules.flows)?;
                let mut session = Session::new(rules, 1, rows);
                count(events, decoder, &mut session)?;
                session
            }
        };
        session.end()?;
        let summary = session.summary(None);
        session.finish(&|_| {})?;
        // The last line is about the output.
        Ok(summary.trim_end().rsplit_once('\n').map_or_else(String::new, |(accounts, _)| accounts.to_owned()))
    }
}

/// Counts events in this order, whatever their topics: as one partition.
fn count(events: &[(&str, &str)], mut decoder: Decoder, session: &mut Session) -> anyhow::Result<()> {
    for (number, (topic, event)) in (1..).zip(events) {
        let at = At::Line("event", number);
        let record = codec::Raw { key: None, value: Some(event.as_bytes()), headers: &[] };
        match decoder.decode(topic, &record) {
            Ok(decoded) => {
                let raw = Raw { topic, value: decoded.value, key: None, headers: &[] };
                session.record(0, &raw, decoded.schema, at)?;
            }
            Err(Undecoded::Reject(code, _)) => session.reject(code, None, at),
            Err(Undecoded::Waits(_)) => unreachable!("an event of a test has no schema in a registry"),
        }
    }
    session.end_partition(0)
}
