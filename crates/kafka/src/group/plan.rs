//! Where a whole assignment is read from, and what must be committed before any of it is read.
//!
//! Pure: the brokers' answers in, the starts out. See [`crate::group::start`] for the start of one partition.

use std::{collections::BTreeMap, sync::Arc};

use event::Incarnation;

use crate::{
    TopicPartition,
    group::start::{Committed, Facts, Start, StartRule, decide, unannounced},
};

/// The brokers' answers.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The topics with their numbers of partitions and IDs.
    pub topics: BTreeMap<Arc<str>, (i32, String)>,
    /// The committed offsets of all partitions of the topics.
    pub committed: BTreeMap<TopicPartition, Committed>,
    /// First offsets.
    pub low: BTreeMap<TopicPartition, u64>,
    /// Last stable offsets: of every partition if [`fixes_all`], otherwise of the assigned ones.
    pub stable: BTreeMap<TopicPartition, u64>,
    /// High watermarks.
    pub high: BTreeMap<TopicPartition, u64>,
}

/// The starts of an assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each partition, in the order of the request.
    pub starts: Vec<Start>,
    /// What must be committed before anything is read: partition, offset and metadata.
    pub commits: Vec<(TopicPartition, u64, String)>,
}

/// Whether the start of every partition is fixed now: a new group begins at the newest records, and from then on a
/// partition without a commit is one that was added later.
pub fn fixes_all(rule: StartRule, committed: &BTreeMap<TopicPartition, Committed>) -> bool {
    rule == StartRule::Latest && committed.is_empty()
}

/// Decides where these partitions are read from; `None` if an answer about one of them is missing. `read` is the next
/// offset of partitions that were read beyond their committed offset.
pub fn plan(
    partitions: &[TopicPartition],
    answers: &Answers,
    rule: StartRule,
    read: &BTreeMap<TopicPartition, u64>,
) -> Option<Plan> {
    let mut starts = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let mut committed = answers.committed.get(partition).cloned();
        if let (Some(committed), Some(read)) = (&mut committed, read.get(partition)) {
            committed.offset = committed.offset.max(*read);
        }
        let facts = Facts {
            topic_id: answers.topics.get(&partition.0)?.1.clone(),
            committed,
            group_is_new: answers.committed.is_empty(),
            low: *answers.low.get(partition)?,
            stable: *answers.stable.get(partition)?,
            high: *answers.high.get(partition)?,
        };
        starts.push(decide(&facts, rule));
    }
    let commits = if fixes_all(rule, &answers.committed) {
        everywhere(answers)
    } else {
        let first = partitions.iter().zip(&starts).filter(|(_, start)| start.commit_first);
        first
            .map(|(partition, start)| (partition.clone(), start.offset, unannounced(&start.incarnation)))
            .collect()
    };
    Some(Plan { starts, commits })
}

fn everywhere(answers: &Answers) -> Vec<(TopicPartition, u64, String)> {
    let commit = |(partition, end): (&TopicPartition, &u64)| {
        let (_, id) = answers.topics.get(&partition.0)?;
        Some((partition.clone(), *end, unannounced(&Incarnation::from(id.as_str()))))
    };
    answers.stable.iter().filter_map(commit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdefghijklmnopqrst+/";

    fn answers(committed: &[(i32, u64)]) -> Answers {
        let events = |number| (Arc::from("events"), number);
        let all = |offset| (0..2).map(|partition| (events(partition), offset)).collect();
        let commit = |&(partition, offset)| (events(partition), Committed::parse(offset, ID.as_bytes()));
        Answers {
            topics: BTreeMap::from([("events".into(), (2, ID.to_owned()))]),
            committed: committed.iter().map(commit).collect(),
            low: all(3),
            stable: all(8),
            high: all(9),
        }
    }

    #[track_caller]
    fn check(answers: &Answers, rule: StartRule, read: Option<u64>, expected: (u64, usize)) {
        let partition: TopicPartition = ("events".into(), 1);
        let read = read.map(|offset| (partition.clone(), offset)).into_iter().collect();
        let plan = plan(&[partition], answers, rule, &read).expect("all was answered");
        assert_eq!((plan.starts[0].offset, plan.commits.len()), expected);
    }

    #[test]
    fn an_assignment_has_its_starts() {
        check(&answers(&[]), StartRule::Earliest, None, (3, 0));
        check(&answers(&[]), StartRule::Latest, None, (8, 2));
        check(&answers(&[(0, 5)]), StartRule::Latest, None, (3, 0));
        check(&answers(&[(1, 5)]), StartRule::Latest, None, (5, 0));
        check(&answers(&[(1, 5)]), StartRule::Latest, Some(7), (7, 0));
        check(&answers(&[(1, 20)]), StartRule::Latest, None, (9, 1));
        assert_eq!(plan(&[("other".into(), 0)], &answers(&[]), StartRule::Latest, &BTreeMap::new()), None);
    }
}
