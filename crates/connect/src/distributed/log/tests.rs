//! Changes by several workers on one topic that is compacted at any time, against a rule that needs no topic.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::distributed::record::{VERSION, bytes, connector_key};

type Record = (u64, i64, String, Option<Vec<u8>>);

/// A topic with one partition.
#[derive(Clone, Default)]
struct Topic {
    records: Vec<Record>,
    end: u64,
}

impl Topic {
    fn append(&mut self, now: i64, key: String, value: Option<Vec<u8>>) -> u64 {
        self.records.push((self.end, now, key, value));
        self.end += 1;
        self.end - 1
    }

    /// As Kafka's cleaner: of the records before `until`, one that has a later one of its key goes. A deletion goes only
    /// when there is nothing before it that it deletes.
    fn compact(&mut self, until: u64, takes_deletions: bool) {
        let last: BTreeMap<String, u64> =
            self.records.iter().filter(|r| r.0 < until).map(|r| (r.2.clone(), r.0)).collect();
        self.records.retain(|(offset, _, key, value)| {
            *offset >= until || (last[key] == *offset && (value.is_some() || !takes_deletions))
        });
    }
}

/// A worker that has read the topic up to its position.
#[derive(Clone, Default)]
struct Worker {
    log: ConfigLog,
    /// Changes that were not read back yet, and what they make of the connector.
    open: BTreeMap<String, String>,
}

impl Worker {
    /// Reads this many records, and returns the names and IDs of its own changes with whether they count.
    fn read(&mut self, topic: &Topic, most: usize) -> Vec<(String, bool)> {
        let position = self.log.position();
        let mut answers = Vec::new();
        for (offset, time, key, value) in topic.records.iter().filter(|r| r.0 >= position).take(most) {
            let entry =
                self.log.read((*offset, *time), key.as_bytes(), value.as_deref()).expect("well formed");
            if let ConfigEntry::Connector { name, id, record: Some(_) } = entry
                && self.open.remove(&id).is_some()
            {
                answers.push((id.clone(), self.log.is_last(&name, &id)));
            }
        }
        // Records at the end may have been compacted away; the reader passes their offsets.
        if topic.records.last().is_none_or(|r| r.0 < self.log.position) {
            self.log.position = topic.end.max(self.log.position);
        }
        answers
    }
}

/// The rule: who has not seen the last change that counts is refused.
#[derive(Default)]
struct Model {
    last: BTreeMap<String, (u64, Option<Stored>)>,
}

impl Model {
    fn change(&mut self, name: &str, offset: u64, seen: u64, connector: Option<Stored>) -> bool {
        let counts = self.last.get(name).is_none_or(|(last, _)| seen > *last);
        if counts {
            self.last.insert(name.to_owned(), (offset, connector));
        }
        counts
    }

    fn connectors(&self) -> BTreeMap<String, Stored> {
        let found =
            |(name, (_, stored)): (&String, &(u64, Option<Stored>))| Some((name.clone(), stored.clone()?));
        self.last.iter().filter_map(found).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Change { worker: usize, name: usize, deletes: bool },
    Read { worker: usize, most: usize },
    Collect { worker: usize, most: usize },
    Compact { share: f64, takes_deletions: bool },
    Restart { worker: usize },
    Wait { hours: i64 },
}

const WORKERS: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..WORKERS, 0..2_usize, prop::bool::weighted(0.25))
            .prop_map(|(worker, name, deletes)| Step::Change { worker, name, deletes }),
        8 => (0..WORKERS, 1..6_usize).prop_map(|(worker, most)| Step::Read { worker, most }),
        4 => (0..WORKERS, 1..4_usize).prop_map(|(worker, most)| Step::Collect { worker, most }),
        3 => (0.0..1.0_f64, any::<bool>())
            .prop_map(|(share, takes_deletions)| Step::Compact { share, takes_deletions }),
        1 => (0..WORKERS).prop_map(|worker| Step::Restart { worker }),
        1 => (1..30_i64).prop_map(|hours| Step::Wait { hours }),
    ];
    prop::collection::vec(step, 1..120)
}

fn stored(number: usize) -> Stored {
    let config = [("number".to_owned(), number.to_string())].into();
    Stored { revision: number.to_string(), target: Target::Running, config }
}

fn connectors(log: &ConfigLog) -> BTreeMap<String, Stored> {
    log.iter().map(|(name, stored)| (name.clone(), stored.clone())).collect()
}

