//! `[[flows]]` as the file has it, and how it becomes a [`Flow`].

mod measures;
mod window;

use std::fmt;

use event::{Millis, pointer::Pointer};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use crate::{Ctr, Flow, Join, TimeKind, matching::MatchSettings, window::WindowKind};

pub use measures::{MeasureSettings, MeasuresSettings};
pub use window::{Size, WindowSettings};

/// One `[[flows]]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSettings {
    /// Name of the flow and of its table.
    ///
    /// Example: `name = "box_ctr"`
    pub name: String,
    /// The columns by which events are counted.
    ///
    /// Example: `by = { page = "/page", box = "/box" }`
    pub by: Columns,
    /// Events that do not match are ignored by this flow.
    ///
    /// Example: `where = { "/country" = ["PL", "CZ"] }`
    #[serde(default, rename = "where")]
    pub events: Option<MatchSettings>,
    /// Which events are views. Short for the measures `views`, `clicks` and `ctr`; needs `clicks` beside it.
    ///
    /// Example: `views = { "/type" = ["view", "impression"] }`
    #[serde(default)]
    pub views: Option<MatchSettings>,
    /// Which events are clicks.
    ///
    /// Example: `clicks = { topic = "clicks" }`
    #[serde(default)]
    pub clicks: Option<MatchSettings>,
    /// What is counted, beside views and clicks or instead of them. The name of a measure is that of its column.
    ///
    /// Example: `measures.users = { distinct = "/user_id" }`
    #[serde(default)]
    pub measures: MeasuresSettings,
    /// How windows cover time.
    ///
    /// Example: `window = { size = "10m", period = "1m" }`
    pub window: WindowSettings,
    /// Which time decides the window: that of the event, that of the Kafka record, or the time at which Pub/Sub first
    /// had the message ([limits](guarantees.md#where-it-ends)).
    ///
    /// Example: `time = "kafka"`
    #[serde(default)]
    pub time: TimeKind,
    /// How much older than the newest event of its partition an event may be and still be on time.
    ///
    /// Example: `out_of_orderness = "2m"`
    #[serde(default = "default_out_of_orderness")]
    pub out_of_orderness: Millis,
    /// How far the watermark may pass the end of a window before the window rejects late events.
    ///
    /// Example: `allowed_lateness = "6h"`
    #[serde(default = "default_allowed_lateness")]
    pub allowed_lateness: Millis,
    /// Publishes windows that are still open, at most this often; at least 1 s.
    ///
    /// Example: `early = "15s"`
    #[serde(default)]
    pub early: Option<Millis>,
    /// Attributes each click to its view. Needs `views` and `clicks`, and windows with a size.
    ///
    /// Example: `join = { on = "/view_id", within = "30m" }`
    #[serde(default)]
    pub join: Option<JoinSettings>,
}

/// `join = { on = "/view_id", within = "30m" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinSettings {
    /// The value that view and click share.
    ///
    /// Example: `on = { view = "/id", click = "/view_id" }`
    pub on: JoinOn,
    /// How much older than its click a view may be; at most `allowed_lateness`.
    ///
    /// Example: `within = "30m"`
    pub within: Millis,
    /// Views and clicks of one value that are kept. Further ones are counted without the join.
    ///
    /// Example: `limit = 1000`
    #[serde(default = "default_limit")]
    pub limit: usize,
}

/// One pointer for both, or one for each.
#[derive(Clone, Debug)]
pub struct JoinOn {
    /// In the view.
    pub view: Pointer,
    /// In the click.
    pub click: Pointer,
}

/// The `by` columns in the order of the file.
#[derive(Clone, Debug)]
pub struct Columns(pub Vec<(String, Pointer)>);

/// An error in a flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FlowError {
    /// Dotted key below the flow, such as `window.size`.
    pub key: String,
    /// What is wrong and what to write.
    pub reason: String,
}

impl FlowError {
    fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }
}

const NOTHING: &str = "is empty; name at least one pair such as \"/type\" = \"view\", or remove it";

fn default_out_of_orderness() -> Millis {
    Millis(30_000)
}

fn default_limit() -> usize {
    10_000
}

fn default_allowed_lateness() -> Millis {
    Millis(3_600_000)
}

impl TryFrom<FlowSettings> for Flow {
    type Error = FlowError;

    fn try_from(settings: FlowSettings) -> Result<Self, FlowError> {
        if settings.name.is_empty() {
            return Err(FlowError::new("name", "a flow needs a name; it is also its table"));
        }
        check_lengths(&settings)?;
        let windows = settings.window.resolve()?;
        let matched =
            |key, settings: &MatchSettings| settings.resolve().ok_or_else(|| FlowError::new(key, NOTHING));
        let events = settings.events.as_ref().map(|events| matched("where", events)).transpose()?;
        let ctr = match (&settings.views, &settings.clicks) {
            (Some(views), Some(clicks)) => {
                Some(Ctr { views: matched("views", views)?, clicks: matched("clicks", clicks)? })
            }
            (None, None) => None,
            (Some(_), None) => return Err(lone("views", "clicks")),
            (None, Some(_)) => return Err(lone("clicks", "views")),
        };
        if settings.early.is_some_and(|early| early.0 < 1_000) {
            return Err(FlowError::new("early", "must be at least 1s"));
        }
        let join = settings.join.map(|join| Join {
            view: join.on.view,
            click: join.on.click,
            within: join.within,
            limit: join.limit,
        });
        if let Some(join) = &join {
            check_join(join, ctr.is_some(), &windows, settings.allowed_lateness)?;
        }
        if let WindowKind::Sessions { gap } = windows
            && settings.allowed_lateness < gap
        {
            return Err(FlowError::new(
                "window.session",
                format!(
                    "a late event may connect two sessions that are up to {gap} apart, but allowed_lateness ({}) keeps \
                     them for less; make allowed_lateness at least {gap}, or the gap shorter",
                    settings.allowed_lateness
                ),
            ));
        }
        let (fed, measures) = settings.measures.resolve(ctr.is_some(), join.is_some())?;
        check_columns(&settings.by.0, &measures, &fed)?;
        Ok(Self {
            name: settings.name.into(),
            by: settings.by.0,
            events,
            ctr,
            fed,
            measures,
            windows,
            time: settings.time,
            out_of_orderness: settings.out_of_orderness,
            allowed_lateness: settings.allowed_lateness,
            early: settings.early,
            join,
        })
    }
}

