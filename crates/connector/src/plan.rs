//! Where a whole assignment is read from, and what must be committed before anything of it is read.
//!
//! Pure: what the brokers answered in, the starts out. Not here: the start of one partition ([`crate::start`]), and
//! how the brokers are asked.

use std::{collections::BTreeMap, sync::Arc};

use event::Incarnation;

use crate::start::{Committed, Facts, Start, StartRule, decide, unannounced};

/// Topic and partition.
pub type Place = (Arc<str>, i32);

/// What the brokers answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The topics with their numbers of partitions and ids.
    pub topics: BTreeMap<Arc<str>, (i32, String)>,
    /// What the group committed, of every partition of its topics.
    pub committed: BTreeMap<Place, Committed>,
    /// First offsets.
    pub low: BTreeMap<Place, u64>,
    /// Last stable offsets; of every partition where [`fixes_all`], else of those that are assigned.
    pub stable: BTreeMap<Place, u64>,
    /// High watermarks.
    pub high: BTreeMap<Place, u64>,
}

/// The starts of an assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One a partition, in the order in which they were asked for.
    pub starts: Vec<Start>,
    /// What must be committed before anything is read: where, which offset, with which metadata.
    pub commits: Vec<(Place, u64, String)>,
}

/// Whether the start of every partition is to be fixed now: a new group begins at the newest records, and a partition
/// without a commit must from then on be known as one that was added later.
pub fn fixes_all(rule: StartRule, committed: &BTreeMap<Place, Committed>) -> bool {
    rule == StartRule::Latest && committed.is_empty()
}

/// Decides where these partitions are read from; nothing when an answer about one of them is missing. `read` tells how
/// far a partition was read already, where that may be beyond its committed offset.
pub fn plan(
    places: &[Place],
    answers: &Answers,
    rule: StartRule,
    read: &BTreeMap<Place, u64>,
) -> Option<Plan> {
    let mut starts = Vec::with_capacity(places.len());
    for place in places {
        let mut committed = answers.committed.get(place).cloned();
        if let (Some(committed), Some(read)) = (&mut committed, read.get(place)) {
            committed.offset = committed.offset.max(*read);
        }
        let facts = Facts {
            topic_id: answers.topics.get(&place.0)?.1.clone(),
            committed,
            group_is_new: answers.committed.is_empty(),
            low: *answers.low.get(place)?,
            stable: *answers.stable.get(place)?,
            high: *answers.high.get(place)?,
        };
        starts.push(decide(&facts, rule));
    }
    let commits = if fixes_all(rule, &answers.committed) {
        everywhere(answers)
    } else {
        let first = places.iter().zip(&starts).filter(|(_, start)| start.commit_first);
        first.map(|(place, start)| (place.clone(), start.offset, unannounced(&start.incarnation))).collect()
    };
    Some(Plan { starts, commits })
}

fn everywhere(answers: &Answers) -> Vec<(Place, u64, String)> {
    let commit = |(place, end): (&Place, &u64)| {
        let (_, id) = answers.topics.get(&place.0)?;
        Some((place.clone(), *end, unannounced(&Incarnation::from(id.as_str()))))
    };
    answers.stable.iter().filter_map(commit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdefghijklmnopqrst+/";

    fn answers(committed: &[(i32, u64)]) -> Answers {
        let place = |partition| (Arc::from("events"), partition);
        let all = |offset| (0..2).map(|partition| (place(partition), offset)).collect();
        let commit = |&(partition, offset)| (place(partition), Committed::parse(offset, ID.as_bytes()));
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
        let place: Place = ("events".into(), 1);
        let read = read.map(|offset| (place.clone(), offset)).into_iter().collect();
        let plan = plan(&[place], answers, rule, &read).expect("all was answered");
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