/// Runs the steps, and checks after each that a worker which starts now finds what the rule says.
fn run(steps: Vec<Step>) {
    let (mut topic, mut model) = (Topic::default(), Model::default());
    let mut workers = vec![Worker::default(); WORKERS];
    let mut expected = BTreeMap::new();
    let mut now = 0;
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Change { worker, name, deletes } => {
                let (name, id) = (format!("c{name}"), format!("id{number}"));
                let seen = workers[worker].log.position();
                let connector = (!deletes).then(|| stored(number));
                let record = ConnectorRecord { version: VERSION, seen, connector: connector.clone() };
                let offset = topic.append(now, connector_key(&id, &name), Some(bytes(&record)));
                expected.insert(id.clone(), model.change(&name, offset, seen, connector));
                workers[worker].open.insert(id, name);
            }
            Step::Read { worker, most } => {
                for (id, counts) in workers[worker].read(&topic, most) {
                    assert_eq!(counts, expected[&id], "the answer to {id}");
                }
            }
            Step::Collect { worker, most } => {
                for key in workers[worker].log.garbage(now).into_iter().take(most) {
                    topic.append(now, key, None);
                }
            }
            Step::Compact { share, takes_deletions } => {
                // A worker that is behind has to have read what the cleaner takes: a day is longer than any reader needs.
                for worker in &mut workers {
                    worker.read(&topic, usize::MAX);
                }
                topic.compact((topic.end as f64 * share) as u64, takes_deletions);
            }
            Step::Restart { worker } => {
                // A worker writes nothing before it has read the topic.
                workers[worker] = Worker::default();
                workers[worker].read(&topic, usize::MAX);
            }
            Step::Wait { hours } => {
                // A change that was written is in the topic after half a minute, and every worker reads it.
                for worker in &mut workers {
                    worker.read(&topic, usize::MAX);
                }
                now += hours * 3_600_000;
            }
        }
        let mut fresh = Worker::default();
        fresh.read(&topic, usize::MAX);
        assert_eq!(connectors(&fresh.log), model.connectors(), "after step {number}");
    }
    for worker in &mut workers {
        worker.read(&topic, usize::MAX);
        assert_eq!(connectors(&worker.log), model.connectors());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn workers_agree_whatever_is_compacted(steps in steps()) {
        run(steps);
    }
}

#[test]
fn the_second_of_two_changes_is_refused() {
    let change = |worker| Step::Change { worker, name: 0, deletes: false };
    run(vec![
        change(0),
        change(1),
        Step::Read { worker: 0, most: 9 },
        Step::Read { worker: 1, most: 9 },
        Step::Collect { worker: 0, most: 9 },
        Step::Compact { share: 1.0, takes_deletions: false },
        change(2),
        Step::Restart { worker: 1 },
    ]);
}

#[test]
fn garbage_goes_in_order() {
    let mut log = ConfigLog::default();
    let mut write = |offset, id: &str, seen, connector| {
        let record = ConnectorRecord { version: VERSION, seen, connector };
        log.read((offset, 0), connector_key(id, "c").as_bytes(), Some(&bytes(&record))).expect("well formed");
        log.clone()
    };
    write(0, "a", 0, Some(stored(0)));
    write(1, "refused", 0, Some(stored(1)));
    let log = write(2, "b", 2, None);
    assert_eq!(log.garbage(0), [connector_key("refused", "c")]);
    let delete = |mut log: ConfigLog, offset, id: &str| {
        log.read((offset, 0), connector_key(id, "c").as_bytes(), None).expect("well formed");
        log
    };
    let log = delete(log, 3, "refused");
    assert_eq!(log.garbage(DELETION + 1), [connector_key("a", "c")]);
    let log = delete(log, 4, "a");
    assert_eq!(log.garbage(DELETION), [""; 0]);
    assert_eq!(log.garbage(DELETION + 1), [connector_key("b", "c")]);
    let log = delete(log, 5, "b");
    assert_eq!((log.get("c"), log.garbage(DELETION + 1).len(), log.names.len()), (None, 0, 0));
}

#[test]
fn connectors_of_kafka_connect_are_taken_over() {
    let mut log = ConfigLog::default();
    let mut offset = 0;
    let mut read = |log: &mut ConfigLog, key: &str, value: Option<&str>| {
        log.read((offset, 0), key.as_bytes(), value.map(str::as_bytes)).expect("well formed");
        offset += 1;
    };
    read(&mut log, "target-state-a", Some(r#"{"state":"PAUSED","state.v2":"PAUSED"}"#));
    read(&mut log, "connector-a", Some(r#"{"properties":{"topics":"t"}}"#));
    read(&mut log, "task-a-0", Some("{}"));
    let found = log.get("a").expect("it is there");
    assert_eq!((found.target, found.config.get("topics").map(String::as_str)), (Target::Paused, Some("t")));
    // A change here replaces it, and deleting it leaves what Kafka Connect wrote as it is.
    let record = ConnectorRecord { version: VERSION, seen: 3, connector: None };
    let value = String::from_utf8(bytes(&record)).expect("JSON");
    read(&mut log, &connector_key("x", "a"), Some(&value));
    assert_eq!(log.get("a"), None);
    assert_eq!(log.garbage(i64::MAX), [""; 0]);
    read(&mut log, "connector-a", Some(r#"{"properties":{"topics":"u"}}"#));
    assert_eq!(log.get("a").map(|found| found.target), Some(Target::Paused));
    read(&mut log, "connector-a", None);
    assert_eq!(log.get("a"), None);
}
