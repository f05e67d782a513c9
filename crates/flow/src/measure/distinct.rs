//! The number of different values, estimated.
//!
//! The sketch is a HyperLogLog of Apache DataSketches with 2^12 registers. Each register is the maximum over the values that
//! fall into it, so the registers depend on the set of values alone, and so does the composite estimate, which reads nothing
//! else. The family's usual estimate for a HyperLogLog (HIP) and for CPC uses the order of arrival; Theta sketches of the
//! same error are eight times as large.

use datasketches::hll::{HllSketch, HllType, HllUnion};
use rustc_hash::FxHashMap;

use super::{Cell, Input};
use crate::row::Value;

/// The binary logarithm of the number of registers.
const LOG_REGISTERS: u8 = 12;

/// The relative standard error of an estimate: 1.04 / sqrt(2^12).
pub const ERROR: f64 = 0.0163;

/// An estimate with its sketch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Estimate {
    /// The estimated number of different values.
    pub number: u64,
    /// The sketch, as Apache DataSketches serialises an HLL_8: the same bytes for the same values in any order. Only where
    /// rows carry it.
    pub sketch: Option<Box<[u8]>>,
}

/// A sketch; nothing in it until the first value, as most cells of a measure with `where` have none.
#[derive(Clone, Debug, Default)]
pub struct Sketch(Option<Box<HllUnion>>);

/// All values' hashes, with the number of events that have each: events may be taken back.
#[derive(Clone, Debug, Default)]
pub struct Items(pub(super) Option<Box<FxHashMap<u64, u64>>>);

impl Sketch {
    pub(super) fn serialize(&self) -> Box<[u8]> {
        self.0.as_ref().map_or_else(Box::default, |union| canonical(union))
    }

    /// A sketch from its bytes; empty for no bytes. `None` for bytes that are no such sketch.
    pub(super) fn deserialize(bytes: &[u8]) -> Option<Self> {
        let mut sketch = Self::default();
        if !bytes.is_empty() {
            sketch.union().update(&HllSketch::deserialize(bytes).ok()?);
        }
        Some(sketch)
    }

    fn union(&mut self) -> &mut HllUnion {
        let new = || Box::new(HllUnion::new(LOG_REGISTERS).expect("the number of registers is allowed"));
        self.0.get_or_insert_with(new)
    }
}

impl Cell for Sketch {
    fn add(&mut self, input: Option<Input>, times: i64) {
        debug_assert!(times > 0, "a flow whose events may be taken back has columns that can forget");
        if let Some(Input::Item(hash)) = input {
            self.union().update_value(hash);
        }
    }

