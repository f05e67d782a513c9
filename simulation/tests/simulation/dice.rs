//! Randomness without a sequence: every decision is a hash of the seed and its subject, so that leaving out a step
//! changes only its consequences.

/// The dice of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// 64 uniform bits for this subject.
    pub(crate) fn roll(self, what: &str, numbers: &[u64]) -> u64 {
        let mut state = mix(self.0);
        for byte in what.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        for number in numbers {
            state = mix(state ^ number);
        }
        state
    }

    /// A draw below `n`.
    pub(crate) fn below(self, n: u64, what: &str, numbers: &[u64]) -> u64 {
        self.roll(what, numbers) % n.max(1)
    }

    /// `true` in this many of a thousand cases.
    pub(crate) fn chance(self, per_mille: u64, what: &str, numbers: &[u64]) -> bool {
        per_mille > 0 && self.below(1_000, what, numbers) < per_mille
    }

    /// A uniform number of milliseconds in a range.
    pub(crate) fn millis(self, from: i64, to: i64, what: &str, numbers: &[u64]) -> i64 {
        from + self.below((to - from).max(1).unsigned_abs(), what, numbers).cast_signed()
    }

    /// The transit time of a request or response: usually short, sometimes long.
    pub(crate) fn travel(self, slowest: i64, what: &str, numbers: &[u64]) -> i64 {
        let slow = self.below(100, what, numbers);
        let most = if slow < 85 {
            60.min(slowest)
        } else if slow < 97 {
            slowest / 4
        } else {
            slowest
        };
        2 + self.millis(0, most.max(1), "travel", &[self.roll(what, numbers)])
    }
}

/// SplitMix64.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
