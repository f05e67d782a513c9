//! The report of `status`: the status of the pipeline, with what the tables and the state add to each flow. Pure.

use flow::append::Table;
use processor::{
    engine::FlowState,
    view::{FlowView, PartitionView, WriterView},
};
use report::{
    Status,
    judge::{self, Health, Station},
    late,
    status::Survey as Answers,
};
use serde::Serialize;
use writer::Refusals;

use crate::survey::Survey;

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) health: Health,
    /// Every component, and whether it is stalled.
    pub(super) stations: Vec<Station>,
    #[serde(flatten)]
    pub(super) answers: &'a Answers,
    /// The partition that holds back the watermark, and why.
    pub(super) held_by: &'a str,
    pub(super) waiting_requests: usize,
    pub(super) writers: &'a [WriterView],
    pub(super) partitions: &'a [PartitionView],
    pub(super) flows: Vec<FlowReport<'a>>,
    /// Rejected records by partition, stage and reason.
    pub(super) refused: &'a [Refusals],
}

/// One flow.
#[derive(Debug, Serialize)]
pub(super) struct FlowReport<'a> {
    #[serde(flatten)]
    pub(super) view: &'a FlowView,
    pub(super) is_new: bool,
    pub(super) total: u64,
    /// The share of late events among counted and late ones; absent if there are none of either.
    pub(super) late_share: Option<f64>,
    pub(super) rows: Option<u64>,
    pub(super) rows_unreachable: Option<String>,
    pub(super) waiting_rows: u64,
}

impl<'a> Report<'a> {
    /// `None` unless the status is that of a survey.
    pub(super) fn of(survey: &'a Survey, status: &'a Status) -> Option<Self> {
        let detail = &status.processor.as_ref()?.detail;
        let stations = judge::stations(status);
        let flows = survey.state.core.engine().flows().iter().zip(&detail.flows);
        Some(Self {
            health: judge::overall(status, &stations),
            stations,
            answers: status.survey.as_ref()?,
            held_by: &detail.held_by,
            waiting_requests: detail.requests,
            writers: &detail.writers,
            partitions: &detail.partitions,
            flows: flows.map(|(state, view)| FlowReport::of(state, view, survey)).collect(),
            refused: survey.refusals(),
        })
    }
}

impl<'a> FlowReport<'a> {
    fn of(state: &FlowState, view: &'a FlowView, survey: &Survey) -> Self {
        let table = Table::Flow(view.name.clone());
        // Of the first writer that can be queried.
        let tables = survey.writers.iter().filter_map(|writer| writer.tables.as_ref().ok());
        let counted = tables.filter_map(|tables| tables.rows.get(&table)).next();
        Self {
            view,
            is_new: survey.is_new(state),
            total: view.ledger.total(),
            late_share: late::share(&view.ledger),
            rows: counted.and_then(|rows| rows.as_ref().ok().copied()),
            rows_unreachable: counted.and_then(|rows| rows.as_ref().err().cloned()),
            waiting_rows: survey.writers.iter().map(|writer| writer.waiting(&table)).sum(),
        }
    }
}