    fn merge(&mut self, other: &Self) {
        if let Some(other) = &other.0 {
            self.union().update(&other.to_sketch(HllType::Hll8));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn value(&self, sketch: bool) -> Value {
        let empty;
        let union = match &self.0 {
            Some(union) => union,
            None => {
                empty = HllUnion::new(LOG_REGISTERS).expect("the number of registers is allowed");
                &empty
            }
        };
        let number = union.composite_estimate().round() as u64;
        Value::Distinct(Box::new(Estimate { number, sketch: sketch.then(|| canonical(union)) }))
    }

    fn heap(&self) -> usize {
        self.0.as_ref().map_or(0, |union| size_of::<HllUnion>() + union.estimated_size())
    }
}

impl Items {
    pub(super) fn new(items: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let items: FxHashMap<_, _> = items.into_iter().collect();
        Self((!items.is_empty()).then(|| Box::new(items)))
    }
}

impl Cell for Items {
    fn add(&mut self, input: Option<Input>, times: i64) {
        let Some(Input::Item(hash)) = input else { return };
        let items = self.0.get_or_insert_default();
        let count = items.entry(hash).or_default();
        *count = count.saturating_add_signed(times);
        if *count == 0 {
            items.remove(&hash);
        }
        if items.is_empty() {
            self.0 = None;
        }
    }

    fn merge(&mut self, other: &Self) {
        for (hash, count) in other.0.iter().flat_map(|items| items.iter()) {
            *self.0.get_or_insert_default().entry(*hash).or_default() += count;
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn value(&self, sketch: bool) -> Value {
        let mut merged = Sketch::default();
        for hash in self.0.iter().flat_map(|items| items.keys()) {
            merged.add(Some(Input::Item(*hash)), 1);
        }
        merged.value(sketch)
    }

    fn heap(&self) -> usize {
        self.0.as_ref().map_or(0, |items| 48 + items.capacity() * 18)
    }
}

/// The bytes of a sketch, the same for the same values. With few values they list them in the order of arrival, so the
/// list is sorted; with many, the estimate that depends on that order is marked as not to be used.
fn canonical(union: &HllUnion) -> Box<[u8]> {
    /// Bytes before the listed values, by their form (list or set).
    const FORMS: [usize; 2] = [8, 12];
    /// The current form, in the last byte of the common header.
    const FORM: usize = 7;
    let sketch = union.to_sketch(HllType::Hll8);
    let mut bytes = sketch.serialize();
    match FORMS.get(usize::from(bytes[FORM] & 3)) {
        Some(&header) if bytes.len() > header => {
            let mut values: Vec<[u8; 4]> = bytes[header..]
                .chunks_exact(4)
                .map(|value| [value[0], value[1], value[2], value[3]])
                .collect();
            values.sort_unstable_by_key(|value| u32::from_le_bytes(*value));
            bytes.truncate(header);
            bytes.extend(values.into_iter().flatten());
        }
        Some(_) => {}
        None => {
            // Merging a sketch with itself changes no register.
            let mut merged = HllUnion::new(LOG_REGISTERS).expect("the number of registers is allowed");
            merged.update(&sketch);
            merged.update(&sketch);
            bytes = merged.to_sketch(HllType::Hll8).serialize();
        }
    }
    bytes.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(items: impl IntoIterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::default();
        items.into_iter().for_each(|item| sketch.add(Some(Input::Item(item)), 1));
        sketch
    }

    fn estimate(sketch: &Sketch) -> Estimate {
        match sketch.value(true) {
            Value::Distinct(estimate) => *estimate,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn order_and_grouping_change_nothing(
            distinct in prop_oneof![0u64..8, 0u64..30, 300u64..500, 1u64..20_000], seed in any::<u64>(), parts in 1usize..6,
        ) {
            let items: Vec<u64> = (0..distinct).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed).collect();
            let whole = estimate(&sketch(items.iter().copied()));
            prop_assert_eq!(&estimate(&sketch(items.iter().rev().copied().chain(items.iter().copied()))), &whole);
            let mut merged = Sketch::default();
            for part in items.chunks(items.len() / parts + 1).rev() {
                let part = sketch(part.iter().copied());
                merged.merge(&Sketch::deserialize(&part.serialize()).expect("our bytes"));
            }
            prop_assert_eq!(&estimate(&merged), &whole);
            let counted = Items::new(items.iter().map(|item| (*item, 2)));
            prop_assert_eq!(counted.value(true), Value::Distinct(Box::new(whole)));
        }
    }

    /// 1.63 % is one standard error: of 60 sets none is off by five, and the mean of the squares is near one.
    #[test]
    fn the_error_is_the_documented_one() {
        for size in [5_u64, 1_000, 20_000] {
            let mut squares = 0.0;
            for set in 0..60_u64 {
                let number = estimate(&sketch((0..size).map(|n| n << 16 | set << 8 | 0xA5))).number;
                let off = (number as f64 - size as f64) / size as f64 / ERROR;
                assert!(off.abs() < 5.0, "{size}: {number}");
                squares += off * off / 60.0;
            }
            assert!(squares < 1.6, "{size}: {squares}");
        }
    }
}
