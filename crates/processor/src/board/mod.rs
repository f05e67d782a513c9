//! The rows that stand in their tables, as far back as a page shows them: the last hour of the busiest keys.
//!
//! Filled with what the tables took, and with nothing else, so that what is shown can be found there. Its memory is
//! bounded: where the keys are too many, those with the fewest views are left out, and it says so.
//! Not here: how it is shown.

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

/// The boards of all flows, shared by cloning.
#[derive(Clone, Debug, Default)]
pub struct Board {
    flows: Arc<[RwLock<FlowBoard>]>,
}

impl Board {
    /// Empty boards that together take about `bytes` at most.
    pub fn new(flows: &[Flow], bytes: u64) -> Self {
        let share = bytes / flows.len().max(1) as u64;
        Self { flows: flows.iter().map(|flow| RwLock::new(FlowBoard::new(flow, share))).collect() }
    }

    /// Adds rows of a flow, by its number, that stand in their table.
    pub fn add(&self, flow: usize, rows: &[Row]) {
        if let Some(board) = self.flows.get(flow) {
            // Each row is one assignment more: a board is never left half changed.
            board.write().unwrap_or_else(PoisonError::into_inner).add(rows);
        }
    }

    /// Looks at a flow's board; nothing where no flow has that name.
    pub fn look<T>(&self, flow: &str, look: impl FnOnce(&FlowBoard) -> T) -> Option<T> {
        let boards = self.flows.iter().map(|board| board.read().unwrap_or_else(PoisonError::into_inner));
        boards.into_iter().find(|board| &**board.name() == flow).map(|board| look(&board))
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> u64 {
        let bytes = |board: &RwLock<FlowBoard>| board.read().unwrap_or_else(PoisonError::into_inner).bytes();
        self.flows.iter().map(bytes).sum()
    }
}
