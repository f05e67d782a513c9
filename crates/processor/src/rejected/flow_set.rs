//! Which flows: a bit for each.

/// A set of flows, by their index. An empty one allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowSet(Vec<u64>);

impl FlowSet {
    /// The flows with the indexes below a number.
    pub fn first(flows: usize) -> Self {
        let mut all = Self::default();
        (0..flows).for_each(|flow| all.insert(flow));
        all
    }

    /// Adds a flow.
    pub fn insert(&mut self, flow: usize) {
        if self.0.len() <= flow / 64 {
            self.0.resize(flow / 64 + 1, 0);
        }
        self.0[flow / 64] |= 1 << (flow % 64);
    }

    /// Whether it contains a flow.
    pub fn contains(&self, flow: usize) -> bool {
        self.0.get(flow / 64).is_some_and(|word| word & (1 << (flow % 64)) != 0)
    }

    /// Whether it contains none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its flows, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..64 * self.0.len()).filter(|flow| self.contains(*flow))
    }

    pub(super) fn remove(&mut self, flow: usize) {
        if let Some(word) = self.0.get_mut(flow / 64) {
            *word &= !(1 << (flow % 64));
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}
