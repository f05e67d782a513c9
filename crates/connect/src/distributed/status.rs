//! The states that follow from the topic of states and from who is there. Pure.
//!
//! A worker writes under keys of its own only, so that no record of one worker replaces one of another. What a worker has
//! written counts while its process is a member of the group: the state of a task whose worker died is `UNASSIGNED` until
//! another one has taken it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    assignment::{assign, worker},
    record::{self, StatusEntry, StatusRecord, Stored, Unusable},
};
use crate::worker::{Status, Target, TaskState, TaskStatus, View};

/// Everything in the topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Statuses {
    /// By connector and member.
    statuses: BTreeMap<String, BTreeMap<String, Written>>,
    /// Topics from which a connector has read.
    topics: BTreeMap<String, BTreeSet<String>>,
    /// How many records were read, so that of two the later one is known.
    read: u64,
}

#[derive(Clone, Debug)]
struct Written {
    record: StatusRecord,
    timestamp: i64,
    order: u64,
}

/// The members of the workers' group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) members: BTreeSet<String>,
    pub(super) workers: BTreeSet<String>,
}

/// The most tasks of a connector, whatever `tasks.max` is: a topic has hardly more partitions.
pub(super) const MOST_TASKS: u32 = 100;
/// For how long what a worker wrote is kept after its process is gone, in milliseconds: a process that was frozen, and one
/// that has just begun and is not listed yet, write it again if it was deleted.
const KEPT: i64 = 5 * 60 * 1_000;

impl Live {
    pub(super) fn new(members: BTreeSet<String>) -> Self {
        let workers = members.iter().map(|member| worker(member).to_owned()).collect();
        Self { members, workers }
    }
}

/// How many tasks a connector has.
pub(super) fn tasks(stored: &Stored) -> u32 {
    let most = stored.config.get("tasks.max").and_then(|text| text.trim().parse::<u32>().ok());
    most.unwrap_or(1).clamp(1, MOST_TASKS)
}

impl Statuses {
    /// Reads a record, and returns what it is.
    ///
    /// # Errors
    /// The record cannot be used. It changes nothing.
    pub(super) fn read(
        &mut self,
        timestamp: i64,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<StatusEntry, Unusable> {
        let entry = record::status_entry(key, value)?;
        self.read += 1;
        match &entry {
            StatusEntry::Status { member, name, record: Some(record) } => {
                let written = Written { record: record.clone(), timestamp, order: self.read };
                self.statuses.entry(name.clone()).or_default().insert(member.clone(), written);
            }
            StatusEntry::Status { member, name, record: None } => {
                if let Some(members) = self.statuses.get_mut(name) {
                    members.remove(member);
                }
                self.statuses.retain(|_, members| !members.is_empty());
            }
            StatusEntry::Topic { topic, name, is_used: true } => {
                self.topics.entry(name.clone()).or_default().insert(topic.clone());
            }
            StatusEntry::Topic { topic, name, is_used: false } => {
                if let Some(topics) = self.topics.get_mut(name) {
                    topics.remove(topic);
                }
                self.topics.retain(|_, topics| !topics.is_empty());
            }
            StatusEntry::OfConnect => {}
        }
        Ok(entry)
    }

    /// The topics from which a connector has read.
    pub(super) fn topics(&self, name: &str) -> impl Iterator<Item = &String> {
        self.topics.get(name).into_iter().flatten()
    }

    /// Whether a connector is known to have read from this topic.
    pub(super) fn has_topic(&self, name: &str, topic: &str) -> bool {
        self.topics.get(name).is_some_and(|topics| topics.contains(topic))
    }

    /// What REST shows of a connector. `own` is the worker that is asked, and that is named if there is no other.
    pub(super) fn view(&self, name: &str, stored: &Stored, live: &Live, own: &str) -> View {
        let count = tasks(stored);
        let assigned = assign(name, count, &live.workers).unwrap_or_default();
        let owner = |task: u32| assigned.get(&task).copied().unwrap_or(own);
        let tasks = (0..count).map(|task| self.task(name, stored, live, (task, owner(task))));
        let has_tasks = stored.target != Target::Stopped;
        let status = Status {
            connector: if assigned.is_empty() { "UNASSIGNED" } else { stored.target.name() },
            worker: owner(0).to_owned(),
            tasks: if has_tasks { tasks.collect() } else { Vec::new() },
            topics: self.topics(name).cloned().collect(),
        };
        View { name: name.to_owned(), config: stored.config.clone(), status }
    }

    /// The state that the worker of a task has written. While the task moves, the worker that still runs it counts.
    fn task(&self, name: &str, stored: &Stored, live: &Live, (task, owner): (u32, &str)) -> TaskStatus {
        let unassigned = TaskState::Unassigned.name();
        let of_live = self.statuses.get(name).into_iter().flatten();
        let found = of_live
            .filter(|(member, written)| {
                live.members.contains(*member) && written.record.revision == stored.revision
            })
            .filter_map(|(member, written)| Some((worker(member), written, written.record.tasks.get(&task)?)))
            .max_by_key(|(worker, written, _)| (*worker == owner, written.order));
        let (worker, state, trace) = match found {
            Some((worker, _, task)) => (worker, known(&task.state), task.trace.clone()),
            None => (owner, unassigned, None),
        };
        TaskStatus { id: task, state, worker: worker.to_owned(), trace }
    }

    /// Keys that mean nothing any more: those of processes that are gone, and topics of connectors that do not exist.
    pub(super) fn garbage(&self, live: &Live, exists: impl Fn(&str) -> bool, now: i64) -> Vec<String> {
        let is_gone = |member: &str, written: &Written| {
            !live.members.contains(member) && now.saturating_sub(written.timestamp) > KEPT
        };
        let statuses = self.statuses.iter().flat_map(|(name, members)| {
            let gone = members.iter().filter(|(member, written)| is_gone(member, written));
            gone.map(|(member, _)| record::status_key(member, name)).collect::<Vec<_>>()
        });
        let unused = self.topics.iter().filter(|(name, _)| !exists(name));
        let topics = unused.flat_map(|(name, topics)| {
            topics.iter().map(|topic| record::topic_key(topic, name)).collect::<Vec<_>>()
        });
        statuses.chain(topics).collect()
    }
}

/// The state of this name. Of any other one nothing is known.
fn known(state: &str) -> &'static str {
    ["RUNNING", "PAUSED", "FAILED"].into_iter().find(|known| *known == state).unwrap_or("UNASSIGNED")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributed::record::{StoredTask, VERSION, bytes, status_key, topic_bytes, topic_key};

