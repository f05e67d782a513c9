//! Sums of exact decimals.

use serde::{Deserialize, Serialize};

use super::{Cell, Input};
use crate::{number::Total, row::Value};

/// A sum, and how many events are in it: a sum of 0 is not an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub(super) total: Total,
    pub(super) events: u64,
}

impl Cell for Sum {
    fn add(&mut self, input: Option<Input>, times: i64) {
        if let Some(Input::Number(amount)) = input {
            self.total.add(amount, times);
            self.events = self.events.saturating_add_signed(times);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.total.merge(other.total);
        self.events += other.events;
    }

    fn is_empty(&self) -> bool {
        self.events == 0
    }

    fn value(&self, _sketch: bool) -> Value {
        Value::Number(Box::new(self.total))
    }
}
