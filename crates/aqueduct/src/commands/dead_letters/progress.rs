//! The progress of a redrive, as the group of its claim keeps it.
//!
//! Pure. Records are published in the order of topic, partition and offset, so one position says what is done. A redrive
//! that ended early is continued, with its number, by the next one with the same filter over the same incarnations; any
//! other one begins with the next number.

use std::{fmt::Write as _, hash::Hasher};

use event::Partition;
use rustc_hash::FxHasher;

use super::filter::Filter;

/// The topic, partition and offset of a record.
pub(super) type At = (String, i32, u64);

/// A redrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Its number, from 1 on.
    pub(super) number: u64,
    /// Identifies the filter and the incarnations.
    of: u64,
    /// The last record that was dealt with.
    pub(super) after: Option<At>,
    is_done: bool,
}

impl Progress {
    /// The redrive that follows the saved one, or continues it. `newest` is the highest number that the processor knows,
    /// in case that Kafka has forgotten the group.
    pub(super) fn next(saved: Option<(u64, String)>, of: u64, newest: u64) -> Self {
        let saved = saved.map(|(number, text)| Self::parse(number, &text));
        match saved {
            Some(saved) if saved.of == of && !saved.is_done => saved,
            saved => {
                let number = saved.map_or(0, |saved| saved.number).max(newest) + 1;
                Self { number, of, after: None, is_done: false }
            }
        }
    }

    /// A record is done.
    pub(super) fn moved(&mut self, at: At) {
        self.after = Some(at);
    }

    /// Ends the redrive.
    pub(super) fn end(&mut self) {
        self.is_done = true;
    }

    /// The text that is saved with the number.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{:016x}", self.of);
        match &self.after {
            _ if self.is_done => text.push_str(" done"),
            Some((topic, partition, offset)) => {
                write!(text, " after {topic} {partition} {offset}").expect("a String takes everything");
            }
            None => {}
        }
        text
    }

    /// What was saved. A text of another version counts as done: its number is not used again.
    fn parse(number: u64, text: &str) -> Self {
        let parts: Vec<&str> = text.split(' ').collect();
        let of = parts.first().and_then(|of| u64::from_str_radix(of, 16).ok()).unwrap_or_default();
        let after = match parts.as_slice() {
            [_, "after", topic, partition, offset] => {
                partition.parse().ok().zip(offset.parse().ok()).map(|(p, o)| ((*topic).to_owned(), p, o))
            }
            _ => None,
        };
        let is_done = after.is_none() && parts.len() > 1;
        Self { number, of, after, is_done }
    }
}

/// Identifies a filter over these partitions.
pub(super) fn identity<'a>(filter: &Filter, partitions: impl Iterator<Item = &'a Partition>) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(format!("{filter:?}").as_bytes());
    for partition in partitions {
        hasher.write(format!("\n{partition} {}", partition.incarnation).as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_redrive_is_continued_with_its_number() {
        let mut first = Progress::next(None, 7, 0);
        assert_eq!((first.number, &first.after), (1, &None));
        let saved = |progress: &Progress| Some((progress.number, progress.text()));
        assert_eq!(Progress::next(saved(&first), 7, 0), first);
        first.moved(("events".to_owned(), 3, 42));
        assert_eq!(Progress::next(saved(&first), 7, 1), first);
        // Another filter, or the end, makes it another redrive.
        assert_eq!(Progress::next(saved(&first), 8, 0).number, 2);
        first.end();
        let second = Progress::next(saved(&first), 7, 0);
        assert_eq!((second.number, second.after), (2, None));
    }

    #[test]
    fn a_number_is_not_used_again() {
        assert_eq!(Progress::next(None, 7, 12).number, 13);
        for text in ["", "what?", "0000000000000007 after events x y", "0000000000000008"] {
            assert_eq!(Progress::next(Some((4, text.to_owned())), 7, 0).number, 5, "{text}");
        }
    }
}
