//! Windows and measures as JSON: times are text, and measures have the names of their columns.

use flow::{Window, row::Cell};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;

use super::shown::Measured;

/// Members of a row, a point or a pane. A measure with one of these names gets [`PREFIX`].
const MEMBERS: [&str; 6] = ["key", "keys", "course", "end", "session", "panes"];
const PREFIX: &str = "measure_";

#[derive(Serialize)]
struct Bounds {
    window_start: String,
    window_end: String,
}

impl From<Window> for Bounds {
    fn from(window: Window) -> Self {
        Self { window_start: window.start.to_string(), window_end: window.end.to_string() }
    }
}

pub(super) fn window<S: Serializer>(window: &Window, s: S) -> Result<S::Ok, S::Error> {
    Bounds::from(*window).serialize(s)
}

pub(super) fn maybe_window<S: Serializer>(window: &Option<Window>, s: S) -> Result<S::Ok, S::Error> {
    window.map(Bounds::from).serialize(s)
}

/// Serialises measures under the names of their columns. Sketches are left out, because they are only useful in the
/// table.
pub(super) fn measured<S: Serializer>(measured: &Measured, s: S) -> Result<S::Ok, S::Error> {
    let mut map = s.serialize_map(None)?;
    let mut done = Ok(());
    for measure in measured.measures.iter() {
        let mut names = measure.shown().into_iter();
        measure.cells(&measured.values, &mut |cell| {
            if done.is_ok()
                && let Some(name) = names.next()
            {
                let name = if MEMBERS.contains(&&*name) { format!("{PREFIX}{name}") } else { name };
                done = map.serialize_entry(&name, &Written(cell));
            }
        });
    }
    done?;
    map.end()
}

struct Written<'a>(Cell<'a>);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cell::Null | Cell::Bytes(_) => s.serialize_unit(),
            Cell::Text(text) => s.serialize_str(text),
            Cell::Integer(number) => s.serialize_i64(number),
            // All digits are kept, as in the output of `replay`.
            Cell::Decimal(total) => match RawValue::from_string(total.to_string()) {
                Ok(number) => number.serialize(s),
                Err(_) => s.serialize_f64(total.to_f64()),
            },
            Cell::Real(number) => s.serialize_f64(number),
            Cell::Time(time) => s.collect_str(&time),
        }
    }
}
