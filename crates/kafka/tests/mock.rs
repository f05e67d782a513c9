//! A member of a group, a producer, and a range of a topic, against librdkafka's mock cluster.

use std::{collections::BTreeMap, time::Duration};

use event::Partition;
use kafka::{
    Brokers, Error, Intake, KafkaConfig, KafkaMetrics, KafkaSettings, Log, LogRange, Member, Permits, Polled,
    Producer, Record, Slot, Stimulus,
};
use rdkafka::mocking::MockCluster;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// Batches of at most ten offsets, whose records weigh a byte each.
#[derive(Default)]
struct Offsets(Vec<(Slot, u64)>);

impl Intake for Offsets {
    type Origin = Partition;
    type Batch = Vec<(Slot, u64)>;

    fn origin(&self, partition: Partition) -> Partition {
        partition
    }

    fn take(&mut self, record: &Record<'_>, slot: &Slot, origin: &Partition) -> Option<Self::Batch> {
        assert_eq!((&slot.topic, slot.partition), (&origin.topic, origin.partition));
        assert!(record.timestamp.is_some() && record.key.is_some() && record.headers().next().is_none());
        self.0.push((slot.clone(), record.offset));
        if self.0.len() < 10 { None } else { self.close() }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn close(&mut self) -> Option<Self::Batch> {
        (!self.0.is_empty()).then(|| std::mem::take(&mut self.0))
    }

    fn bytes(batch: &Self::Batch) -> usize {
        batch.len()
    }
}

fn cluster(
    partitions: i32,
) -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, KafkaConfig) {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("events", partitions, 1).expect("a topic");
    let section = format!(
        "bootstrap_servers = '{}'\ntopics = ['events']\ngroup_id = 'g'\ngroup_instance_id = ''",
        cluster.bootstrap_servers()
    );
    let settings: KafkaSettings = toml::from_str(&section).expect("complete");
    (cluster, settings.resolve("host").expect("valid"))
}

fn produce(config: &KafkaConfig, records: u64) {
    let producer = Producer::connect(config, "events".to_owned()).expect("the mock answers");
    for number in 0..records {
        producer.send(number.to_string().as_bytes(), Some(b"value")).expect("a record");
    }
    producer.finish().expect("acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_reads_each_record_once_and_drains() {
    let (_cluster, config) = cluster(3);
    let of_producer = config.clone();
    tokio::task::spawn_blocking(move || produce(&of_producer, 95)).await.expect("no panic");
    let permits = Permits::new(1 << 20);
    let (member, mut stimuli) =
        Member::join(config, Offsets::default(), permits.clone(), KafkaMetrics::default()).expect("a client");
    let orders = member.orders();
    let (mut assigned, mut read, mut gone) = (0, BTreeMap::<i32, Vec<u64>>::new(), 0);
    let until_closed = async {
        loop {
            match stimuli.recv().await.expect("the last one is `Closed`") {
                Stimulus::Assigned(slots) => assigned += slots.len(),
                Stimulus::Read(batch, permit) => {
                    assert!((1..=10).contains(&batch.len()));
                    assert!(permit.is_some() || orders.is_stopping(), "only a drain needs no permit");
                    for (slot, offset) in *batch {
                        read.entry(slot.partition).or_default().push(offset);
                    }
                    if read.values().map(Vec::len).sum::<usize>() == 95 {
                        orders.stop();
                    }
                }
                Stimulus::Drain(slots, reply) => {
                    assert_eq!(slots.len(), 3);
                    reply.send(Vec::new()).expect("the reader waits");
                }
                Stimulus::Gone(slots) => gone += slots.len(),
                Stimulus::Closed(result) => {
                    result.expect("it was stopped");
                    break;
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, until_closed).await.expect("all records arrive");
    assert_eq!((assigned, gone), (3, 3));
    for offsets in read.values() {
        assert_eq!(*offsets, (0..offsets.len() as u64).collect::<Vec<_>>());
    }
    drop(stimuli);
    member.end().await.expect("no thread panicked");
    assert_eq!(permits.available(), permits.total());
}

#[test]
fn a_range_returns_the_newest_records() {
    let (_cluster, config) = cluster(1);
    produce(&config, 50);
    let mut log = Log::open(&config, "events", LogRange::Newest(20)).expect("the mock answers");
    assert_eq!((log.partitions(), log.offsets_wanted()), (1, 20));
    let stop = CancellationToken::new();
    for expected in 30..50 {
        let Polled::Record(owned) = log.take(0, &stop).expect("a record") else { panic!("no {expected}") };
        let record = owned.record();
        assert_eq!((record.offset, record.value), (expected, Some(&b"value"[..])));
    }
    assert!(matches!(log.take(0, &stop), Ok(Polled::End)));
    assert_eq!(log.offsets_received(), 20);
}

#[test]
fn failed_requests_name_the_cause() {
    let (_cluster, config) = cluster(3);
    let brokers = Brokers::open(&config).expect("a client");
    assert!(matches!(brokers.partitions("events", PATIENCE), Ok(3)));
    let missing = brokers.partitions("missing", Duration::from_millis(200)).expect_err("no such topic");
    assert!(matches!(&missing, Error::TopicNotFound { topic, .. } if topic == "missing"), "{missing}");
    assert!(missing.is_about_topic());
    let section = "bootstrap_servers = '127.0.0.1:1'\ntopics = ['events']\ngroup_id = 'g'";
    let settings: KafkaSettings = toml::from_str(section).expect("complete");
    let brokers = Brokers::open(&settings.resolve("host").expect("valid")).expect("a client");
    let error = brokers.partitions("events", Duration::from_millis(500)).expect_err("no broker");
    assert!(matches!(error, Error::Unanswered { .. }) && !error.is_about_topic(), "{error}");
}

#[test]
fn properties_are_checked_without_a_broker() {
    let check = |properties: &str| {
        let section =
            format!("bootstrap_servers = 'b:1'\ntopics = ['t']\ngroup_id = 'g'\n[properties]\n{properties}");
        let settings: KafkaSettings = toml::from_str(&section).expect("complete");
        settings.resolve("host").expect("valid")
    };
    check("").check_properties().expect("all are known");
    check("").check_combination().expect("a client");
    let (property, _) = check("'no.such' = 1").check_properties().expect_err("an unknown property");
    assert_eq!(property, "no.such");
    let contradiction = check("'receive.message.max.bytes' = 1000");
    contradiction.check_properties().expect("known");
    contradiction.check_combination().expect_err("less than fetch.max.bytes");
}
