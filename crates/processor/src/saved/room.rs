//! The budget of one part.

/// What is left of the bytes that a part may take. A container puts entries in while it is not full, so that a part exceeds
/// its budget by at most one entry, and contains at least one.
#[derive(Clone, Copy, Debug)]
pub struct Room(usize);

impl Room {
    /// Room for this many bytes, and for at least one.
    pub fn new(bytes: usize) -> Self {
        Self(bytes.max(1))
    }

    /// Whether no entry fits any more.
    pub fn is_full(&self) -> bool {
        self.0 == 0
    }

    /// Adds an entry of this many bytes.
    pub fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes.max(1));
    }

    /// An empty place was passed: that takes time, too.
    pub fn pass(&mut self) {
        self.take(1);
    }
}
