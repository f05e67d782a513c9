//! The faults of a running server, injected by a test.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tonic::Code;

use super::tables::Tables;

/// A fault of one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The rows are added, and the answer is UNAVAILABLE.
    AnswerLost,
    /// No rows are added, and the connection is reset.
    CutBefore,
    /// The rows are added, and the connection is reset instead of an answer.
    CutAfter,
    /// No rows are added, and no answer is sent while the client waits.
    HangBefore,
    /// The rows are added, and no answer is sent while the client waits.
    HangAfter,
    /// No rows are added, and the answer is this code.
    Answer(Code),
    /// No rows are added, and the stream has been finalized.
    Finalized,
    /// No rows are added, and the stream no longer exists.
    Forgotten,
    /// The rows are added, the answer is UNAVAILABLE, and then the stream is finalized.
    LostAndFinalized,
    /// The rows are added, the answer is UNAVAILABLE, and then the stream no longer exists.
    LostAndForgotten,
}

/// Controls the faults of a running server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// Queued faults by table, in order.
    next: BTreeMap<String, VecDeque<Fault>>,
    refused: Vec<String>,
    answers: BTreeMap<i32, u64>,
}

impl Faults {
    pub(super) fn new(tables: Arc<Mutex<Tables>>) -> Self {
        Self { plan: Arc::default(), tables }
    }

    /// Queues a fault for an append to this table. Each append takes one fault, in order.
    pub fn next(&self, table: &str, fault: Fault) {
        self.plan().next.entry(table.to_owned()).or_default().push_back(fault);
    }

    /// The number of faults that are still queued.
    pub fn waiting(&self) -> usize {
        self.plan().next.values().map(VecDeque::len).sum()
    }

    /// From now on, refuses rows that have this text in a column, and the appends that contain them.
    pub fn refuse(&self, text: &str) {
        self.plan().refused.push(text.to_owned());
    }

    /// Deletes all streams of a table.
    pub fn forget_streams(&self, table: &str) {
        let mut tables = locked(&self.tables);
        for stream in tables.streams.of(table) {
            tables.streams.forget(&stream);
        }
    }

    /// The number of appends that were answered with this code, including OK.
    pub fn answers(&self, code: Code) -> u64 {
        self.plan().answers.get(&(code as i32)).copied().unwrap_or(0)
    }

    /// The next queued fault of a table.
    pub(super) fn take(&self, table: &str) -> Option<Fault> {
        self.plan().next.get_mut(table)?.pop_front()
    }

    pub(super) fn is_refused(&self, text: &str) -> bool {
        self.plan().refused.iter().any(|refused| refused == text)
    }

    pub(super) fn answered(&self, code: i32) {
        *self.plan().answers.entry(code).or_default() += 1;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        locked(&self.plan)
    }
}

/// Locks a mutex. The state behind it is consistent after every call, even if it panicked.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
