//! A member of a group, a producer, and a range of a topic, against librdkafka's mock cluster.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use event::Partition;
use kafka::{
    Admission, Brokers, Error, Intake, KafkaConfig, KafkaMetrics, KafkaSettings, Log, LogRange, Member,
    Permits, Polled, Producer, Record, Slot, Stimulus,
    journal::{JournalReader, JournalWriter, Journaled},
};
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// Batches of at most ten offsets, whose records weigh a byte each.
#[derive(Default)]
struct Offsets(Vec<(Slot, u64)>, Gate);

/// Which records have to wait.
#[derive(Clone, Default)]
struct Gate(Arc<Closed>);

#[derive(Default)]
struct Closed {
    /// Records whose offset is a multiple of this number; none for 0.
    every: AtomicUsize,
    /// Of the partitions below this number.
    partitions: AtomicUsize,
    /// How often a record had to wait.
    waits: AtomicUsize,
}

impl Gate {
    fn closed(every: usize, partitions: usize) -> Self {
        let gate = Self::default();
        gate.0.partitions.store(partitions, Ordering::Release);
        gate.close_every(every);
        gate
    }

    fn close_every(&self, offsets: usize) {
        self.0.every.store(offsets, Ordering::Release);
    }

    fn waits(&self) -> usize {
        self.0.waits.load(Ordering::Acquire)
    }

    fn is_closed_for(&self, slot: &Slot, offset: u64) -> bool {
        let every = self.0.every.load(Ordering::Acquire) as u64;
        let is_one = (slot.partition as usize) < self.0.partitions.load(Ordering::Acquire);
        let is_closed = is_one && every > 0 && offset.is_multiple_of(every);
        self.0.waits.fetch_add(usize::from(is_closed), Ordering::AcqRel);
        is_closed
    }
}

impl Intake for Offsets {
    type Origin = Partition;
    type Batch = Vec<(Slot, u64)>;

    fn origin(&self, partition: Partition) -> Partition {
        partition
    }

