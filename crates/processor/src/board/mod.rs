//! The board: the rows of the last hour that are in their tables, for the live page.
//!
//! It contains only rows that a table has accepted, so every row on the page can be found in its table. Its memory is
//! bounded: if there are too many keys, it drops those with the lowest counts, and reports that it did.

mod fired;
mod flow_board;
mod json;
mod shown;

use std::sync::{Arc, PoisonError, RwLock};

use flow::{Flow, row::Row};

pub use self::{
    fired::Fired,
    flow_board::FlowBoard,
    shown::{Ask, Busiest, Busy, KeyWindow, Measured, Point, ShownPane},
};

/// The boards of all flows. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Board {
    flows: Arc<[RwLock<FlowBoard>]>,
}

impl Board {
    /// Creates empty boards that together take at most about `bytes` bytes.
    pub fn new(flows: &[Flow], bytes: u64) -> Self {
        let share = bytes / flows.len().max(1) as u64;
        Self { flows: flows.iter().map(|flow| RwLock::new(FlowBoard::new(flow, share))).collect() }
    }

    /// Adds rows that are in their table. `flow` is the flow's index.
    pub fn add(&self, flow: usize, rows: &[Row]) {
        if let Some(board) = self.flows.get(flow) {
            // Each row is added by one assignment, so a panic leaves no board half changed.
            board.write().unwrap_or_else(PoisonError::into_inner).add(rows);
        }
    }

    /// Calls `look` with a flow's board; `None` if there is no flow of that name.
    pub fn look<T>(&self, flow: &str, look: impl FnOnce(&FlowBoard) -> T) -> Option<T> {
        let boards = self.flows.iter().map(|board| board.read().unwrap_or_else(PoisonError::into_inner));
        boards.into_iter().find(|board| &**board.name() == flow).map(|board| look(&board))
    }

    /// Approximate bytes of all boards.
    pub fn bytes(&self) -> u64 {
        let bytes = |board: &RwLock<FlowBoard>| board.read().unwrap_or_else(PoisonError::into_inner).bytes();
        self.flows.iter().map(bytes).sum()
    }
}