/// No length of a flow is longer: 100 years. So a window and everything that is kept beside it stay within the years 1 to
/// 9999, which tables can show, and no sum of times overflows.
const LONGEST: Millis = Millis(36_525 * 86_400_000);

fn check_lengths(settings: &FlowSettings) -> Result<(), FlowError> {
    let WindowSettings { size, period, session, .. } = &settings.window;
    let size = if let Some(Size::Length(size)) = size { Some(*size) } else { None };
    let lengths = [
        ("window.size", size),
        ("window.period", *period),
        ("window.session", *session),
        ("out_of_orderness", Some(settings.out_of_orderness)),
        ("allowed_lateness", Some(settings.allowed_lateness)),
        ("early", settings.early),
        ("join.within", settings.join.as_ref().map(|join| join.within)),
    ];
    match lengths.into_iter().find(|(_, length)| length.is_some_and(|length| length > LONGEST)) {
        Some((key, _)) => Err(FlowError::new(
            key,
            format!("the longest time is \"{LONGEST}\" (100 years); write a shorter one"),
        )),
        None => Ok(()),
    }
}

fn lone(key: &str, other: &str) -> FlowError {
    FlowError::new(
        key,
        format!("{key} needs {other} beside it; for one of them alone write a count in [flows.measures]"),
    )
}

fn check_join(
    join: &Join,
    has_ctr: bool,
    windows: &WindowKind,
    allowed_lateness: Millis,
) -> Result<(), FlowError> {
    if !has_ctr {
        return Err(FlowError::new(
            "join",
            "a join connects views and clicks; write views = { ... } and clicks = { ... } in the flow",
        ));
    }
    if matches!(windows, WindowKind::Sessions { .. }) {
        return Err(FlowError::new(
            "join",
            "a flow with session windows cannot have a join, because a click that moves to another view would have to \
             split a session; use windows with a size, or remove the join",
        ));
    }
    if join.limit == 0 {
        return Err(FlowError::new("join.limit", "must be at least 1; to join nothing, remove join"));
    }
    if allowed_lateness < join.within {
        return Err(FlowError::new(
            "allowed_lateness",
            "is shorter than join.within: a view could still be missing when its click is given up; make it at least as \
             long",
        ));
    }
    Ok(())
}

/// No measure may have a column that is there already. A clash with a `by` column is reported there, as views and clicks
/// are in the file only by their short form.
fn check_columns(
    by: &[(String, Pointer)],
    measures: &[crate::measure::Measure],
    fed: &[crate::measure::Fed],
) -> Result<(), FlowError> {
    let own =
        ["window_start", "window_end", "pane", "pane_index", "watermark", "emitted_at", "is_final", "flow"];
    let by: Vec<String> = by.iter().map(|(column, _)| column.to_lowercase()).collect();
    let mut taken: Vec<String> = own.map(str::to_owned).into();
    for measure in measures {
        for column in measures::columns_of(measure, fed) {
            let name = column.to_lowercase();
            if let Some(clash) = by.iter().find(|by| **by == name) {
                let reason =
                    format!("measure {} has a column {column:?}; give the column another name", measure.name);
                return Err(FlowError::new(format!("by.{clash}"), reason));
            }
            if taken.contains(&name) {
                return Err(FlowError::new(
                    format!("measures.{}", measure.name),
                    format!("the table has a column {column:?} already; give the measure another name"),
                ));
            }
            taken.push(name);
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnsVisitor;
        impl<'de> Visitor<'de> for ColumnsVisitor {
            type Value = Columns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of columns such as { page = \"/page\" }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry::<String, Pointer>()? {
                    columns.push(column);
                }
                if columns.is_empty() {
                    return Err(de::Error::custom("name at least one column, such as { page = \"/page\" }"));
                }
                Ok(Columns(columns))
            }
        }
        deserializer.deserialize_map(ColumnsVisitor)
    }
}

impl<'de> Deserialize<'de> for JoinOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Both {
            view: Pointer,
            click: Pointer,
        }
        struct OnVisitor;
        impl<'de> Visitor<'de> for OnVisitor {
            type Value = JoinOn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pointer such as \"/view_id\", or { view = \"/id\", click = \"/view_id\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<JoinOn, E> {
                let pointer: Pointer = text.parse().map_err(de::Error::custom)?;
                Ok(JoinOn { view: pointer.clone(), click: pointer })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JoinOn, A::Error> {
                let both = Both::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(JoinOn { view: both.view, click: both.click })
            }
        }
        deserializer.deserialize_any(OnVisitor)
    }
}

#[cfg(test)]
mod tests;
