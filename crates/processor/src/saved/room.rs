//! The byte budget of one part of a round.

/// The bytes that are left in a part. A container adds entries while the part is not full, so a part exceeds its budget
/// by at most one entry and contains at least one.
/// its budget by at most one entry, and contains at least one.
#[derive(Clone, Copy, Debug)]
pub struct Room(usize);

impl Room {
    /// Creates room for this many bytes, and for at least one.
    pub fn new(bytes: usize) -> Self {
        Self(bytes.max(1))
    }

    /// Whether no further entry fits.
    pub fn is_full(&self) -> bool {
        self.0 == 0
    }

    /// Adds an entry of this many bytes.
    pub fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes.max(1));
    }

    /// Passes an empty slot, which counts as one byte because walking over it takes time too.
    pub fn pass(&mut self) {
        self.take(1);
    }
}
