//! Detects duplicate member names in an object.

use std::{borrow::Cow, collections::HashSet};

/// Objects with at least this many members use a hash set instead of comparisons.
const MANY: usize = 16;

/// The names of the open objects, innermost last; kept from record to record for its memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    spans: Vec<Span>,
    /// Names that are written with escapes, decoded.
    decoded: String,
}

/// A name, by its start and end.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    /// In `Names::decoded`, not in the input.
    is_decoded: bool,
}

/// The names of one object.
pub(super) struct Level<'a> {
    first: usize,
    /// One bit for each name, by its length and outer bytes: a name whose bit is not set is new.
    bits: u64,
    /// Randomly keyed, so that a producer cannot choose names that collide.
    many: Option<HashSet<Cow<'a, str>>>,
}

impl Names {
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.decoded.clear();
    }

    pub(super) fn open<'a>(&self) -> Level<'a> {
        Level { first: self.spans.len(), bits: 0, many: None }
    }

    pub(super) fn close(&mut self, level: &Level<'_>) {
        self.spans.truncate(level.first);
    }

    /// Adds a name, which begins at `start` of the input if it is borrowed from it; returns `false` if the object
    /// already has it.
    pub(super) fn add<'a>(
        &mut self,
        level: &mut Level<'a>,
        input: &'a [u8],
        name: Cow<'a, str>,
        start: usize,
    ) -> bool {
        let bit = bit(name.as_bytes());
        let new = level.bits & bit == 0;
        level.bits |= bit;
        if let Some(many) = &mut level.many {
            return many.insert(name);
        }
        let known = &self.spans[level.first..];
        if !new && known.iter().any(|span| self.bytes(span, input) == name.as_bytes()) {
            return false;
        }
        let span = match name {
            Cow::Borrowed(name) => Span { start, end: start + name.len(), is_decoded: false },
            Cow::Owned(name) => {
                let start = self.decoded.len();
                self.decoded.push_str(&name);
                Span { start, end: self.decoded.len(), is_decoded: true }
            }
        };
        self.spans.push(span);
        if self.spans.len() - level.first == MANY {
            let text = |span: &Span| {
                Some(if span.is_decoded {
                    Cow::Owned(self.decoded[span.start..span.end].to_owned())
                } else {
                    Cow::Borrowed(std::str::from_utf8(&input[span.start..span.end]).ok()?)
                })
            };
            level.many = Some(self.spans[level.first..].iter().filter_map(text).collect());
        }
        true
    }

    fn bytes<'b>(&'b self, span: &Span, input: &'b [u8]) -> &'b [u8] {
        let of = if span.is_decoded { self.decoded.as_bytes() } else { input };
        &of[span.start..span.end]
    }
}

fn bit(name: &[u8]) -> u64 {
    let byte = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or(0));
    let mixed = name.len() * 31 + byte(name.first()) * 7 + byte(name.last());
    1 << (mixed % 64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn duplicate_names_are_detected(
            lists in proptest::collection::vec(proptest::collection::vec("[a-c]{0,3}", 0..60), 1..3),
            decoded in any::<u64>(),
        ) {
            let mut names = Names::default();
            let input = lists.concat().concat();
            let mut at = 0;
            let mut levels = Vec::new();
            for list in &lists {
                let (mut level, mut naive) = (names.open(), HashSet::new());
                for (n, name) in list.iter().enumerate() {
                    let text = &input[at..at + name.len()];
                    let is_decoded = decoded >> n & 1 == 1;
                    let written = if is_decoded { Cow::Owned(name.clone()) } else { Cow::Borrowed(text) };
                    prop_assert_eq!(names.add(&mut level, input.as_bytes(), written, at), naive.insert(text));
                    at += name.len();
                }
                levels.push(level);
            }
            for level in levels.iter().rev() {
                names.close(level);
            }
            prop_assert!(names.spans.is_empty());
        }
    }
}
