//! How many different keys fit into the processor's memory. Pure; an estimate, as only the events know how many there
//! are.

use event::ByteSize;
use flow::Flow;

use super::Sections;

/// Bytes of a cell (one key in one slice) with its share of the tables.
const CELL: u64 = 72;
/// Bytes of a key with its text, for texts of the usual length.
const KEY: u64 = 160;

/// One line a flow.
pub(super) fn estimates(sections: &Sections) -> Vec<String> {
    sections.flows.iter().map(|flow| estimate(flow, sections.state.memory)).collect()
}

fn estimate(flow: &Flow, memory: ByteSize) -> String {
    let slice = flow.windows.slice();
    let (slices, a_key, keys) = (live_slices(flow), a_key(flow), keys(flow, memory));
    format!(
        "flow {}: {slices} slices of {slice} are live; a key with events in all of them needs {a_key} bytes, \
         so state.memory = \"{memory}\" has room for {keys} such keys{}",
        flow.name,
        if flow.join.is_some() { ", minus the memory of views that wait for their clicks" } else { "" },
    )
}

/// Bytes of a key that is seen in every slice that is live.
pub(crate) fn a_key(flow: &Flow) -> u64 {
    KEY + CELL * live_slices(flow)
}

/// How many such keys fit into `memory`.
pub(crate) fn keys(flow: &Flow, memory: ByteSize) -> u64 {
    memory.0 / a_key(flow)
}

/// A slice lives until the last window that holds it is final.
fn live_slices(flow: &Flow) -> u64 {
    let span = flow.windows.size().0 + flow.allowed_lateness.0 + flow.out_of_orderness.0;
    (span / flow.windows.slice().0.max(1)).unsigned_abs() + 1
}
