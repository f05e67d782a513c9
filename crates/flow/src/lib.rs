//! A declared flow: which events it counts, by what, in which windows, and the tables that follow from it.
//!
//! Pure: no clock, no I/O. The processor keeps the columns of [`measure`] while windows are open, the writer spells the
//! tables of [`row`], and both know of a flow only what is here.
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | `[[flows]]` as the file has it |
//! | [`measure`] | what is counted, and the mergeable columns that hold it |
//! | [`number`] | exact decimals |
//! | [`ratio`] | rates and their Wilson interval |
//! | [`window`] | how windows cover time: [`sliding`], [`calendar`], sessions |
//! | [`definition`] | what may change in a running flow |
//! | [`row`] | the rows and tables that follow |
//! | [`append`] | rows on their way to a table |
//!
//! ```
//! use flow::{Flow, FlowSettings};
//!
//! let settings: FlowSettings = serde_json::from_str(r#"{
//!     "name": "page_ctr",
//!     "by": { "page": "/page" },
//!     "views": { "/type": "view" },
//!     "clicks": { "/type": "click" },
//!     "window": { "size": "10m", "period": "1m" },
//!     "measures": { "users": { "distinct": "/user_id", "where": { "/type": "view" } } }
//! }"#).unwrap();
//! let flow = Flow::try_from(settings).unwrap();
//! let columns: Vec<_> = flow.table().all_columns().into_iter().map(|column| column.name).collect();
//! assert_eq!(columns[..4], ["page", "window_start", "window_end", "views"]);
//! assert_eq!(columns[7], "ctr_high");
//! assert_eq!(columns[8], "users");
//! ```
#![forbid(unsafe_code)]

pub mod append;
pub mod calendar;
pub mod definition;
pub mod measure;
pub mod number;
pub mod ratio;
pub mod row;
pub mod settings;
pub mod sliding;
pub mod window;

use std::sync::Arc;

pub use event::matching;
use event::{Millis, pointer::Pointer};
use serde::{Deserialize, Serialize};

use crate::{
    matching::Match,
    measure::{Aggregation, Fed, Kind, Measure, Source},
    row::{FlowTable, MeasureColumns, Shows},
    window::WindowKind,
};

pub use definition::Definition;
pub use settings::{FlowError, FlowErrors, FlowSettings};
pub use window::{Window, Windows};

/// Which time of an event a flow uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// A flow, checked and resolved. Made from [`FlowSettings`].
#[derive(Clone, Debug)]
pub struct Flow {
    /// Name; also the table's.
    pub name: Arc<str>,
    /// The `by` columns in order: name and where the value is in the event.
    pub by: Vec<(String, Pointer)>,
    /// Events that do not match are ignored.
    pub events: Option<Match>,
    /// What counts as a view, and what as a click, if the flow has these.
    pub ctr: Option<Ctr>,
    /// What is stored, in order. At most [`measure::MOST`].
    pub fed: Vec<Fed>,
    /// The measures in the order of their columns.
    pub measures: Vec<Measure>,
    /// How windows cover time.
    pub windows: WindowKind,
    /// Which time counts.
    pub time: TimeKind,
    /// How much older than the newest event before it an event may be without being late.
    pub out_of_orderness: Millis,
    /// How long after its end a window takes late events.
    pub allowed_lateness: Millis,
    /// Early panes of open windows, at most this often.
    pub early: Option<Millis>,
    /// Clicks find their views.
    pub join: Option<Join>,
}

/// `views` and `clicks` of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Ctr {
    /// What counts as a view.
    pub views: Match,
    /// What counts as a click.
    pub clicks: Match,
}

/// How clicks find their views.
#[derive(Clone, Debug, PartialEq)]
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
        Millis(self.windows.longest().0.saturating_add(self.allowed_lateness.0))
    }

    /// Whether events may be taken back from where they were counted: a click moves when a nearer view arrives.
    pub fn takes_back(&self) -> bool {
        self.join.is_some()
    }

    /// The bit of a source in [`measure::Feeds`]; none if nothing has it.
    pub fn feeds(&self, source: Source) -> measure::Feeds {
        self.fed.iter().position(|fed| fed.source == source).map_or(0, |number| 1 << number)
    }

    /// The measures that need an input, as bits.
    pub fn valued(&self) -> measure::Feeds {
        let valued = self.fed.iter().enumerate().filter(|(_, fed)| fed.aggregation.at().is_some());
        valued.fold(0, |feeds, (number, _)| feeds | 1 << number)
    }

    /// The flow's table.
    pub fn table(&self) -> FlowTable {
        // An event that is not late may still extend a session that ended up to a gap before.
        let (merging, gap) = match self.windows {
            WindowKind::Sessions { gap } => (true, gap),
            WindowKind::Aligned(_) => (false, Millis(0)),
        };
        FlowTable {
            flow: self.name.clone(),
            columns: self.by.iter().map(|(column, _)| column.clone()).collect(),
            measures: self.measures.iter().map(|measure| self.columns_of(measure)).collect(),
            merging,
            allowed_lateness: Millis(self.allowed_lateness.0.saturating_add(gap.0)),
        }
    }

    fn columns_of(&self, measure: &Measure) -> MeasureColumns {
        let shows = match measure.kind {
            Kind::Ratio { of, over, per, interval } => Shows::Ratio { of, over, per, interval },
            Kind::Fed(value) => match self.fed[value].aggregation {
                Aggregation::Count => Shows::Count(value),
                Aggregation::Sum(_) | Aggregation::Min(_) | Aggregation::Max(_) => Shows::Number(value),
                Aggregation::Distinct { sketch, .. } => Shows::Distinct { value, sketch },
            },
        };
        MeasureColumns { name: measure.name.clone(), shows }
    }
}
