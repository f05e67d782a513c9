//! Lines of a byte stream, in place: no line is copied, and none takes more memory than the maximum size of an event.

use std::{
    io::{self, Read},
    ops::Range,
};

use connector::anonymise::RejectCode;

/// The maximum length of a line: the anonymiser accepts no larger record.
pub(crate) const MAX_LINE: usize = connector::anonymise::MAX_RECORD_BYTES;

/// Fits the cache of a core.
const BUFFER: usize = 256 << 10;

/// Lines with their numbers.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// Start of the current line.
    start: usize,
    /// There is no line end before it.
    searched: usize,
    /// End of the bytes that were read.
    end: usize,
    is_at_end: bool,
    /// Whether the current line was too long to keep.
    is_skipping: bool,
    number: u64,
}

/// A line that is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Line number from 1, counting blank lines.
    pub number: u64,
    /// Without surrounding white space; the reason of a reject if it is longer than [`MAX_LINE`], or a value without JSON.
    pub bytes: Result<&'a [u8], &'static str>,
}

impl<R: Read> Lines<R> {
    /// Lines of these bytes.
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER],
            start: 0,
            searched: 0,
            end: 0,
            is_at_end: false,
            is_skipping: false,
            number: 0,
        }
    }

    /// The next line that is not blank; `None` at the end. The last line needs no line feed.
    ///
    /// # Errors
    /// The bytes cannot be read. Complete lines before the error were returned.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        while let Some(found) = self.find()? {
            let Some(range) = found else {
                return Ok(Some(Line { number: self.number, bytes: Err(RejectCode::TooLarge.as_str()) }));
            };
            let range = self.trim(range);
            if !range.is_empty() {
                return Ok(Some(Line { number: self.number, bytes: Ok(&self.buffer[range]) }));
            }
        }
        Ok(None)
    }

    /// The next line that is not blank, if it is in memory already.
    pub(crate) fn next_held(&mut self) -> Option<Line<'_>> {
        while let Some(found) = self.find_held() {
            let Some(range) = found else {
                return Some(Line { number: self.number, bytes: Err(RejectCode::TooLarge.as_str()) });
            };
            let range = self.trim(range);
            if !range.is_empty() {
                return Some(Line { number: self.number, bytes: Ok(&self.buffer[range]) });
            }
        }
        None
    }

    fn find_held(&mut self) -> Option<Option<Range<usize>>> {
        let Some(length) = memchr::memchr(b'\n', &self.buffer[self.searched..self.end]) else {
            self.searched = self.end;
            return None;
        };
        let line = self.start..self.searched + length;
        self.start = line.end + 1;
        self.searched = self.start;
        Some(self.complete(line))
    }

    /// The position of the next line; an inner `None` if it is too long.
    fn find(&mut self) -> io::Result<Option<Option<Range<usize>>>> {
        loop {
            if let Some(found) = self.find_held() {
                return Ok(Some(found));
            }
            if self.is_at_end {
                let line = self.start..self.end;
                self.start = self.end;
                return Ok((self.is_skipping || !line.is_empty()).then(|| self.complete(line)));
            }
            if self.end - self.start > MAX_LINE {
                self.is_skipping = true;
            }
            if self.is_skipping {
                (self.start, self.searched, self.end) = (0, 0, 0);
            }
            self.fill()?;
        }
    }

    fn complete(&mut self, line: Range<usize>) -> Option<Range<usize>> {
        self.number += 1;
        let is_whole = !std::mem::take(&mut self.is_skipping) && line.len() <= MAX_LINE;
        is_whole.then_some(line)
    }

    fn trim(&self, line: Range<usize>) -> Range<usize> {
        let bytes = event::json::without_byte_order_mark(&self.buffer[line.clone()]);
        let left = bytes.trim_ascii_start();
        let start = line.end - left.len();
        start..start + left.trim_ascii_end().len()
    }

    /// Appends more bytes after the existing ones, after making room.
    fn fill(&mut self) -> io::Result<()> {
        if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let read = loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += read;
        self.is_at_end = read == 0;
        Ok(())
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
        let mut lines = Lines::new(Drip(text, drip));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().expect("memory") {
            found.push((line.number, line.bytes.ok().map(<[u8]>::to_vec)));
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
        let mut lines = Lines::new(io::repeat(b'x').take(200 << 20));
        assert_eq!(
            lines.next_line().expect("memory"),
            Some(Line { number: 1, bytes: Err(RejectCode::TooLarge.as_str()) })
        );
        assert!(lines.buffer.len() < 4 * MAX_LINE);
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
