//! The output: the input's bytes, with spans cut out and replaced as the reader passes them.

/// Copies the input lazily: nothing is written before it is known to pass.
pub(super) struct Spans<'a> {
    input: &'a [u8],
    output: Vec<u8>,
    /// Up to here the input was copied, or left out.
    done: usize,
    /// Inside something that is dropped: nothing is written.
    hidden: bool,
}

/// How far an object or array is: what was kept of it and where its last item ended.
#[derive(Clone, Copy)]
pub(super) struct Items {
    /// Behind the opening bracket, or behind the last item.
    end: usize,
    kept: bool,
    dropped: bool,
    is_array: bool,
    /// Elements of an array that were dropped since the last one that stayed.
    gaps: usize,
}

impl Items {
    /// Of an object that was opened just before `at`.
    pub(super) fn opened(at: usize) -> Self {
        Self { end: at, kept: false, dropped: false, is_array: false, gaps: 0 }
    }

    /// Of an array that was opened just before `at`.
    pub(super) fn of_array(at: usize) -> Self {
        Self { is_array: true, ..Self::opened(at) }
    }

    /// The item that began last ends here.
    pub(super) fn ended(&mut self, at: usize) {
        self.end = at;
    }
}

impl<'a> Spans<'a> {
    /// `start`: where the text begins.
    pub(super) fn new(input: &'a [u8], start: usize) -> Self {
        let output = Vec::with_capacity(input.len() + input.len() / 8 + 32);
        Self { input, output, done: start, hidden: false }
    }

    /// The item that begins at `start` stays. A comma before it stays only behind another item.
    ///
    /// Elements of an array that were dropped before it become `null` now, so that a pointer still finds it at its
    /// index. Those behind the last one that stays leave nothing, not even their number.
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
            // What was copied ends behind the opening bracket or behind the element before; the comma after the last
            // gap is the one in the input.
            self.output.extend_from_slice(if items.kept || gap > 0 { b",null" } else { b"null" });
        }
    }

    /// The item that begins next goes, together with the comma before it; [`Self::show`] ends it.
    pub(super) fn hide(&mut self, items: &mut Items) -> bool {
        self.copy_to(items.end);
        items.dropped = true;
        items.gaps += 1;
        std::mem::replace(&mut self.hidden, true)
    }

    /// The item that was hidden ends at `end`; `before` is what [`Self::hide`] answered.
    pub(super) fn show(&mut self, end: usize, before: bool) {
        self.hidden = before;
        self.done = end;
    }

    /// Puts other bytes in place of `start..end`; answers where they stand in the output.
    pub(super) fn replace(&mut self, start: usize, end: usize, bytes: &[&[u8]]) -> usize {
        self.copy_to(start);
        self.done = end;
        let at = self.output.len();
        for part in bytes {
            self.output.extend_from_slice(part);
        }
        at
    }

    /// The output, with the rest of the input.
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
