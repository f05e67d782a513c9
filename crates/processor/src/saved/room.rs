//! The budget of one part.

/// What is left of the bytes that a part may take. A container puts entries in while it is not full, so that a part exceeds
/// its budget by one entry at most, and holds at least one.
#[derive(Clone, Copy, Debug)]
pub struct Room(usize);

impl Room {
    /// Room for so many bytes, but for one at least.
    pub fn new(bytes: usize) -> Self {
        Self(bytes.max(1))
    }

    /// Whether no entry fits any more.
    pub fn is_full(&self) -> bool {
        self.0 == 0
    }

    /// An entry of so many bytes goes in.
    pub fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes.max(1));
    }

    /// An empty place was passed: that takes time, too.
    pub fn pass(&mut self) {
        self.take(1);
    }
}