    fn take(&mut self, record: &Record<'_>, slot: &Slot, origin: &Partition) -> Admission<Self::Batch> {
        if self.1.is_closed_for(slot, record.offset) {
            return Admission::Waits;
        }
        assert_eq!((&slot.topic, slot.partition), (&origin.topic, origin.partition));
        assert!(record.timestamp.is_some() && record.key.is_some() && record.headers().next().is_none());
        self.0.push((slot.clone(), record.offset));
        Admission::Taken(if self.0.len() < 10 { None } else { self.close() })
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
        "bootstrap_servers = '{}'\ntopics = ['events']\ngroup_id = 'g'\ngroup_instance_id = ''\n\
         [properties]\n'session.timeout.ms' = 6000\n'heartbeat.interval.ms' = 500",
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

/// A member with its driver, which records what is read.
struct Group {
    member: Member,
    stimuli: kafka::Stimuli<Vec<(Slot, u64)>>,
    /// By partition, in the order of arrival.
    read: BTreeMap<i32, Vec<u64>>,
    permits: Vec<tokio::sync::OwnedSemaphorePermit>,
    /// Whether the permits of batches are kept, as during an outage of Pub/Sub.
    keeps_permits: bool,
    passed: usize,
    assigned: usize,
    gone: usize,
}

impl Group {
    fn join(config: KafkaConfig, gate: Gate, permits: Permits) -> Self {
        let (member, stimuli) =
            Member::join(config, Offsets(Vec::new(), gate), permits, KafkaMetrics::default())
                .expect("a client");
        Self {
            member,
            stimuli,
            read: BTreeMap::new(),
            permits: Vec::new(),
            keeps_permits: false,
            passed: 0,
            assigned: 0,
            gone: 0,
        }
    }

    /// Acts as a driver until the condition holds.
    async fn until(&mut self, condition: impl Fn(&Self) -> bool) {
        let until = async {
            while !condition(self) {
                self.step().await;
            }
        };
        tokio::time::timeout(PATIENCE, until).await.expect("it happens");
    }

    /// Acts as a driver for this time.
    async fn during(&mut self, time: Duration) {
        let forever = async {
            loop {
                self.step().await;
            }
        };
        tokio::time::timeout(time, forever).await.expect_err("it does not end");
    }

    async fn step(&mut self) {
        match self.stimuli.recv().await.expect("the last one is `Closed`") {
            Stimulus::Read(batch, permit) => {
                for (slot, offset) in *batch {
                    self.read.entry(slot.partition).or_default().push(offset);
                }
                self.permits.extend(permit.filter(|_| self.keeps_permits));
            }
            Stimulus::Assigned(slots) => self.assigned += slots.len(),
            Stimulus::Gone(slots) => self.gone += slots.len(),
            Stimulus::Passed(..) => self.passed += 1,
            Stimulus::Drain(_, reply) => reply.send(Vec::new()).expect("the reader waits"),
            Stimulus::Closed(result) => result.expect("no error"),
            _ => {}
        }
    }

    fn count(&self, partition: i32) -> usize {
        self.read.get(&partition).map_or(0, Vec::len)
    }

    async fn end(self) -> BTreeMap<i32, Vec<u64>> {
        let Self { member, mut stimuli, read, .. } = self;
        member.orders().stop();
        while let Some(stimulus) = stimuli.recv().await {
            match stimulus {
                Stimulus::Drain(_, reply) => reply.send(Vec::new()).expect("the reader waits"),
                Stimulus::Closed(result) => {
                    result.expect("it was stopped");
                    break;
                }
                _ => {}
            }
        }
        drop(stimuli);
        member.end().await.expect("no thread panicked");
        read
    }
}

/// Writes this many records to each partition.
async fn fill(config: &KafkaConfig, partitions: std::ops::Range<i32>, records: u64) {
    let config = config.clone();
    let fill = move || {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &config.bootstrap_servers)
            .create()
            .expect("a producer");
        for (partition, number) in partitions.flat_map(|p| (0..records).map(move |n| (p, n))) {
            let key = number.to_string();
            let record = BaseRecord::to("events").partition(partition).key(&key).payload("value");
            producer.send(record).map_err(|(error, _)| error).expect("there is room");
        }
        producer.flush(PATIENCE).expect("acknowledged");
    };
    tokio::task::spawn_blocking(fill).await.expect("no panic");
}

fn in_order(records: u64) -> Vec<u64> {
    (0..records).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_waits_pauses_its_partition_only() {
    let (_cluster, config) = cluster(2);
    fill(&config, 0..2, 500).await;
    let gate = Gate::closed(100, 1);
    let mut group = Group::join(config.clone(), gate.clone(), Permits::new(1 << 20));
    group.until(|group| group.count(1) == 500).await;
    let waits = gate.waits();
    group.until(|_| gate.waits() > waits + 2).await;
    assert_eq!(group.count(0), 0, "the first record waits, and the others behind it");
    // From here on the records at 150, 300 and 450 wait.
    gate.close_every(150);
    let waits = gate.waits();
    group.until(|_| gate.waits() > waits).await;
    assert_eq!(group.count(0), 0, "offset 0 waits still");
    gate.close_every(0);
    group.until(|group| group.count(0) == 500).await;
    fill(&config, 0..2, 300).await;
    group.until(|group| group.count(0) == 800 && group.count(1) == 800).await;
    assert_eq!(group.passed, 0, "no position overtook a record that waited");
    let read = group.end().await;
    assert_eq!(read, BTreeMap::from([(0, in_order(800)), (1, in_order(800))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_outage_resumes_no_waiting_partition() {
    let (_cluster, config) = cluster(2);
    let gate = Gate::closed(50, 1);
    // So few permits that a hundred batches use them up.
    let mut group = Group::join(config.clone(), gate.clone(), Permits::new(100));
    group.keeps_permits = true;
    fill(&config, 0..1, 2_000).await;
    group.until(|_| gate.waits() > 0).await;
    fill(&config, 1..2, 2_000).await;
    group.until(|group| group.count(1) > 0).await;
    // Longer than the patience of a reader without a permit, so that it has paused all partitions.
    group.during(Duration::from_secs(3)).await;
    assert!(group.count(1) < 2_000, "it is paused");
    group.keeps_permits = false;
    group.permits.clear();
    group.until(|group| group.count(1) == 2_000).await;
    let waits = gate.waits();
    group.until(|_| gate.waits() > waits + 2).await;
    assert_eq!(group.count(0), 0);
    gate.close_every(0);
    group.until(|group| group.count(0) == 2_000).await;
    assert_eq!(group.end().await, BTreeMap::from([(0, in_order(2_000)), (1, in_order(2_000))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_partitions_survive_rebalances() {
    let (_cluster, config) = cluster(4);
    fill(&config, 0..4, 100).await;
    let gate = Gate::closed(1, 4);
    let mut first = Group::join(config.clone(), gate.clone(), Permits::new(1 << 20));
    first.until(|group| group.assigned == 4 && gate.waits() > 4).await;
    let mut second = Group::join(config.clone(), gate.clone(), Permits::new(1 << 20));
    let both =
        async { tokio::join!(first.until(|group| group.gone > 0), second.until(|group| group.assigned > 0)) };
    both.await;
    let moved = second.assigned;
    assert_eq!(second.end().await, BTreeMap::new());
    // The partitions that were revoked while they waited come back, and are not paused for ever.
    first.until(|group| group.assigned == 4 + moved).await;
    let waits = gate.waits();
    first.until(|_| gate.waits() > waits + 8).await;
    gate.close_every(0);
    first.until(|group| (0..4).all(|partition| group.count(partition) == 100)).await;
    let read = first.end().await;
    assert_eq!(read, (0..4).map(|partition| (partition, in_order(100))).collect());
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

#[test]
fn a_journal_is_read_to_its_end_and_followed() {
    let (_cluster, config) = cluster(3);
    let writer = JournalWriter::open(&config, PATIENCE).expect("a producer");
    let write = |key: &str, value: Option<&[u8]>| {
        let sent = writer.send("events", key, value).expect("a record");
        futures::executor::block_on(sent).expect("acknowledged");
    };
    write("a", Some(b"1"));
    write("a", None);
    let mut reader = JournalReader::open(&config, "events", 3).expect("a consumer");
    let mut next = || {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(found) = reader.poll(Duration::from_millis(100)).expect("the mock answers") {
                return found;
            }
        }
        panic!("nothing arrives");
    };
    let mut values = Vec::new();
    while let Journaled::Record(record) = next() {
        values.push(record.value);
    }
    assert_eq!(values, [Some(b"1".to_vec()), None], "what was there before comes first");
    write("b", Some(b"2"));
    assert!(matches!(next(), Journaled::Record(record) if record.key.as_deref() == Some(b"b")));
}
