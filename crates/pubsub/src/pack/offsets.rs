//! The offsets of a pack, as text.

use std::{fmt, ops::Range, str::FromStr};

use super::{Damaged, MAX_RECORDS};
use crate::limits::MAX_VALUE_BYTES;

/// Ascending offsets. As text: the first offset, and then in turn the length of a run and of the gap after it.
///
/// ```
/// use pubsub::pack::Offsets;
///
/// let offsets: Offsets = "1000,16,1,3".parse()?;
/// assert!(offsets.iter().eq((1000..1016).chain(1017..1020)));
/// assert_eq!(offsets.to_string(), "1000,16,1,3");
/// # Ok::<_, pubsub::pack::Damaged>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    runs: Vec<Range<u64>>,
}

/// The longest text of a run after the first, with its two commas: two numbers of 64 bits.
const RUN_BYTES: usize = 42;

impl Offsets {
    /// Adds an offset above all others.
    pub fn push(&mut self, offset: u64) {
        match self.runs.last_mut() {
            Some(run) if run.end == offset => run.end += 1,
            _ => self.runs.push(offset..offset + 1),
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).fold(0, u64::saturating_add)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether more runs might not fit into an attribute.
    pub fn is_full(&self) -> bool {
        (self.runs.len() + 1) * RUN_BYTES > MAX_VALUE_BYTES
    }

    /// The offsets in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().cloned().flatten()
    }

    /// The runs of offsets without a gap.
    pub fn runs(&self) -> &[Range<u64>] {
        &self.runs
    }
}

impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.runs.first() else { return Ok(()) };
        write!(f, "{},{}", first.start, first.end - first.start)?;
        for pair in self.runs.windows(2) {
            write!(f, ",{},{}", pair[1].start - pair[0].end, pair[1].end - pair[1].start)?;
        }
        Ok(())
    }
}

impl FromStr for Offsets {
    type Err = Damaged;

    fn from_str(text: &str) -> Result<Self, Damaged> {
        let mut runs = Vec::new();
        let (mut end, mut records) = (0_u64, 0_u64);
        let mut numbers = text.split(',').map(|number| number.parse::<u64>().map_err(|_| Damaged));
        while let Some(gap) = numbers.next() {
            let (gap, length) = (gap?, numbers.next().ok_or(Damaged)??);
            // Only the first number may be 0: two runs without a gap are one.
            if length == 0 || gap == 0 && !runs.is_empty() {
                return Err(Damaged);
            }
            let start = end.checked_add(gap).ok_or(Damaged)?;
            end = start.checked_add(length).ok_or(Damaged)?;
            records += length;
            if records > MAX_RECORDS {
                return Err(Damaged);
            }
            runs.push(start..end);
        }
        Ok(Self { runs })
    }
}

impl Extend<u64> for Offsets {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, offsets: I) {
        offsets.into_iter().for_each(|offset| self.push(offset));
    }
}
