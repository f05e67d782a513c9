//! Whether the group's assignment fits the configured topics, and when to join the group again because it does not.
//!
//! A static member (`group.instance.id`) that returns within its session timeout receives its old assignment without a
//! rebalance (KIP-345), although its list of topics may have changed meanwhile, or a topic may have gained partitions.
//! Nothing corrects that afterwards: the broker has stored the new subscription, and librdkafka rejoins only if the
//! metadata changes again. A topic that was added would never be read, and a topic that was removed would stay assigned
//! to a member that does not read it. The broker starts a rebalance when a known member joins with other metadata, and
//! always when that member leads the group. A member that joins again after its first assignment does one or the other.
//!
//! The brokers are asked whether the assignment fits. It is not derived from the configuration of the last run, so the
//! same rule covers partitions that were added while the connector was down, several replicas, and a leader with older
//! metadata. See `facts` for the questions, and `rebalance` for joining again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::TopicPartition;

/// The consumer group as its coordinator describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Whether no rebalance is in progress. Only then are the assignments valid.
    pub is_stable: bool,
    /// The partitions that are assigned to any member.
    pub assigned: BTreeSet<TopicPartition>,
    /// The `group.instance.id` of each static member.
    pub instances: BTreeSet<String>,
    /// The `client.id` of each member.
    pub clients: Vec<String>,
}

/// The assignment and the topics at one time.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The configured topics that exist, with their numbers of partitions.
    pub topics: &'a BTreeMap<Arc<str>, i32>,
    /// The partitions that this replica reads.
    pub held: &'a BTreeSet<TopicPartition>,
    /// Partitions that were assigned to this replica and that it cannot read: of a topic that is not configured, or
    /// beyond the number of partitions that their topic has.
    pub strays: &'a BTreeSet<TopicPartition>,
    /// The group; `None` if the coordinator did not answer.
    pub group: Option<&'a Group>,
    /// How many assignments this replica has received since it joined.
    pub assignments: u64,
}

/// Why an assignment does not fit: one partition for the log, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A partition of a configured topic has no reader.
    Unread(TopicPartition, usize),
    /// A partition is assigned to this replica, and it does not read it.
    Stray(TopicPartition, usize),
}

/// Decides when to join again.
#[derive(Clone, Debug)]
pub struct Fit {
    /// Whether the group knew this static member before it joined.
    is_returning: bool,
    /// When the first assignment was observed.
    joined_at: Option<Instant>,
    /// Since when the assignment with this number has not fitted.
    unfit_since: Option<(u64, Instant)>,
    patience: Duration,
}

/// For how long the first assignment of a returning member counts as that of its last run.
const RETURN: Duration = Duration::from_secs(60);
/// How long any other assignment may be incomplete. A cooperative rebalance leaves partitions unassigned until their
/// readers have drained (15 s), and librdkafka finds new partitions on its own (5 s).
const PATIENCE: Duration = Duration::from_secs(30);
/// The patience doubles each time, so that an assignment which cannot fit does not keep the group rebalancing.
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

impl Observed<'_> {
    /// Whether this replica reads every partition, so that the group need not be asked.
    pub fn is_complete(&self) -> bool {
        self.strays.is_empty() && self.subscribed().all(|place| self.held.contains(&place))
    }

    /// What does not fit; `Err` if that is unknown at the moment.
    fn mismatch(&self) -> Result<Option<Mismatch>, ()> {
        if let Some(first) = self.strays.first() {
            return Ok(Some(Mismatch::Stray(first.clone(), self.strays.len())));
        }
        if self.is_complete() {
            return Ok(None);
        }
        let group = self.group.filter(|group| group.is_stable).ok_or(())?;
        let is_unread =
            |place: &TopicPartition| !self.held.contains(place) && !group.assigned.contains(place);
        let mut unread = self.subscribed().filter(is_unread);
        Ok(unread.next().map(|first| Mismatch::Unread(first, 1 + unread.count())))
    }

    fn subscribed(&self) -> impl Iterator<Item = TopicPartition> {
        self.topics.iter().flat_map(|(topic, partitions)| (0..*partitions).map(|n| (topic.clone(), n)))
    }
}

impl Fit {
    /// `is_returning`: the group knew this static member before it joined.
    pub fn new(is_returning: bool) -> Self {
        Self { is_returning, joined_at: None, unfit_since: None, patience: PATIENCE }
    }

    /// Whether the assignment should be checked again soon: it is new, or did not fit.
    pub fn is_doubtful(&self, now: Instant) -> bool {
        self.unfit_since.is_some() || self.joined_at.is_none_or(|at| now.duration_since(at) < RETURN)
    }

