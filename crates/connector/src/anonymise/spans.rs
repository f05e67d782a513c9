//! The output: the bytes of the input, with ranges cut out and replaced while the scanner passes them.

/// Copies the input lazily: a range is copied only when it is known to be forwarded.
pub(super) struct Spans<'a> {
    input: &'a [u8],
    output: Vec<u8>,
    /// The input up to here was copied or left out.
    done: usize,
    /// Inside a value that is dropped: nothing is written.
    hidden: bool,
}

/// The state of an object or array: what was kept of it, and where its last item ended.
#[derive(Clone, Copy)]
pub(super) struct Items {
    /// After the opening bracket, or after the last item.
    end: usize,
    kept: bool,
    dropped: bool,
    is_array: bool,
    /// Elements of an array that were dropped since the last one that was kept.
    gaps: usize,
}

impl Items {
    /// For an object that was opened just before `at`.
    pub(super) fn opened(at: usize) -> Self {
        Self { end: at, kept: false, dropped: false, is_array: false, gaps: 0 }
    }

    /// For an array that was opened just before `at`.
    pub(super) fn of_array(at: usize) -> Self {
        Self { is_array: true, ..Self::opened(at) }
    }

    /// The item that began last ends here.
    pub(super) fn ended(&mut self, at: usize) {
        self.end = at;
    }
}

impl<'a> Spans<'a> {
    /// `start` is the beginning of the text.
    pub(super) fn new(input: &'a [u8], start: usize) -> Self {
        let output = Vec::with_capacity(input.len() + input.len() / 8 + 32);
        Self { input, output, done: start, hidden: false }
    }

    /// Keeps the item that begins at `start`. A comma before it is kept only after another item.
    ///
    /// Elements of an array that were dropped before it become `null` now, so that a pointer still finds it at its
    /// index. Elements after the last one that is kept leave no trace, not even their number.
    pub(super) fn keep(&mut self, items: &mut Items, start: usize) {
        if items.is_array {
            self.fill_gaps(items);
        } else if items.dropped && !items.kept {
            self.done = start;
        }
        items.kept = true;
    }

    fn fill_gaps(&mut self, items: &mut Items) {
        let gaps = std::mem::take(&mut items.gaps);
        if self.hidden {
            return;
        }
        for gap in 0..gaps {
            // The copy ends after the opening bracket or the previous element; the comma after the last gap is the one
            // in the input.
            self.output.extend_from_slice(if items.kept || gap > 0 { b",null" } else { b"null" });
        }
    }

    /// Drops the item that begins next, together with the comma before it; [`Self::show`] ends it.
    pub(super) fn hide(&mut self, items: &mut Items) -> bool {
        self.copy_to(items.end);
        items.dropped = true;
        items.gaps += 1;
        std::mem::replace(&mut self.hidden, true)
    }

    /// The dropped item ends at `end`; `before` is the result of [`Self::hide`].
    pub(super) fn show(&mut self, end: usize, before: bool) {
        self.hidden = before;
        self.done = end;
    }

    /// Replaces `start..end` with other bytes; returns their position in the output.
    pub(super) fn replace(&mut self, start: usize, end: usize, bytes: &[&[u8]]) -> usize {
        self.copy_to(start);
        self.done = end;
        let at = self.output.len();
        for part in bytes {
            self.output.extend_from_slice(part);
        }
        at
    }

    /// The output, including the rest of the input.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.copy_to(self.input.len());
        self.output
    }

    fn copy_to(&mut self, end: usize) {
        if !self.hidden {
            self.output.extend_from_slice(&self.input[self.done..end]);
            self.done = end;
        }
    }
}