    fn live(members: &[&str]) -> Live {
        Live::new(members.iter().map(|member| (*member).to_owned()).collect())
    }

    fn stored(target: Target, most: &str) -> Stored {
        let config = [("tasks.max".to_owned(), most.to_owned())].into();
        Stored { revision: "r".to_owned(), target, config }
    }

    struct Topic(Statuses);

    impl Topic {
        fn write(&mut self, member: &str, revision: &str, tasks: &[(u32, &str)]) {
            let task = |state: &str| StoredTask { state: state.to_owned(), trace: None };
            let tasks = tasks.iter().map(|(number, state)| (*number, task(state))).collect();
            let record = StatusRecord { version: VERSION, revision: revision.to_owned(), tasks };
            self.0.read(0, status_key(member, "c").as_bytes(), Some(&bytes(&record))).expect("well formed");
        }

        /// The tasks of a connector with this many of them, as state and worker.
        #[track_caller]
        fn check(&self, target: Target, most: &str, live: &Live, expected: &[(&str, &str)]) {
            let view = self.0.view("c", &stored(target, most), live, "own:1");
            let found: Vec<_> = view.status.tasks.iter().map(|task| (task.state, &*task.worker)).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_state_counts_while_its_process_is_there() {
        let mut topic = Topic(Statuses::default());
        let both = live(&["a:1#x", "b:1#x"]);
        let owner = assign("c", 1, &both.workers).expect("workers")[&0].to_owned();
        let other = if owner == "a:1" { "b:1" } else { "a:1" };
        let member = format!("{owner}#x");
        topic.check(Target::Running, "1", &both, &[("UNASSIGNED", &owner)]);
        topic.write(&member, "r", &[(0, "RUNNING")]);
        topic.check(Target::Running, "1", &both, &[("RUNNING", &owner)]);
        topic.check(Target::Stopped, "1", &both, &[]);
        topic.check(Target::Running, "1", &live(&[&format!("{other}#x")]), &[("UNASSIGNED", other)]);
        // The worker that was killed is back, and has not taken the task yet.
        let again = live(&[&format!("{owner}#y"), &format!("{other}#x")]);
        topic.check(Target::Running, "1", &again, &[("UNASSIGNED", &owner)]);
        topic.check(Target::Running, "1", &Live::default(), &[("UNASSIGNED", "own:1")]);
        topic.write(&member, "older", &[(0, "FAILED")]);
        topic.check(Target::Running, "1", &both, &[("UNASSIGNED", &owner)]);
    }

    #[test]
    fn a_task_that_moves_is_shown_where_it_runs() {
        let mut topic = Topic(Statuses::default());
        let both = live(&["a:1#x", "b:1#y"]);
        let owner = assign("c", 1, &both.workers).expect("workers")[&0].to_owned();
        let (other, own) = if owner == "a:1" { ("b:1#y", "a:1#x") } else { ("a:1#x", "b:1#y") };
        topic.write(other, "r", &[(0, "RUNNING")]);
        topic.check(Target::Running, "1", &both, &[("RUNNING", worker(other))]);
        topic.write(own, "r", &[(0, "FAILED")]);
        topic.write(other, "r", &[(0, "RUNNING")]);
        topic.check(Target::Running, "1", &both, &[("FAILED", &owner)]);
    }

    #[test]
    fn there_are_as_many_tasks_as_tasks_max() {
        let topic = Topic(Statuses::default());
        let live = live(&["a:1#x"]);
        for (most, expected) in [("3", 3), (" 2 ", 2), ("0", 1), ("x", 1), ("4000000", 100)] {
            let view = topic.0.view("c", &stored(Target::Running, most), &live, "own:1");
            assert_eq!(view.status.tasks.len(), expected, "{most}");
        }
    }

    #[test]
    fn what_nobody_needs_is_garbage() {
        let mut topic = Topic(Statuses::default());
        topic.write("a:1#x", "r", &[(0, "RUNNING")]);
        topic.write("b:1#y", "r", &[(1, "RUNNING")]);
        topic.0.read(0, topic_key("t", "c").as_bytes(), Some(&topic_bytes())).expect("well formed");
        let garbage = |live: &Live, exists, now| topic.0.garbage(live, |_| exists, now);
        assert_eq!(garbage(&live(&["b:1#y"]), true, KEPT), [""; 0]);
        assert_eq!(garbage(&live(&["b:1#y"]), true, KEPT + 1), [status_key("a:1#x", "c")]);
        assert_eq!(garbage(&live(&["a:1#x", "b:1#y"]), false, KEPT + 1), [topic_key("t", "c")]);
        let topics = |topic: &Topic| topic.0.topics("c").cloned().collect::<Vec<_>>();
        assert_eq!(topics(&topic), ["t"]);
        topic.0.read(0, topic_key("t", "c").as_bytes(), None).expect("well formed");
        assert_eq!(topics(&topic), [""; 0]);
    }
}
