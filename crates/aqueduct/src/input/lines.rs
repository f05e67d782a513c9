//! Whole lines of a byte stream. They are read in blocks by one thread, and found in them by another.

use std::io::{self, Read};

use connector::anonymise::RejectCode;

/// The maximum length of a line: the anonymiser accepts no larger record.
pub(crate) const MAX_LINE: usize = connector::anonymise::MAX_RECORD_BYTES;

/// Bytes that are read together: large enough to make the hand-over of a block cheap, small enough for the cache of a
/// core.
pub(crate) const BLOCK: usize = 128 << 10;

/// Reads blocks of whole lines.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    source: R,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    is_at_end: bool,
}

/// Lines, or events of an Avro file, that were read together.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Longer than its content, so that memory is initialised once.
    bytes: Vec<u8>,
    end: usize,
    /// The first line was too long to keep: only its end is here.
    is_cut: bool,
    /// Where each event is, or why there is none; empty for lines.
    events: Vec<Result<(u32, u32), &'static str>>,
}

/// The lines of a [`Block`] that are not blank.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    block: &'a Block,
    rest: &'a [u8],
    is_cut: bool,
    number: u64,
}

/// A line that is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Line number in its block from 1, counting blank lines.
    pub number: u64,
    /// Without surrounding white space; the reason of a reject if it is longer than [`MAX_LINE`], or a value without JSON.
    pub bytes: Result<&'a [u8], &'static str>,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, rest: Vec::new(), is_at_end: false }
    }

    /// Reads the lines that are available without waiting, at least one; `false` at the end. The last line needs no line
    /// feed.
    ///
    /// # Errors
    /// The bytes cannot be read. Complete lines before the error were returned.
    pub(super) fn next_block(&mut self, block: &mut Block) -> io::Result<bool> {
        block.clear();
        block.append(&self.rest);
        self.rest.clear();
        while !self.is_at_end {
            let searched = block.end;
            self.is_at_end = block.fill(&mut self.source)? == 0;
            if let Some(last) = memchr::memrchr(b'\n', &block.bytes[searched..block.end]) {
                let end = searched + last + 1;
                self.rest.extend_from_slice(&block.bytes[end..block.end]);
                block.end = end;
                return Ok(true);
            }
            if block.is_cut || block.end > MAX_LINE {
                (block.is_cut, block.end) = (true, 0);
            }
        }
        Ok(block.is_cut || block.end > 0)
    }
}

impl Block {
    pub(super) fn clear(&mut self) {
        (self.end, self.is_cut) = (0, false);
        self.events.clear();
    }

    /// Adds an event of an Avro file; returns whether another one fits.
    pub(super) fn add(&mut self, event: Result<&[u8], &'static str>) -> bool {
        let place = event.map(|json| {
            let start = self.end as u32;
            self.append(json);
            (start, self.end as u32)
        });
        self.events.push(place);
        self.end < BLOCK
    }

    /// Bytes of its content.
    pub(crate) fn len(&self) -> usize {
        self.end
    }

    /// The lines that are not blank.
    pub(crate) fn lines(&self) -> Lines<'_> {
        Lines { block: self, rest: &self.bytes[..self.end], is_cut: self.is_cut, number: 0 }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Reads once, and returns how many bytes.
    fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.make_room(BLOCK);
        let read = loop {
            match source.read(&mut self.bytes[self.end..self.end + BLOCK]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += read;
        Ok(read)
    }

    fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() < self.end + bytes {
            self.bytes.resize(self.end + bytes, 0);
        }
    }
}

impl Lines<'_> {
    /// How many lines there were until now, with the blank ones.
    pub(crate) fn passed(&self) -> u64 {
        self.number
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if !self.block.events.is_empty() {
            let place = self.block.events.get(self.number as usize)?;
            self.number += 1;
            let bytes = place.map(|(start, end)| &self.block.bytes[start as usize..end as usize]);
            return Some(Line { number: self.number, bytes });
        }
        while self.is_cut || !self.rest.is_empty() {
            let length = memchr::memchr(b'\n', self.rest);
            let line = &self.rest[..length.unwrap_or(self.rest.len())];
            self.rest = length.map_or(&[], |length| &self.rest[length + 1..]);
            self.number += 1;
            if std::mem::take(&mut self.is_cut) || line.len() > MAX_LINE {
                return Some(Line { number: self.number, bytes: Err(RejectCode::TooLarge.as_str()) });
            }
            let line = event::json::without_byte_order_mark(line).trim_ascii();
            if !line.is_empty() {
                return Some(Line { number: self.number, bytes: Ok(line) });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(out.len()).min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn all(text: &[u8], drip: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut blocks = Blocks::new(Drip(text, drip));
        let (mut block, mut before, mut found) = (Block::default(), 0, Vec::new());
        while blocks.next_block(&mut block).expect("memory") {
            let mut lines = block.lines();
            for line in lines.by_ref() {
                found.push((before + line.number, line.bytes.ok().map(<[u8]>::to_vec)));
            }
            before += lines.passed();
        }
        found
    }

    #[test]
    fn blank_lines_are_skipped() {
        let text = b"\xef\xbb\xbfone\r\n\r\n  \t\n two \nthree";
        let expected = [(1, &b"one"[..]), (4, b"two"), (5, b"three")];
        assert_eq!(all(text, 3), expected.map(|(number, line)| (number, Some(line.to_vec()))));
        assert_eq!(all(b"", 1), []);
        assert_eq!(all(b"\n\n", 1), []);
    }

    #[test]
    fn an_overlong_line_is_dropped() {
        let long = vec![b'x'; MAX_LINE + 1];
        for drip in [100_000, usize::MAX] {
            let text = [b"a\n", &long[..], b"\nb\n", &long[1..], b"\n", &long[..]].concat();
            let found: Vec<(u64, Option<usize>)> =
                all(&text, drip).into_iter().map(|(n, line)| (n, line.map(|l| l.len()))).collect();
            assert_eq!(found, [(1, Some(1)), (2, None), (3, Some(1)), (4, Some(MAX_LINE)), (5, None)]);
        }
        let (mut blocks, mut block) = (Blocks::new(io::repeat(b'x').take(200 << 20)), Block::default());
        assert!(blocks.next_block(&mut block).expect("memory"));
        let line = Line { number: 1, bytes: Err(RejectCode::TooLarge.as_str()) };
        assert_eq!(block.lines().collect::<Vec<_>>(), [line]);
        assert!(block.bytes.len() < 4 * MAX_LINE);
        assert!(!blocks.next_block(&mut block).expect("memory"));
    }

    proptest! {
        #[test]
        fn lines_match_the_standard_library(text in "[ab \n\r]{0,60}", drip in 1usize..9) {
            let expected: Vec<_> = text
                .split('\n')
                .enumerate()
                .map(|(n, line)| (n as u64 + 1, Some(line.trim_ascii().as_bytes().to_vec())))
                .filter(|(_, line)| line.as_ref().is_some_and(|line| !line.is_empty()))
                .collect();
            prop_assert_eq!(all(text.as_bytes(), drip), expected);
        }
    }
}
