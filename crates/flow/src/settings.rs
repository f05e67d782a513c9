//! `[[flows]]` as the file has it, and how it becomes a [`Flow`].

mod measures;
mod window;

use event::{
    Millis,
    pointer::{Pointer, PointerError},
    shape,
};
use serde::{Deserialize, Deserializer, de};

use crate::{
    Ctr, Flow, Join, TimeKind,
    matching::{Match, MatchSettings},
    window::WindowKind,
};

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
    /// Publishes windows that are still open, at most this often: at least 1 s, and less than a window.
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
    /// Views and clicks of one value that are kept: at most 1,000,000. Further ones are counted without the join.
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

/// Every error of a flow that does not follow from another one; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|error| format!("{}: {error}", error.key)).collect::<Vec<_>>().join("\n"))]
pub struct FlowErrors(pub Vec<FlowError>);

impl FlowErrors {
    fn push(&mut self, key: impl Into<String>, reason: impl Into<String>) {
        self.0.push(FlowError::new(key, reason));
    }

    fn keep<T>(&mut self, result: Result<T, FlowError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
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

/// The largest [`JoinSettings::limit`]. An arrival takes its place in a sorted list of this length.
const MOST_JOINED: usize = 1_000_000;

fn default_limit() -> usize {
    10_000
}

fn default_allowed_lateness() -> Millis {
    Millis(3_600_000)
}

impl TryFrom<FlowSettings> for Flow {
    type Error = FlowErrors;

    fn try_from(settings: FlowSettings) -> Result<Self, FlowErrors> {
        let mut errors = FlowErrors(Vec::new());
        if settings.name.is_empty() {
            errors.push("name", "is empty; it is also the name of the table");
        }
        check_lengths(&settings, &mut errors);
        if !errors.0.is_empty() {
            return Err(errors);
        }
        if settings.early.is_some_and(|early| early.0 < 1_000) {
            errors.push("early", "must be at least \"1s\"");
        }
        let windows = errors.keep(settings.window.resolve());
        let events = errors.keep(settings.events.as_ref().map(|events| matched("where", events)).transpose());
        let ctr = errors.keep(ctr(&settings));
        let has_ctr = settings.views.is_some() || settings.clicks.is_some();
        if let Some(windows) = &windows {
            check_session(windows, settings.allowed_lateness, &mut errors);
        }
        let join = settings.join.map(|join| Join {
            view: join.on.view,
            click: join.on.click,
            within: join.within,
            limit: join.limit,
        });
        if let Some(join) = &join {
            check_join(join, has_ctr, windows.as_ref(), settings.allowed_lateness, &mut errors);
        }
        let columns = settings.measures.resolve(has_ctr, join.is_some()).and_then(|(fed, measures)| {
            check_columns(&settings.by.0, &settings.measures, &measures, &fed)?;
            Ok((fed, measures))
        });
        match (windows, events, ctr, errors.keep(columns)) {
            (Some(windows), Some(events), Some(ctr), Some((fed, measures))) if errors.0.is_empty() => {
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
            _ => Err(errors),
        }
    }
}

impl Flow {
    /// Keys that are valid and cannot have the effect that they are for. A configuration with one of them is refused; with
    /// windows of milliseconds, as in tests, they are harmless.
    pub fn ineffective(&self) -> Option<FlowError> {
        // A session has no largest length.
        let (Some(early), WindowKind::Aligned(windows)) = (self.early, &self.windows) else { return None };
        let shortest = windows.shortest();
        (early >= shortest).then(|| {
            let reason = format!(
                "\"{early}\" is not shorter than a window (\"{shortest}\"), so a window can close without an early pane; \
                 shorten it, or remove it"
            );
            FlowError::new("early", reason)
        })
    }
}

fn matched(key: &str, settings: &MatchSettings) -> Result<Match, FlowError> {
    settings.resolve().ok_or_else(|| FlowError::new(key, NOTHING))
}

fn ctr(settings: &FlowSettings) -> Result<Option<Ctr>, FlowError> {
    match (&settings.views, &settings.clicks) {
        (Some(views), Some(clicks)) => {
            Ok(Some(Ctr { views: matched("views", views)?, clicks: matched("clicks", clicks)? }))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(lone("views", "clicks")),
        (None, Some(_)) => Err(lone("clicks", "views")),
    }
}

/// No length of a flow is longer: 100 years. So a window and everything that is kept beside it stay within the years 1 to
/// 9999, which tables can show, and no sum of times overflows.
const LONGEST: Millis = Millis(36_525 * 86_400_000);

fn check_lengths(settings: &FlowSettings, errors: &mut FlowErrors) {
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
    for (key, _) in lengths.into_iter().filter(|(_, length)| length.is_some_and(|length| length > LONGEST)) {
        errors.push(key, format!("is too long; the maximum is \"{LONGEST}\" (100 years)"));
    }
}

fn check_session(windows: &WindowKind, allowed_lateness: Millis, errors: &mut FlowErrors) {
    if let WindowKind::Sessions { gap } = windows
        && allowed_lateness < *gap
    {
        let reason = format!(
            "\"{gap}\" is longer than allowed_lateness (\"{allowed_lateness}\"): a late event can connect two sessions that \
             are up to {gap} apart, but the first would no longer be in memory; make allowed_lateness at least \"{gap}\", \
             or shorten the gap"
        );
        errors.push("window.session", reason);
    }
}

fn lone(key: &str, other: &str) -> FlowError {
    FlowError::new(
        key,
        format!("needs {other} beside it; to count only one of them, add a count to [flows.measures]"),
    )
}

fn check_join(
    join: &Join,
    has_ctr: bool,
    windows: Option<&WindowKind>,
    allowed_lateness: Millis,
    errors: &mut FlowErrors,
) {
    if !has_ctr {
        errors.push(
            "join",
            "a join connects views and clicks; write views = { ... } and clicks = { ... } in the flow",
        );
    }
    if let Some(WindowKind::Sessions { .. }) = windows {
        errors.push(
            "join",
            "a flow with session windows cannot have a join, because a click that moves to another view would have to \
             split a session; use windows with a size, or remove the join",
        );
    }
    if join.limit == 0 {
        errors.push("join.limit", "must be at least 1; to join nothing, remove join");
    }
    if join.limit > MOST_JOINED {
        let reason = format!("{} is too large; the maximum is {MOST_JOINED}", join.limit);
        errors.push("join.limit", reason);
    }
    if allowed_lateness < join.within {
        let reason = format!(
            "\"{allowed_lateness}\" is shorter than join.within (\"{within}\"): a click would be counted as unmatched while \
             its view can still arrive; increase it to at least \"{within}\", or shorten join.within",
            within = join.within
        );
        errors.push("allowed_lateness", reason);
    }
}

/// No measure may have a column that the table already has. `views` and `clicks` are in the file only by their short form, so
/// that a `by` column which has their name is reported at the column.
fn check_columns(
    by: &[(String, Pointer)],
    declared: &MeasuresSettings,
    measures: &[crate::measure::Measure],
    fed: &[crate::measure::Fed],
) -> Result<(), FlowError> {
    let own =
        ["window_start", "window_end", "pane", "pane_index", "watermark", "emitted_at", "is_final", "flow"];
    let mut taken: Vec<String> = own.map(str::to_owned).into();
    for measure in measures {
        let name = &measure.name;
        let is_declared = declared.0.iter().any(|(declared, _)| declared == name);
        for column in measures::columns_of(measure, fed) {
            let lower = column.to_lowercase();
            if let Some((clash, _)) = by.iter().find(|(by, _)| by.to_lowercase() == lower) {
                return Err(if is_declared {
                    let reason = format!("its column {column:?} is also a column of by; rename one of them");
                    FlowError::new(format!("measures.{name}"), reason)
                } else {
                    let reason =
                        format!("views and clicks have a column {column:?}, too; choose another name");
                    FlowError::new(format!("by.{clash}"), reason)
                });
            }
            if taken.contains(&lower) {
                return Err(FlowError::new(
                    format!("measures.{name}"),
                    format!("the table already has a column {column:?}; choose another name for the measure"),
                ));
            }
            taken.push(lower);
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let columns = shape::pairs(deserializer, "a table of columns such as { page = \"/page\" }")?;
        if columns.is_empty() {
            return Err(de::Error::custom("name at least one column, such as { page = \"/page\" }"));
        }
        Ok(Self(columns))
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
        shape::text_or(
            deserializer,
            "a pointer such as \"/view_id\", or { view = \"/id\", click = \"/view_id\" }",
            |text| {
                let pointer: Pointer = text.parse().map_err(|error: PointerError| error.to_string())?;
                Ok(Self { view: pointer.clone(), click: pointer })
            },
            |Both { view, click }| Self { view, click },
        )
    }
}

#[cfg(test)]
mod tests;
