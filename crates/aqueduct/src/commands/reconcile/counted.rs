//! The counts of the state in one window. Pure.

use std::collections::BTreeMap;

use event::{EventTime, Key};
use flow::{
    Window, Windows,
    measure::Columns,
    row::{Value, Values},
    window::WindowKind,
};
use processor::{
    engine::FlowState,
    saved::Room,
    windows::saved::{Place, SavedWindows},
};

/// The measures of a window by key, as in rows; `None` once the window is final. Keys without events are omitted.
pub(super) fn counted(state: &FlowState, window: Window) -> Option<BTreeMap<Key, Values>> {
    let mut saved = SavedWindows::default();
    let rest = state.windows.walk(Place::START, &mut Room::new(usize::MAX), &mut saved);
    debug_assert!(rest.is_none(), "there is room for everything");
    if window.end <= saved.closed {
        return None;
    }
    let names: BTreeMap<_, _> = saved.keys.into_iter().collect();
    let mut columns = Columns::new(&state.flow.fed, state.flow.takes_back());
    // Each key has a separate row; row 0 receives the saved cells one after the other.
    columns.resize(1);
    let mut rows = BTreeMap::new();
    let parts = match &state.flow.windows {
        WindowKind::Aligned(windows) => {
            let slices = saved.slices.iter().filter(|(start, _)| is_in(*start, window, windows));
            slices.map(|(_, slice)| (slice.ids.clone(), &slice.columns)).collect()
        }
        // A session of another length is a different window.
        WindowKind::Sessions { .. } => {
            let of_window =
                saved.sessions.sessions.iter().map(|session| (session.window == window, session.key));
            vec![(
                of_window.map(|(is_it, key)| if is_it { key } else { u32::MAX }).collect(),
                &saved.sessions.columns,
            )]
        }
    };
    for (keys, cells) in parts {
        for (number, key) in keys.into_iter().enumerate() {
            let Some(name) = names.get(&key) else { continue };
            columns.restore(0, cells, number);
            if columns.is_empty(0) {
                continue;
            }
            let row = *rows.entry(name.clone()).or_insert_with(|| {
                columns.resize(columns.rows() + 1);
                columns.rows() - 1
            });
            columns.merge_within(row, 0);
        }
    }
    let values = |row| {
        let mut values = columns.values(row);
        let since = state.windows.since();
        for (number, value) in values.iter_mut().enumerate() {
            // A measure that was added later is NULL in windows that began before.
            if window.start < since.of(number) {
                *value = Value::Null;
            }
        }
        values
    };
    Some(rows.into_iter().map(|(key, row)| (key, values(row))).collect())
}

fn is_in(slice: EventTime, window: Window, windows: &Windows) -> bool {
    let slice = windows.slice_of(slice);
    window.start <= slice.start && slice.end <= window.end
}
