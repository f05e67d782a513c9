//! Which worker runs which task. Pure: every worker computes it from the same members and the same connectors.
//!
//! Nothing depends on two workers agreeing at every moment. A task is a member of the consumer group of its connector, so a
//! task that two workers run for a moment shares the partitions as two tasks do, and while one runs nowhere the others have
//! its partitions.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

/// The worker of each task of a connector, by number. Workers differ by one task at most; `None` without workers.
///
/// Each task takes the worker that its hash prefers, of those that may take one more. So a connector that is created or
/// deleted moves no task of another one, and a worker that leaves moves few tasks beside its own.
pub(super) fn assign<'w>(
    connector: &str,
    tasks: u32,
    workers: &'w BTreeSet<String>,
) -> Option<BTreeMap<u32, &'w str>> {
    let count = u32::try_from(workers.len()).ok().filter(|count| *count > 0)?;
    let (each, mut extra) = (tasks / count, tasks % count);
    let mut loads: BTreeMap<&str, u32> = workers.iter().map(|worker| (worker.as_str(), 0)).collect();
    let mut assigned = BTreeMap::new();
    for task in 0..tasks {
        let may_take = |load: u32| load < each || (load == each && extra > 0);
        let open = loads.iter().filter(|(_, load)| may_take(**load)).map(|(worker, _)| *worker);
        let worker = open.max_by_key(|worker| preference(connector, task, worker))?;
        let load = loads.get_mut(worker)?;
        if *load == each {
            extra -= 1;
        }
        *load += 1;
        assigned.insert(task, worker);
    }
    Some(assigned)
}

/// The same in every version of this program, unlike the hashes of the standard library.
fn preference(connector: &str, task: u32, worker: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [connector.as_bytes(), &task.to_be_bytes(), worker.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The name of the worker that a member of the workers' group is: its `client.id` without what tells two processes apart.
pub(super) fn worker(member: &str) -> &str {
    member.rsplit_once('#').map_or(member, |(worker, _)| worker)
}

/// The members whose `client.id` is one of a worker.
pub(super) fn members(clients: Vec<String>) -> BTreeSet<String> {
    clients.into_iter().filter(|client| client.contains('#')).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn workers(names: &[u8]) -> BTreeSet<String> {
        names.iter().map(|name| format!("w{name}:8083")).collect()
    }

    proptest! {
        #[test]
        fn tasks_are_shared_equally(tasks in 0..40_u32, names in prop::collection::vec(0..9_u8, 1..7)) {
            let workers = workers(&names);
            let assigned = assign("c", tasks, &workers).expect("there are workers");
            prop_assert_eq!(assigned.keys().copied().collect::<Vec<_>>(), (0..tasks).collect::<Vec<_>>());
            let load = |worker: &String| assigned.values().filter(|of| **of == worker).count();
            let loads: Vec<usize> = workers.iter().map(load).collect();
            let (least, most) = (loads.iter().min(), loads.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{loads:?}");
        }
    }

    #[test]
    fn a_worker_that_leaves_moves_few_other_tasks() {
        let (before, after) = (workers(&[1, 2, 3, 4]), workers(&[1, 2, 3]));
        let (mut moved, mut own) = (0, 0);
        for connector in 0..50 {
            let connector = format!("c{connector}");
            let of = |workers| assign(&connector, 12, workers).expect("there are workers");
            let (before, after) = (of(&before), of(&after));
            own += before.values().filter(|worker| **worker == "w4:8083").count();
            moved += before.iter().filter(|(task, worker)| after[task] != **worker).count();
        }
        assert_eq!(own, 150, "a quarter of 600");
        assert!(moved < 2 * own, "{moved} tasks move for {own} of the worker that left");
    }

    #[test]
    fn single_tasks_are_spread() {
        let workers = workers(&[1, 2]);
        let count = |worker| {
            (0..100).filter(|c| assign(&format!("c{c}"), 1, &workers).expect("workers")[&0] == worker).count()
        };
        assert!((35..65).contains(&count("w1:8083")), "{}", count("w1:8083"));
        assert_eq!(assign("c", 1, &BTreeSet::new()), None);
    }

    #[test]
    fn a_member_is_named_by_its_worker() {
        assert_eq!(worker("[::1]:8083#ab12"), "[::1]:8083");
        assert_eq!(members(vec!["a:1#x".into(), "rdkafka".into()]), ["a:1#x".to_owned()].into());
    }
}
