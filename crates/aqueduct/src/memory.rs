//! The number of keys for which the processor's memory is enough. Pure; an estimate, because the actual number depends
//! on the events.

use event::{ByteSize, Millis};
use flow::{
    Flow, Windows,
    measure::{Aggregation, Columns},
    window::WindowKind,
};

/// Bytes of a key with its text, for texts of the usual length.
const KEY: u64 = 160;
/// Bytes of a session besides its measures.
const SESSION: u64 = 120;
/// Bytes of a sketch with many values; one with few is smaller.
const SKETCH: u64 = 4_240;

/// One line per flow.
pub(crate) fn estimates(flows: &[Flow], memory: ByteSize) -> Vec<String> {
    flows.iter().map(|flow| estimate(flow, memory)).collect()
}

fn estimate(flow: &Flow, memory: ByteSize) -> String {
    let (live, a_key, keys) = (live(flow), a_key(flow), keys(flow, memory));
    let (parts, busy) = match &flow.windows {
        WindowKind::Aligned(Windows::Sliding(sliding)) => {
            (format!("{live} slices of {} are live", sliding.slice()), "with events in all of them ")
        }
        WindowKind::Aligned(Windows::Calendar(_)) => {
            (format!("{live} calendar windows are live"), "with events in all of them ")
        }
        WindowKind::Sessions { .. } => (format!("a key has at most {live} live sessions"), "with as many "),
    };
    let sketches = sketches(flow);
    format!(
        "flow {}: {parts}; a key {busy}needs {}{a_key} bytes, so state.memory = \"{memory}\" is enough for {}{keys} such keys{}",
        flow.name,
        if sketches > 0 { "up to " } else { "" },
        if sketches > 0 { "at least " } else { "" },
        if flow.join.is_some() { ", minus the memory for views that are kept for the join" } else { "" },
    )
}

/// Bytes of a key that is seen in every slice, or session, that is live.
pub(crate) fn a_key(flow: &Flow) -> u64 {
    KEY + cell(flow) * live(flow)
}

/// The number of such keys for which `memory` is enough.
pub(crate) fn keys(flow: &Flow, memory: ByteSize) -> u64 {
    memory.0 / a_key(flow)
}

/// Bytes of the measures of one key in one slice, or of a session.
fn cell(flow: &Flow) -> u64 {
    let row = Columns::new(&flow.fed, flow.takes_back()).row_bytes() as u64;
    // Columns grow by a quarter, and two bits per cell record whether it exists and whether it changed.
    let stored = row + row.div_ceil(4) + 1;
    let session = if matches!(flow.windows, WindowKind::Sessions { .. }) { SESSION } else { 0 };
    stored + session + SKETCH * sketches(flow)
}

/// Numbers of distinct values are sketches, each in memory of its own.
fn sketches(flow: &Flow) -> u64 {
    let distinct = flow.fed.iter().filter(|fed| matches!(fed.aggregation, Aggregation::Distinct { .. }));
    distinct.count() as u64
}

/// The most slices, or sessions of one key, that are kept at one time.
fn live(flow: &Flow) -> u64 {
    let late = flow.allowed_lateness.0.saturating_add(flow.out_of_orderness.0);
    let of = |span: i64, part: Millis| (span / part.0.max(1)).unsigned_abs() + 1;
    match &flow.windows {
        // A slice is live until the last window that contains it is final.
        WindowKind::Aligned(Windows::Sliding(sliding)) => {
            of(late.saturating_add(sliding.size().0), sliding.slice())
        }
        // The open one, and those whose allowed lateness has not passed. The shortest day has 23 hours.
        WindowKind::Aligned(windows) => of(late, Millis(windows.longest().0 / 2)) + 1,
        // A session is kept for its lateness and one more gap.
        WindowKind::Sessions { gap } => of(late.saturating_add(gap.0), *gap) + 1,
    }
}
