//! `window = { ... }` in its four forms.

use std::str::FromStr;

use event::{Millis, units::Quoted};
use serde::{Deserialize, Deserializer};

use super::FlowError;
use crate::{
    calendar::{Calendar, Unit},
    window::{WindowError, WindowKind, Windows},
};

/// `{ size = "10m", period = "1m" }`, `{ size = "10m" }`, `{ session = "30m" }` or
/// `{ size = "1d", timezone = "Europe/Warsaw" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSettings {
    /// Length of a window. With `timezone`: `1d`, `1w` or `1mo`.
    ///
    /// Example: `size = "10m"`
    #[serde(default)]
    pub size: Option<Size>,
    /// A window starts every `period`. An event falls into at most 1,440 windows.
    ///
    /// Default: `size`, so that windows do not overlap
    ///
    /// Example: `period = "1m"`
    #[serde(default)]
    pub period: Option<Millis>,
    /// The pause that ends a session, instead of `size`; at most `allowed_lateness`.
    ///
    /// Example: `session = "30m"`
    #[serde(default)]
    pub session: Option<Millis>,
    /// Windows are days, weeks or months of this time zone of the IANA database.
    ///
    /// Example: `timezone = "Europe/Warsaw"`
    #[serde(default)]
    pub timezone: Option<String>,
}

/// A length, or a unit of the calendar.
#[derive(Clone, Debug)]
pub enum Size {
    /// A length.
    Length(Millis),
    /// A day, which is no length: with a time zone it may have 23 or 25 hours.
    Day,
    /// A week.
    Week,
    /// A month.
    Month,
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quoted::new("a duration with its unit in quotes, for example \"10m\""))
    }
}

impl FromStr for Size {
    type Err = event::units::UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "1d" => Ok(Self::Day),
            "1w" => Ok(Self::Week),
            "1mo" => Ok(Self::Month),
            text => text.parse().map(Self::Length),
        }
    }
}

const DAY: Millis = Millis(86_400_000);
const WEEK: Millis = Millis(7 * DAY.0);

impl WindowSettings {
    pub(super) fn resolve(&self) -> Result<WindowKind, FlowError> {
        let error = |key: &str, reason: &str| Err(FlowError::new(format!("window.{key}"), reason));
        if let Some(gap) = self.session {
            let beside = [
                ("size", self.size.is_some()),
                ("period", self.period.is_some()),
                ("timezone", self.timezone.is_some()),
            ];
            if let Some((key, _)) = beside.iter().find(|(_, is_there)| *is_there) {
                return error(
                    key,
                    "a session has no size, period or time zone; remove it, or remove session",
                );
            }
            if gap.0 == 0 {
                return error(
                    "session",
                    "the gap must be longer than 0; write for example session = \"30m\"",
                );
            }
            return Ok(WindowKind::Sessions { gap });
        }
        let Some(size) = &self.size else {
            return Err(FlowError::new("window", "write size = \"10m\" or session = \"30m\""));
        };
        match &self.timezone {
            Some(zone) => self.calendar(size, zone).map(WindowKind::Aligned),
            None => self.sliding(size).map(WindowKind::Aligned),
        }
    }

    fn calendar(&self, size: &Size, zone: &str) -> Result<Windows, FlowError> {
        if self.period.is_some() {
            let reason = "calendar windows follow each other without a period; remove it, or remove timezone";
            return Err(FlowError::new("window.period", reason));
        }
        let unit = match size {
            Size::Day => Unit::Day,
            Size::Week => Unit::Week,
            Size::Month => Unit::Month,
            Size::Length(length) => {
                let reason = match *length {
                    DAY => {
                        "a day of a time zone may have 23 or 25 hours; write \"1d\" for days, or remove timezone".to_owned()
                    }
                    WEEK => {
                        "seven days could begin on any day; write \"1w\" for weeks from Monday, or remove timezone".to_owned()
                    }
                    length => format!(
                        "with a time zone the size is \"1d\", \"1w\" or \"1mo\", not {length}; write one of these, or \
                         remove timezone"
                    ),
                };
                return Err(FlowError::new("window.size", reason));
            }
        };
        Calendar::try_new(unit, zone).map(Windows::Calendar).map_err(|near| {
            let near: Vec<String> = near.iter().map(|name| format!("{name:?}")).collect();
            let hint = if crate::calendar::is_offset(&zone.to_lowercase()) {
                "an offset does not change with summer time; write a place whose clock you follow, such as \
                 \"Europe/Warsaw\", or \"UTC\""
                    .to_owned()
            } else if near.is_empty() {
                "write a name of the IANA time zone database, such as \"Europe/Warsaw\"".to_owned()
            } else {
                format!("did you mean {}?", near.join(" or "))
            };
            FlowError::new("window.timezone", format!("unknown time zone {zone:?}; {hint}"))
        })
    }

    fn sliding(&self, size: &Size) -> Result<Windows, FlowError> {
        let size = match size {
            Size::Length(size) => *size,
            Size::Day => DAY,
            Size::Week => WEEK,
            Size::Month => {
                let reason =
                    "months have no fixed length; add timezone = \"UTC\" or the zone whose months you count";
                return Err(FlowError::new("window.size", reason));
            }
        };
        Windows::sliding(size, self.period.unwrap_or(size)).map_err(|error| {
            let is_size = error == WindowError::Empty && size.0 == 0;
            FlowError::new(if is_size { "window.size" } else { "window.period" }, error.to_string())
        })
    }
}
