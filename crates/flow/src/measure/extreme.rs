//! The smallest and the largest value.

use std::{collections::BTreeMap, marker::PhantomData};

use super::{Cell, Input};
use crate::{number::Amount, row::Value};

/// Which end of the values.
pub(crate) trait End: Clone + Default {
    /// The value of two that is nearer to the end.
    fn of(a: Amount, b: Amount) -> Amount;
    /// The value of a set that is nearest to it.
    fn of_all(values: &BTreeMap<Amount, u64>) -> Option<Amount>;
}

/// The smallest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Least;

/// The largest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most;

impl End for Least {
    fn of(a: Amount, b: Amount) -> Amount {
        a.min(b)
    }

    fn of_all(values: &BTreeMap<Amount, u64>) -> Option<Amount> {
        values.first_key_value().map(|(amount, _)| *amount)
    }
}

impl End for Most {
    fn of(a: Amount, b: Amount) -> Amount {
        a.max(b)
    }

    fn of_all(values: &BTreeMap<Amount, u64>) -> Option<Amount> {
        values.last_key_value().map(|(amount, _)| *amount)
    }
}

/// The value nearest to an end. Nothing can be taken back from it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extreme<E>(pub(super) Option<Amount>, PhantomData<E>);

/// All values, with the number of events that have each: the event with the extreme one may be taken back.
#[derive(Clone, Debug, Default)]
pub struct Values<E>(pub(super) BTreeMap<Amount, u64>, PhantomData<E>);

impl<E> Extreme<E> {
    pub(super) fn new(amount: Option<Amount>) -> Self {
        Self(amount, PhantomData)
    }
}

impl<E> Values<E> {
    pub(super) fn new(values: impl IntoIterator<Item = (Amount, u64)>) -> Self {
        Self(values.into_iter().collect(), PhantomData)
    }
}

impl<E: End> Cell for Extreme<E> {
    fn add(&mut self, input: Option<Input>, times: i64) {
        debug_assert!(times > 0, "a flow whose events may be taken back has columns that can forget");
        if let Some(Input::Number(amount)) = input {
            self.0 = Some(self.0.map_or(amount, |known| E::of(known, amount)));
        }
    }

    fn merge(&mut self, other: &Self) {
        if let Some(amount) = other.0 {
            self.add(Some(Input::Number(amount)), 1);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn value(&self, _sketch: bool) -> Value {
        self.0.map_or(Value::Null, Value::from)
    }
}

impl<E: End> Cell for Values<E> {
    fn add(&mut self, input: Option<Input>, times: i64) {
        let Some(Input::Number(amount)) = input else { return };
        let count = self.0.entry(amount).or_default();
        *count = count.saturating_add_signed(times);
        if *count == 0 {
            self.0.remove(&amount);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (amount, count) in &other.0 {
            *self.0.entry(*amount).or_default() += count;
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn value(&self, _sketch: bool) -> Value {
        E::of_all(&self.0).map_or(Value::Null, Value::from)
    }

    fn heap(&self) -> usize {
        /// A node of the tree that is two thirds full.
        const ENTRY: usize = 40;
        ENTRY * self.0.len()
    }
}
