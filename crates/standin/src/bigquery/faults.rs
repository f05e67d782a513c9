//! What goes wrong, and when: asked for by a test while the server runs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tonic::Code;

use super::tables::Tables;

/// What becomes of one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and the answer is UNAVAILABLE.
    AnswerLost,
    /// Nothing is done; the connection is reset.
    CutBefore,
    /// It is done, and the connection is reset instead of an answer.
    CutAfter,
    /// Nothing is done; no answer comes as long as the client waits.
    HangBefore,
    /// It is done; no answer comes as long as the client waits.
    HangAfter,
    /// Nothing is done, and the answer is this code.
    Answer(Code),
    /// Nothing is done; the stream has been finalized.
    Finalized,
    /// Nothing is done; nobody knows the stream any more.
    Forgotten,
    /// It is done, the answer is UNAVAILABLE, and then the stream is finalized.
    LostAndFinalized,
    /// It is done, the answer is UNAVAILABLE, and then nobody knows the stream any more.
    LostAndForgotten,
}

/// A handle on the faults of a running server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// By table, in order.
    next: BTreeMap<String, VecDeque<Fault>>,
    refused: Vec<String>,
    answers: BTreeMap<i32, u64>,
}

impl Faults {
    pub(super) fn new(tables: Arc<Mutex<Tables>>) -> Self {
        Self { plan: Arc::default(), tables }
    }

    /// The next append to a table meets this; several are met in their order, one an append.
    pub fn next(&self, table: &str, fault: Fault) {
        self.plan().next.entry(table.to_owned()).or_default().push_back(fault);
    }

    /// How many faults were asked for and not met yet.
    pub fn waiting(&self) -> usize {
        self.plan().next.values().map(VecDeque::len).sum()
    }

    /// From now on every row with a column of this text is refused, and the append that brings it.
    pub fn refuse(&self, text: &str) {
        self.plan().refused.push(text.to_owned());
    }

    /// Nobody knows the streams of a table any more.
    pub fn forget_streams(&self, table: &str) {
        let mut tables = locked(&self.tables);
        for stream in tables.streams.of(table) {
            tables.streams.forget(&stream);
        }
    }

    /// How many appends were answered so; OK counts too.
    pub fn answers(&self, code: Code) -> u64 {
        self.plan().answers.get(&(code as i32)).copied().unwrap_or(0)
    }

    /// The fault that the next append to a table meets.
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

/// State behind these locks is whole after every call, a panic included.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
