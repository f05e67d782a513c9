//! `[[flows]]` as the file has it, and how it becomes a [`Flow`].

use std::{fmt, num::NonZeroUsize};

use event::{Millis, Windows, pointer::Pointer, window::WindowError};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::{Flow, Join, TimeKind, matching::MatchSettings};

/// One `[[flows]]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSettings {
    /// Name of the flow and of its table.
    pub name: String,
    /// Column = where it stands in the event.
    pub by: Columns,
    /// What counts as a view.
    pub views: MatchSettings,
    /// What counts as a click.
    pub clicks: MatchSettings,
    /// Size and period.
    pub window: WindowSettings,
    /// Which time counts.
    #[serde(default)]
    pub time: TimeKind,
    /// How much older than the newest event before it an event may be without being late.
    #[serde(default = "default_out_of_orderness")]
    pub out_of_orderness: Millis,
    /// How long behind its end a window takes late events.
    #[serde(default = "default_allowed_lateness")]
    pub allowed_lateness: Millis,
    /// Early panes, at most that often.
    #[serde(default)]
    pub early: Option<Millis>,
    /// Clicks find their views.
    #[serde(default)]
    pub join: Option<JoinSettings>,
}

/// `window = { size = "10m", period = "1m" }`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSettings {
    /// Length.
    pub size: Millis,
    /// Distance between two starts; absent for fixed windows.
    #[serde(default)]
    pub period: Option<Millis>,
}

/// `join = { on = "/view_id", within = "30m" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinSettings {
    /// What view and click share.
    pub on: JoinOn,
    /// How long before its click a view may be.
    pub within: Millis,
    /// The most views and clicks of one value that are kept; further ones are counted without the join.
    #[serde(default = "default_limit")]
    pub limit: NonZeroUsize,
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

/// What is wrong with a flow: the key below it, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FlowError {
    /// Dotted key below the flow, such as `window.size`.
    pub key: &'static str,
    /// What is wrong and what to write.
    pub reason: String,
}

fn default_out_of_orderness() -> Millis {
    Millis(30_000)
}

fn default_limit() -> NonZeroUsize {
    const { NonZeroUsize::new(10_000).expect("above 0") }
}

fn default_allowed_lateness() -> Millis {
    Millis(3_600_000)
}

impl TryFrom<FlowSettings> for Flow {
    type Error = FlowError;

    fn try_from(settings: FlowSettings) -> Result<Self, FlowError> {
        let error = |key, reason: &str| FlowError { key, reason: reason.to_owned() };
        if settings.name.is_empty() {
            return Err(error("name", "a flow needs a name; it is also its table"));
        }
        let size = settings.window.size;
        let windows =
            Windows::try_new(size, settings.window.period.unwrap_or(size)).map_err(|e| FlowError {
                key: if e == WindowError::Empty && size.0 == 0 { "window.size" } else { "window.period" },
                reason: e.to_string(),
            })?;
        let nothing = "matches nothing; name at least one pair such as \"/type\" = \"view\"";
        let views = settings.views.resolve().ok_or_else(|| error("views", nothing))?;
        let clicks = settings.clicks.resolve().ok_or_else(|| error("clicks", nothing))?;
        if settings.early.is_some_and(|early| early.0 < 1_000) {
            return Err(error(
                "early",
                "early panes more often than every second are not for people; write 1s or more",
            ));
        }
        let join = settings.join.map(|j| Join {
            view: j.on.view,
            click: j.on.click,
            within: j.within,
            limit: j.limit.get(),
        });
        if join.as_ref().is_some_and(|join| settings.allowed_lateness < join.within) {
            return Err(error(
                "allowed_lateness",
                "is shorter than join.within: a view could still be missing when its click is given up; make it at least as long",
            ));
        }
        Ok(Self {
            name: settings.name.into(),
            by: settings.by.0,
            views,
            clicks,
            windows,
            time: settings.time,
            out_of_orderness: settings.out_of_orderness,
            allowed_lateness: settings.allowed_lateness,
            early: settings.early,
            join,
        })
    }
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
