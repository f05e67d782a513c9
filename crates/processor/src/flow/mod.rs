//! What a flow is: which events it counts, by what, in which windows.

pub mod matching;
pub mod settings;

use std::sync::Arc;

use event::{Millis, Windows, pointer::Pointer, row::FlowTable};

pub use matching::{Match, Term};
pub use settings::FlowSettings;

/// Which time of an event a flow goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeKind {
    /// The event's own time.
    #[default]
    Event,
    /// The record's timestamp in Kafka.
    Kafka,
    /// When Pub/Sub received it.
    Processing,
}

/// A flow, checked and resolved.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Name; also the table's.
    pub name: Arc<str>,
    /// Column name and where its value stands, in the order of the columns.
    pub by: Vec<(String, Pointer)>,
    /// What counts as a view.
    pub views: Match,
    /// What counts as a click.
    pub clicks: Match,
    /// How windows are laid over time.
    pub windows: Windows,
    /// Which time counts.
    pub time: TimeKind,
    /// How much older than the newest event before it an event may be without being late.
    pub out_of_orderness: Millis,
    /// How long behind its end a window takes late events.
    pub allowed_lateness: Millis,
    /// Early panes of open windows, at most that often.
    pub early: Option<Millis>,
    /// Clicks find their views.
    pub join: Option<Join>,
}

/// How clicks find their views.
#[derive(Clone, Debug)]
pub struct Join {
    /// Where a view has the value that both share.
    pub view: Pointer,
    /// Where a click has it.
    pub click: Pointer,
    /// How long before its click a view may be.
    pub within: Millis,
    /// The most views and clicks that are kept of one value.
    pub limit: usize,
}

impl Flow {
    /// How far the watermark passes an event before the last of its windows is over, at most.
    pub fn open(&self) -> Millis {
        Millis(self.windows.size().0.saturating_add(self.allowed_lateness.0))
    }

    /// The flow's table.
    pub fn table(&self) -> FlowTable {
        FlowTable {
            flow: self.name.clone(),
            columns: self.by.iter().map(|(column, _)| column.clone()).collect(),
            join: self.join.is_some(),
            allowed_lateness: self.allowed_lateness,
        }
    }

    /// A text that changes when the flow's meaning does: a state belongs to one meaning.
    pub fn fingerprint(&self) -> String {
        let join = self.join.as_ref().map(|j| format!("{}={} within {}", j.view, j.click, j.within));
        let by: Vec<String> = self.by.iter().map(|(column, pointer)| format!("{column}={pointer}")).collect();
        format!(
            "by {}; views {}; clicks {}; window {}/{}; time {:?}; out_of_orderness {}; allowed_lateness {}; join {}",
            by.join(","),
            self.views,
            self.clicks,
            self.windows.size(),
            self.windows.period(),
            self.time,
            self.out_of_orderness,
            self.allowed_lateness,
            join.unwrap_or_default(),
        )
    }
}
