//! Whether a member's name stood in its object before.

use std::collections::HashSet;

/// From that many members on a hash set takes over from comparing.
const MANY: usize = 16;

/// The names of the objects that are open, innermost last; kept from record to record for its memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Where each name stands in the input, by start and end.
    spans: Vec<(usize, usize)>,
}

/// The names of one object.
pub(super) struct Level<'a> {
    first: usize,
    /// One bit a name, by length and outer bytes: a name whose bit is not set is new.
    bits: u64,
    /// Randomly keyed, so that nobody can choose names that collide.
    many: Option<HashSet<&'a str>>,
}

impl Names {
    pub(super) fn clear(&mut self) {
        self.spans.clear();
    }

    pub(super) fn open<'a>(&self) -> Level<'a> {
        Level { first: self.spans.len(), bits: 0, many: None }
    }

    pub(super) fn close(&mut self, level: &Level<'_>) {
        self.spans.truncate(level.first);
    }

    /// Takes a name that begins at `start` of the input; false when it stood there before.
    pub(super) fn add<'a>(
        &mut self,
        level: &mut Level<'a>,
        input: &'a [u8],
        name: &'a str,
        start: usize,
    ) -> bool {
        let bit = bit(name.as_bytes());
        let new = level.bits & bit == 0;
        level.bits |= bit;
        if let Some(many) = &mut level.many {
            return many.insert(name);
        }
        let known = &self.spans[level.first..];
        if !new && known.iter().any(|&(from, to)| &input[from..to] == name.as_bytes()) {
            return false;
        }
        self.spans.push((start, start + name.len()));
        if self.spans.len() - level.first == MANY {
            let text = |&(from, to): &(usize, usize)| std::str::from_utf8(&input[from..to]).ok();
            level.many = Some(self.spans[level.first..].iter().filter_map(text).collect());
        }
        true
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
        fn names_are_new_once(lists in proptest::collection::vec(proptest::collection::vec("[a-c]{0,3}", 0..60), 1..3)) {
            let mut names = Names::default();
            let input = lists.concat().concat();
            let mut at = 0;
            let mut levels = Vec::new();
            for list in &lists {
                let (mut level, mut naive) = (names.open(), HashSet::new());
                for name in list {
                    let text = &input[at..at + name.len()];
                    prop_assert_eq!(names.add(&mut level, input.as_bytes(), text, at), naive.insert(text));
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