    /// Judges the assignment. Returns why to join the group again, if that must be done now.
    pub fn judge(&mut self, observed: &Observed<'_>, now: Instant) -> Option<Mismatch> {
        if observed.assignments == 0 {
            return None;
        }
        let joined_at = *self.joined_at.get_or_insert(now);
        let mismatch = match observed.mismatch() {
            Ok(Some(mismatch)) => mismatch,
            Ok(None) => {
                self.unfit_since = None;
                return None;
            }
            Err(()) => return None,
        };
        let since = match self.unfit_since {
            Some((assignment, since)) if assignment == observed.assignments => since,
            _ => {
                self.unfit_since = Some((observed.assignments, now));
                now
            }
        };
        let is_old = self.is_returning && observed.assignments == 1 && now.duration_since(joined_at) < RETURN;
        if !is_old && now.duration_since(since) < self.patience {
            return None;
        }
        if !is_old {
            self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
        }
        self.is_returning = false;
        self.unfit_since = None;
        Some(mismatch)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread((topic, partition), 1) => write!(f, "no member reads {topic}[{partition}]"),
            Self::Unread((topic, partition), count) => {
                write!(f, "no member reads {count} partitions, for example {topic}[{partition}]")
            }
            Self::Stray((topic, partition), 1) => {
                write!(f, "this member was assigned {topic}[{partition}], which it does not read")
            }
            Self::Stray((topic, partition), count) => {
                write!(
                    f,
                    "this member was assigned {count} partitions that it does not read, for example {topic}[{partition}]"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A replica that reads `held` of the partitions of `topics`, in a group that has `assigned`.
    struct Case {
        topics: BTreeMap<Arc<str>, i32>,
        held: BTreeSet<TopicPartition>,
        strays: BTreeSet<TopicPartition>,
        group: Option<Group>,
    }

    fn places(of: &[(&str, i32)]) -> BTreeSet<TopicPartition> {
        of.iter().map(|(topic, partition)| (Arc::from(*topic), *partition)).collect()
    }

    fn case(topics: &[(&str, i32)], held: &[(&str, i32)], assigned: &[(&str, i32)]) -> Case {
        let group = Group { is_stable: true, assigned: places(assigned), ..Group::default() };
        Case {
            topics: topics.iter().map(|(topic, partitions)| (Arc::from(*topic), *partitions)).collect(),
            held: places(held),
            strays: BTreeSet::new(),
            group: Some(group),
        }
    }

    impl Case {
        /// The first second at which the replica joins again, looking once a second, and why.
        #[track_caller]
        #[expect(clippy::needless_pass_by_value, reason = "expectations are written in place")]
        fn check(&self, is_returning: bool, assignments: u64, expected: Option<(u64, Mismatch)>) {
            let start = Instant::now();
            let mut fit = Fit::new(is_returning);
            let observed = Observed {
                topics: &self.topics,
                held: &self.held,
                strays: &self.strays,
                group: self.group.as_ref(),
                assignments,
            };
            let found = (0..300).find_map(|second| {
                Some((second, fit.judge(&observed, start + Duration::from_secs(second))?))
            });
            assert_eq!(found, expected);
        }
    }

    fn unread(topic: &str, partition: i32, count: usize) -> Mismatch {
        Mismatch::Unread((topic.into(), partition), count)
    }

    #[test]
    fn a_returning_member_joins_again_at_once() {
        let added = case(&[("a", 1), ("b", 2)], &[("a", 0)], &[("a", 0)]);
        added.check(true, 1, Some((0, unread("b", 0, 2))));
        let grown = case(&[("a", 3)], &[("a", 0)], &[("a", 0), ("a", 2)]);
        grown.check(true, 1, Some((0, unread("a", 1, 1))));
        let removed = Case { strays: places(&[("b", 0)]), ..case(&[("a", 1)], &[("a", 0)], &[]) };
        removed.check(true, 1, Some((0, Mismatch::Stray(("b".into(), 0), 1))));
        // The assignment itself shows that a topic was removed: the coordinator is not needed.
        Case { group: None, ..removed }.check(true, 1, Some((0, Mismatch::Stray(("b".into(), 0), 1))));
    }

    #[test]
    fn other_assignments_get_time_to_settle() {
        let unassigned = case(&[("a", 2)], &[("a", 0)], &[("a", 0)]);
        unassigned.check(false, 1, Some((30, unread("a", 1, 1))));
        unassigned.check(true, 2, Some((30, unread("a", 1, 1))));
    }

    #[test]
    fn matching_or_unknown_assignments_are_kept() {
        case(&[("a", 2)], &[("a", 0), ("a", 1)], &[]).check(true, 1, None);
        case(&[("a", 2)], &[("a", 0)], &[("a", 0), ("a", 1)]).check(true, 1, None);
        let unknown = case(&[("a", 2)], &[("a", 0)], &[("a", 0)]);
        Case { group: None, ..unknown }.check(true, 1, None);
        let mut rebalancing = case(&[("a", 2)], &[("a", 0)], &[("a", 0)]);
        rebalancing.check(true, 0, None);
        rebalancing.group.as_mut().expect("a group").is_stable = false;
        rebalancing.check(true, 1, None);
    }

    #[test]
    fn rejoining_without_success_becomes_rarer() {
        let start = Instant::now();
        let case = case(&[("a", 2)], &[("a", 0)], &[("a", 0)]);
        let mut fit = Fit::new(true);
        let mut assignments = 1;
        let mut times = Vec::new();
        for second in 0..4_000 {
            let observed = Observed {
                topics: &case.topics,
                held: &case.held,
                strays: &case.strays,
                group: case.group.as_ref(),
                assignments,
            };
            if fit.judge(&observed, start + Duration::from_secs(second)).is_some() {
                times.push(second);
                assignments += 1;
            }
        }
        let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses, [31, 61, 121, 241, 481, 601, 601, 601, 601, 601]);
    }
}
