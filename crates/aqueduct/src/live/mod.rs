//! The live page of a running command: collects the facts of connector and processor for the crate `page`,
//! which judges and renders them.

mod connects;
mod processes;
mod settings;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use event::{EventTime, Key};
use page::{
    Facts, Source,
    facts::{Ask, Busiest, Condition, KeyWindow, Measured, Setting, ShownPane},
    history::History,
};
use service::Readiness;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{connects::ConnectorLabels, processes::ProcessorLabels, settings::settings};

/// Totals are sampled that often.
const SAMPLE: Duration = Duration::from_secs(1);

/// What a command that runs has to show.
pub(crate) struct Live {
    command: &'static str,
    started_at: EventTime,
    readiness: Readiness,
    settings: Vec<Setting>,
    connector: Option<(ConnectorLabels, watch::Receiver<connector::View>)>,
    processor: Option<(ProcessorLabels, watch::Receiver<processor::View>)>,
    histories: Mutex<Histories>,
}

#[derive(Default)]
struct Histories {
    read: History,
    published: History,
    messages: History,
    rows: History,
}

impl Live {
    /// A page without parts yet.
    pub(crate) fn new(command: &'static str, readiness: Readiness, settings: Vec<Setting>) -> Self {
        Self {
            command,
            started_at: processor::driver::now(),
            readiness,
            settings,
            connector: None,
            processor: None,
            histories: Mutex::default(),
        }
    }

    /// Shows a connector; the sender is for it.
    pub(crate) fn connector(&mut self, labels: ConnectorLabels) -> watch::Sender<connector::View> {
        let (sender, receiver) = watch::channel(connector::View::default());
        self.connector = Some((labels, receiver));
        sender
    }

    /// Shows a processor; the sender is for it.
    pub(crate) fn processor(&mut self, labels: ProcessorLabels) -> watch::Sender<processor::View> {
        let (sender, receiver) = watch::channel(processor::View::default());
        self.processor = Some((labels, receiver));
        sender
    }

    /// Samples the totals until the token is cancelled, so that rates are available to every visitor.
    pub(crate) async fn sample(self: Arc<Self>, ended: CancellationToken) {
        let mut ticks = tokio::time::interval(SAMPLE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while ended.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = processor::driver::now();
            let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, view)) = &self.connector {
                let view = view.borrow();
                histories.read.sample(now, view.summary.records);
                histories.published.sample(now, view.summary.published);
            }
            if let Some((_, view)) = &self.processor {
                let view = view.borrow();
                histories.messages.sample(now, view.events);
                histories.rows.sample(now, view.flow_rows);
            }
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        let report = self.readiness.report();
        let condition =
            |c: service::readiness::ConditionReport| Condition { name: c.name, trouble: c.reason.or(c.note) };
        report.conditions.into_iter().map(condition).collect()
    }

    fn look<T>(&self, flow: &str, look: impl FnOnce(&processor::board::FlowBoard) -> T) -> Option<T> {
        let (_, view) = self.processor.as_ref()?;
        let board = view.borrow().board.clone();
        board.look(flow, look)
    }
}

impl Source for Live {
    fn facts(&self) -> Facts {
        let at = processor::driver::now();
        let histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, published) = (histories.read.rate(), histories.published.rate());
        let (messages, rows) = (histories.messages.rate(), histories.rows.rate());
        drop(histories);
        Facts {
            at,
            version: env!("CARGO_PKG_VERSION"),
            command: self.command,
            started_at: self.started_at,
            conditions: self.conditions(),
            connector: self
                .connector
                .as_ref()
                .map(|(labels, view)| labels.facts(&view.borrow(), read, published)),
            processor: self
                .processor
                .as_ref()
                .map(|(labels, view)| labels.facts(&view.borrow(), (messages, rows), at)),
        }
    }

    fn busiest(&self, flow: &str, ask: &Ask) -> Option<Busiest> {
        let ask = processor::board::Ask { by: ask.by, find: &ask.find, limit: ask.limit };
        let flows = &self.processor.as_ref()?.0;
        self.look(flow, |board| flows.busiest(flow, board.busiest(ask)))?
    }

    fn windows(&self, flow: &str, key: &[Option<Box<str>>]) -> Option<Vec<KeyWindow>> {
        let key: Key = key.iter().map(Option::as_ref).collect();
        let measures = self.processor.as_ref()?.0.measures(flow)?;
        let pane = |shown: &processor::board::Shown| ShownPane {
            pane: shown.pane,
            pane_index: shown.index,
            measured: Measured { measures: measures.clone(), values: shown.values.clone() },
            watermark: shown.watermark,
            emitted_at: shown.emitted_at,
        };
        let windows = self.look(flow, |board| board.windows(&key))?;
        let shown =
            |(window, panes): (_, Vec<_>)| KeyWindow { window, panes: panes.iter().map(pane).collect() };
        Some(windows.into_iter().map(shown).collect())
    }

    fn settings(&self) -> Vec<Setting> {
        self.settings.clone()
    }
}
