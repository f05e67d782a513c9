//! Runs a case through the product.

pub(crate) mod core;
pub(crate) mod replay;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use event::{EventsSettings, Ledger};
use flow::{
    Flow, FlowSettings,
    row::{MeasureColumns, Row},
};
use service::Settings;

/// The result of a run of the product.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Each flow's name and ledger.
    pub(crate) ledgers: Vec<(String, Ledger)>,
    /// In the order in which they fired.
    pub(crate) rows: Vec<Fired>,
    /// The flows' watermarks after each tick.
    pub(crate) watermarks: Vec<Vec<i64>>,
    /// The expected total of each ledger.
    pub(crate) offsets: u64,
}

/// A pane.
#[derive(Clone, Debug)]
pub(crate) struct Fired {
    /// The index of its flow.
    pub(crate) flow: usize,
    /// The number of earlier restarts.
    pub(crate) epoch: usize,
    /// The action in which it fired.
    pub(crate) action: usize,
    pub(crate) row: Row,
    /// The ratios that have a value.
    pub(crate) ratios: Vec<(String, f64)>,
}

impl Fired {
    fn new(flow: usize, (epoch, action): (usize, usize), columns: &[MeasureColumns], row: Row) -> Self {
        let rate = |measure: &MeasureColumns| Some((measure.name.clone(), measure.shows.rate(&row.values)?));
        let ratios = columns.iter().filter_map(rate).collect();
        Self { flow, epoch, action, row, ratios }
    }
}

/// `[events]` and `[[flows]]` of a configuration, read as the commands read them.
///
/// # Errors
/// A section is missing or invalid.
pub fn configured(text: &str) -> Result<(EventsSettings, Vec<Flow>)> {
    let sections = ["kafka", "events", "flows"];
    let settings = Settings::parse(text, Path::new("aqueduct.toml"), std::iter::empty(), &sections)?;
    let events: EventsSettings = settings.section("events")?.context("no [events]")?;
    let flows: Vec<FlowSettings> = settings.section("flows")?.context("no [[flows]]")?;
    let flows = flows.into_iter().map(|flow| Flow::try_from(flow).map_err(anyhow::Error::from));
    Ok((events, flows.collect::<Result<_>>()?))
}

/// The outcomes that occur, with their counts.
pub fn ledger_of(ledger: &Ledger) -> BTreeMap<&'static str, u64> {
    let counts = ledger.iter().map(|(outcome, count)| (outcome.as_str(), count));
    counts.filter(|(_, count)| *count > 0).collect()
}
