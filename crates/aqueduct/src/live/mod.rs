//! The status of a running command: what connector and processor publish, with the settings that apply to them. The
//! crate `report` judges and renders it.

mod connects;
mod settings;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use event::{EventTime, Key};
use flow::Flow;
use processor::{
    board::{Ask, Busiest, FlowBoard, KeyWindow},
    view::{Detail, FlowView},
};
use report::{
    Source, Status,
    history::History,
    status::{Condition, ConditionState, Processor, Rate, Setting},
};
use service::{
    LogLevels, Metrics, Readiness,
    admin::{self, Admin},
    readiness::ConditionReport,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::runtime;

pub(crate) use self::{connects::ConnectorLabels, settings::settings};

/// Interval of the samples of totals.
const SAMPLE: Duration = Duration::from_secs(1);

/// The status of a running command.
pub(crate) struct Live {
    command: &'static str,
    started_at: EventTime,
    readiness: Readiness,
    settings: Vec<Setting>,
    connector: Option<(ConnectorLabels, watch::Receiver<connector::View>)>,
    processor: Option<(ProcessorLabels, watch::Receiver<processor::View>)>,
    histories: Mutex<Histories>,
}

/// The labels of a processor, from the configuration.
pub(crate) struct ProcessorLabels {
    pub(crate) subscription: String,
    pub(crate) to: String,
    pub(crate) flows: Vec<Flow>,
}

/// The tasks beside the work of a command.
pub(crate) struct Serving {
    ended: CancellationToken,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Histories {
    read: History,
    published: History,
    messages: History,
    rows: History,
}

impl Live {
    /// The status of a command, without components yet.
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

    /// Adds a connector; returns its sender.
    pub(crate) fn connector(&mut self, labels: ConnectorLabels) -> watch::Sender<connector::View> {
        let (sender, receiver) = watch::channel(connector::View::default());
        self.connector = Some((labels, receiver));
        sender
    }

    /// Adds a processor; returns its sender.
    pub(crate) fn processor(&mut self, labels: ProcessorLabels) -> watch::Sender<processor::View> {
        let (sender, receiver) = watch::channel(processor::View::default());
        self.processor = Some((labels, receiver));
        sender
    }

    /// Serves the page, metrics and probes until [`Serving::end`], so that they are answered while the command drains.
    pub(crate) fn serve(
        self,
        listener: TcpListener,
        metrics: &Metrics,
        levels: LogLevels,
    ) -> anyhow::Result<(Arc<Self>, Serving)> {
        let live = Arc::new(self);
        service::process::show(metrics, env!("CARGO_PKG_VERSION"), live.command);
        let address = listener.local_addr()?;
        tracing::info!(%address, page = format!("http://{address}/"), "metrics and probes");
        let admin = Admin { metrics: metrics.clone(), readiness: live.readiness.clone(), levels };
        let router = admin::router(admin).merge(report::router(live.clone()));
        let mut serving = Serving { ended: CancellationToken::new(), tasks: JoinSet::new() };
        serving.spawn(|ended| admin::serve(listener, router, ended));
        serving.spawn(|ended| live.clone().sample(ended));
        Ok((live, serving))
    }

    /// Samples the totals until the token is cancelled, so that rates are available to every visitor.
    async fn sample(self: Arc<Self>, ended: CancellationToken) {
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
        let condition = |report: ConditionReport| {
            let state = match report {
                ConditionReport { is_reported: false, .. } => ConditionState::Unreported,
                ConditionReport { reason: Some(reason), .. } => ConditionState::Unmet(reason),
                ConditionReport { note: Some(note), .. } => ConditionState::Idle(note),
                _ => ConditionState::Met,
            };
            Condition { name: report.name, state }
        };
        self.readiness.report().conditions.into_iter().map(condition).collect()
    }

    fn look<T>(&self, flow: &str, look: impl FnOnce(&FlowBoard) -> T) -> Option<T> {
        let (_, view) = self.processor.as_ref()?;
        let board = view.borrow().board.clone();
        board.look(flow, look)
    }
}

impl Serving {
    /// Starts another task that runs until the end.
    pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        task: impl FnOnce(CancellationToken) -> F,
    ) {
        self.tasks.spawn(task(self.ended.clone()));
    }

    /// Ends once the open responses have been sent.
    ///
    /// # Errors
    /// A task panicked.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.ended.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            runtime::joined("a background task", ended)?;
        }
        Ok(())
    }
}

impl ProcessorLabels {
    fn status(&self, view: &processor::View, (rate, row_rate): (Rate, Rate)) -> Processor {
        let mut detail = (*view.detail).clone();
        // The flows are known before the state is: the page has its parts from the start.
        if detail.at.is_none() {
            let (flows, held_by) = (self.flows.iter().map(FlowView::new).collect(), "unknown".to_owned());
            detail = Detail { flows, held_by, ..detail };
        }
        Processor {
            subscription: self.subscription.clone(),
            to: self.to.clone(),
            is_caught_up: view.caught_up,
            rows: view.flow_rows,
            rate,
            row_rate,
            detail,
        }
    }
}

impl Source for Live {
    fn status(&self) -> Status {
        let histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, published) = (histories.read.rate(), histories.published.rate());
        let processed = (histories.messages.rate(), histories.rows.rate());
        drop(histories);
        let connector = self.connector.as_ref();
        let processor = self.processor.as_ref();
        Status {
            at: processor::driver::now(),
            version: env!("CARGO_PKG_VERSION"),
            command: self.command,
            started_at: self.started_at,
            conditions: self.conditions(),
            connector: connector.map(|(labels, view)| labels.status(&view.borrow(), read, published)),
            processor: processor.map(|(labels, view)| labels.status(&view.borrow(), processed)),
            survey: None,
        }
    }

    fn busiest(&self, flow: &str, ask: &Ask) -> Option<Busiest> {
        self.look(flow, |board| board.busiest(ask))
    }

    fn windows(&self, flow: &str, key: &[Option<Box<str>>]) -> Option<Vec<KeyWindow>> {
        let key: Key = key.iter().map(Option::as_ref).collect();
        self.look(flow, |board| board.windows(&key))
    }

    fn settings(&self) -> Vec<Setting> {
        self.settings.clone()
    }
}
