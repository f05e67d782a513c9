//! The memory of all connectors of a worker.
//!
//! A connector takes a share when it starts: what it wants, as long as that is a quarter of what is left, and less if there
//! are many. So the sum is bounded, and the last one can still start. Shares do not change while a connector runs.

use std::sync::{Arc, Mutex, PoisonError};

/// What a connector takes at most: half of it for records that were read in advance, and half for messages in flight.
const WANTED: u64 = 32 << 20;
/// What it takes at least.
const LEAST: u64 = 4 << 20;

/// What is left for connectors. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<u64>>);

/// The share of one connector, which is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Memory,
    bytes: u64,
    /// What it has taken of the memory: less than its bytes if there was no more.
    taken: u64,
}

impl Memory {
    /// Memory of this many bytes.
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    /// The share of a connector that starts.
    pub(crate) fn share(&self) -> Share {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond the memory everyone gets the least, so that the sum exceeds it by no more than that for each.
        let bytes = (*left / 4).clamp(LEAST, WANTED);
        let taken = bytes.min(*left);
        *left -= taken;
        Share { memory: self.clone(), bytes, taken }
    }

    #[cfg(test)]
    fn left(&self) -> u64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Half of it, for either use.
    pub(crate) fn half(&self) -> u64 {
        self.bytes / 2
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.memory.0.lock().unwrap_or_else(PoisonError::into_inner) += self.taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_shares_is_bounded() {
        const WHOLE: u64 = 512 << 20;
        let memory = Memory::new(WHOLE);
        let mut shares: Vec<Share> = (0..100).map(|_| memory.share()).collect();
        assert_eq!((shares[0].bytes, shares[99].bytes), (WANTED, LEAST));
        let sum: u64 = shares.iter().map(|share| share.bytes).sum();
        assert!(sum <= WHOLE + 100 * LEAST, "{sum}");
        drop(shares.split_off(1));
        drop(shares);
        assert_eq!(memory.left(), WHOLE);
        assert_eq!(memory.share().bytes, WANTED, "it can be taken again");
    }
}
