//! The connector against a real Kafka: what the mock cluster does not know. `make test` starts one; by hand:
//! `deploy/services/services.py run --only kafka -- cargo test -p connector --test real`.

mod harness;

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use event::{ByteSize, Ranges, mark::Reason};
use harness::{Kafka, Running, Sink};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    producer::Producer,
    types::RDKafkaErrorCode,
};

const WAIT: Duration = Duration::from_secs(20);
const QUICK: &str = "[properties]\n'session.timeout.ms' = 6000\n'heartbeat.interval.ms' = 500";

/// A name that no other run uses.
fn fresh(name: &str) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    format!("{name}-{}-{}", std::process::id(), since.as_nanos())
}

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &kafka.servers).create().expect("a client")
}

async fn create(kafka: &Kafka, topic: &str, partitions: i32, config: &[(&str, &str)]) {
    let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in config {
        wanted = wanted.set(name, value);
    }
    let made = admin(kafka).create_topics(&[wanted], &AdminOptions::new()).await.expect("Kafka answers");
    made.into_iter().for_each(|one| drop(one.expect("a new topic")));
    known(kafka, topic, partitions).await;
}

/// Waits until the broker knows a topic with this many partitions: the controller, which made them, may be ahead of it,
/// and a connector ends where a topic does not exist.
async fn known(kafka: &Kafka, topic: &str, partitions: i32) {
    let partitions = usize::try_from(partitions).expect("some partitions");
    until_led(kafka, topic, |led| led >= partitions).await;
}

/// Waits until the number of a topic's partitions that have a leader, as the broker knows them, is the right one.
async fn until_led(kafka: &Kafka, topic: &str, is_right: impl Fn(usize) -> bool) {
    let (admin, asked) = (admin(kafka), Instant::now());
    let led = || {
        let metadata = admin.inner().fetch_metadata(Some(topic), WAIT).expect("Kafka answers");
        let of_topic = metadata.topics().iter().find(|found| found.name() == topic);
        of_topic.map_or(0, |found| found.partitions().iter().filter(|p| p.leader() >= 0).count())
    };
    while !is_right(led()) {
        assert!(asked.elapsed() < WAIT, "the broker knows {} partitions of {topic}", led());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn connect(kafka: &Kafka, topic: &str, sink: &Sink, more: &str) -> Running {
    kafka.connect_with(&kafka.settings_of(topic, more), sink, ByteSize(32 << 20))
}

/// Data and marks together cover [0, end), each offset once.
fn assert_accounted(sink: &Sink, topic: &str, partition: i32, end: u64) -> (Ranges, Ranges) {
    let (data, marks) = sink.coverage(topic, partition);
    let mut all = data.clone();
    for range in marks.iter() {
        assert_eq!(all.insert(range.clone()), range.end - range.start, "{range:?} is data and marked");
    }
    assert_eq!(all.iter().collect::<Vec<_>>(), vec![0..end], "{topic}[{partition}]");
    (data, marks)
}

/// Waits until the marks say that everything below is committed.
async fn wait_committed(sink: &Sink, topic: &str, partition: i32, end: u64) {
    sink.until(&format!("offset {end} of {topic}[{partition}] committed"), |state| {
        let mut entries = state.marks.iter().flat_map(|mark| &mark.partitions);
        let own = |p: &&event::mark::PartitionMark| {
            &*p.partition.topic == topic && p.partition.partition == partition
        };
        entries.rfind(own).is_some_and(|p| p.committed == Some(end))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transaction_markers_are_accounted_for() {
    let topic = fresh("transactions");
    let id = fresh("producer");
    let kafka = Kafka::real(&[("transactional.id", &id)]);
    create(&kafka, &topic, 1, &[]).await;
    let sink = Sink::default();
    let running = connect(&kafka, &topic, &sink, QUICK);
    kafka.producer.init_transactions(WAIT).expect("transactions");
    for round in 0..4 {
        kafka.producer.begin_transaction().expect("a transaction");
        kafka.produce(&topic, 1, round * 10..round * 10 + 10);
        if round % 2 == 0 {
            kafka.producer.commit_transaction(WAIT).expect("committed");
        } else {
            kafka.producer.abort_transaction(WAIT).expect("aborted");
        }
    }
    // 40 records and 4 markers; the last transaction was aborted, so that the log ends in nothing readable.
    sink.wait_for(&topic, 20).await;
    wait_committed(&sink, &topic, 0, 44).await;
    let (data, _) = assert_accounted(&sink, &topic, 0, 44);
    assert_eq!(data.iter().collect::<Vec<_>>(), vec![0..10, 22..32]);
    // An open transaction holds the reader; the end of the log is beyond it.
    kafka.producer.begin_transaction().expect("a transaction");
    kafka.produce(&topic, 1, 40..45);
    sink.until("an end beyond the open transaction", |state| {
        let last = state.marks.last().and_then(|mark| mark.partitions.first());
        last.and_then(|p| p.end).is_some_and(|end| end.offset == 49)
    })
    .await;
    assert_eq!(sink.published(&topic), 20);
    kafka.producer.commit_transaction(WAIT).expect("committed");
    wait_committed(&sink, &topic, 0, 50).await;
    let summary = running.stop().await;
    assert_eq!((summary.published, sink.published(&topic)), (25, 25));
    assert_accounted(&sink, &topic, 0, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_compression_is_read() {
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = fresh(compression);
        let kafka = Kafka::real(&[("compression.type", compression), ("linger.ms", "50")]);
        create(&kafka, &topic, 2, &[]).await;
        kafka.produce(&topic, 2, 0..5_000);
        let sink = Sink::default();
        let running = connect(&kafka, &topic, &sink, QUICK);
        sink.wait_for(&topic, 5_000).await;
        assert_eq!(running.stop().await.published, 5_000, "{compression}");
        assert_accounted(&sink, &topic, 0, 2_500);
        assert_accounted(&sink, &topic, 1, 2_500);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_topic_is_another_incarnation() {
    let topic = fresh("recreated");
    let kafka = Kafka::real(&[]);
    create(&kafka, &topic, 1, &[]).await;
    kafka.produce(&topic, 1, 0..100);
    let sink = Sink::default();
    let running = connect(&kafka, &topic, &sink, QUICK);
    wait_committed(&sink, &topic, 0, 100).await;
    delete(&kafka, &topic).await;
    recreate(&kafka, &topic, 1).await;
    let other = Kafka::real(&[]);
    other.produce(&topic, 1, 0..150);
    sink.until("the new topic", |state| {
        let incarnations: Vec<_> = state.data.iter().filter(|(place, _)| place.0 == topic).collect();
        incarnations.len() == 2 && incarnations.iter().any(|(_, offsets)| offsets.len() == 150)
    })
    .await;
    running.stop().await;
    let sizes: Vec<_> = sink.with(|state| {
        state.data.iter().filter(|(place, _)| place.0 == topic).map(|(_, offsets)| offsets.len()).collect()
    });
    assert_eq!(sizes.iter().sum::<usize>(), 250, "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_deleted_by_retention_are_lost() {
    let topic = fresh("retention");
    let kafka = Kafka::real(&[]);
    create(&kafka, &topic, 1, &[]).await;
    kafka.produce(&topic, 1, 0..50);
    let sink = Sink::default();
    let running = connect(&kafka, &topic, &sink, QUICK);
    wait_committed(&sink, &topic, 0, 50).await;
    running.stop().await;
    kafka.produce(&topic, 1, 50..100);
    truncate(&kafka, &topic, 70).await;
    let running = connect(&kafka, &topic, &sink, QUICK);
    wait_committed(&sink, &topic, 0, 100).await;
    assert_accounted(&sink, &topic, 0, 100);
    assert_eq!(running.stop().await.lost(), 20);
    // Few bytes in flight, so that the reader is paused while the log is truncated.
    sink.is_down.store(true, Ordering::Release);
    kafka.produce(&topic, 1, 100..60_100);
    let settings = kafka.settings_of(&topic, &format!("buffer = '1MiB'\n{QUICK}"));
    let running = kafka.connect_with(&settings, &sink, ByteSize(100_000));
    tokio::time::sleep(Duration::from_secs(5)).await;
    truncate(&kafka, &topic, 60_000).await;
    sink.is_down.store(false, Ordering::Release);
    wait_committed(&sink, &topic, 0, 60_100).await;
    let summary = running.stop().await;
    assert_accounted(&sink, &topic, 0, 60_100);
    assert!(summary.lost() > 10_000, "{summary}");
}

async fn truncate(kafka: &Kafka, topic: &str, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(before)).expect("an offset");
    admin(kafka).delete_records(&list, &AdminOptions::new()).await.expect("the records are deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_partitions_are_read_from_the_beginning() {
    let topic = fresh("added");
    let kafka = Kafka::real(&[("topic.metadata.refresh.interval.ms", "500")]);
    create(&kafka, &topic, 1, &[]).await;
    kafka.produce(&topic, 1, 0..10);
    let sink = Sink::default();
    let more = format!("start = 'latest'\n{QUICK}");
    let running = connect(&kafka, &topic, &sink, &more);
    wait_committed(&sink, &topic, 0, 10).await;
    grow(&kafka, &topic, 3).await;
    let other = Kafka::real(&[]);
    other.produce(&topic, 3, 0..30);
    sink.wait_for(&topic, 30).await;
    sink.until("three partitions in the marks", |state| {
        state.marks.last().is_some_and(|mark| mark.topics[0].partitions == 3 && mark.partitions.len() == 3)
    })
    .await;
    running.stop().await;
    assert_accounted(&sink, &topic, 0, 20);
    assert_accounted(&sink, &topic, 1, 10);
    assert_accounted(&sink, &topic, 2, 10);
    assert_eq!(sink.reasons(), BTreeMap::from([(Reason::Before, 10)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_come_and_go_under_load() {
    let topic = fresh("replicas");
    let kafka = Kafka::real(&[]);
    create(&kafka, &topic, 6, &[]).await;
    let sink = Sink::default();
    let first = connect(&kafka, &topic, &sink, QUICK);
    let mut produced = 0;
    let mut others = Vec::new();
    for round in 0..6 {
        kafka.produce(&topic, 6, produced..produced + 6_000);
        produced += 6_000;
        if round % 2 == 0 {
            others.push(connect(&kafka, &topic, &sink, QUICK));
        } else if let Some(other) = others.pop() {
            other.stop().await;
        }
        sink.wait_for(&topic, produced as usize / 2).await;
    }
    sink.wait_for(&topic, produced as usize).await;
    for other in others {
        other.stop().await;
    }
    first.stop().await;
    for partition in 0..6 {
        assert_accounted(&sink, &topic, partition, produced / 6);
    }
    let twice = sink.with(|state| state.data.values().flat_map(|o| o.values()).filter(|n| **n > 1).count());
    assert_eq!(twice, 0, "a cooperative rebalance drains, and nothing is published twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_and_truncated_offsets_are_handled() {
    let topic = fresh("commits");
    let kafka = Kafka::real(&[]);
    create(&kafka, &topic, 1, &[]).await;
    kafka.produce(&topic, 1, 0..100);
    // An operator's reset has no metadata: taken as it is.
    commit(&kafka, &topic, 40, "");
    let sink = Sink::default();
    let running = connect(&kafka, &topic, &sink, QUICK);
    wait_committed(&sink, &topic, 0, 100).await;
    running.stop().await;
    let incarnations = |sink: &Sink| sink.with(|state| state.data.keys().cloned().collect::<Vec<_>>());
    let id = incarnations(&sink).remove(0).2;
    assert_eq!(sink.published(&topic), 60);
    // What an unclean election leaves behind: a committed offset beyond the end, under the same id.
    commit(&kafka, &topic, 1_000, &id);
    let sink = Sink::default();
    let running = connect(&kafka, &topic, &sink, QUICK);
    wait_committed(&sink, &topic, 0, 100).await;
    kafka.produce(&topic, 1, 100..110);
    wait_committed(&sink, &topic, 0, 110).await;
    running.stop().await;
    assert_eq!(incarnations(&sink), [(topic.clone(), 0, format!("{id}+1"))]);
    assert_accounted(&sink, &topic, 0, 110);
    assert_eq!(sink.reasons(), BTreeMap::from([(Reason::Before, 100)]));
    // It stays in that incarnation.
    kafka.produce(&topic, 1, 110..120);
    let sink = Sink::default();
    let running = connect(&kafka, &topic, &sink, QUICK);
    wait_committed(&sink, &topic, 0, 120).await;
    running.stop().await;
    assert_eq!(incarnations(&sink), [(topic, 0, format!("{id}+1"))]);
    assert_eq!(sink.reasons(), BTreeMap::new());
}

fn commit(kafka: &Kafka, topic: &str, offset: i64, metadata: &str) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.servers)
        .set("group.id", format!("g-{topic}"))
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, 0);
    element.set_offset(Offset::Offset(offset)).expect("an offset");
    element.set_metadata(metadata);
    // A broker that has just started makes the topic of the groups when the first of them asks for it.
    let asked = Instant::now();
    while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
        let is_starting = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::NotCoordinator
                    | RDKafkaErrorCode::CoordinatorNotAvailable
                    | RDKafkaErrorCode::CoordinatorLoadInProgress
            )
        );
        assert!(is_starting && asked.elapsed() < WAIT, "the group has no members: {error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A connector's static name; none for a dynamic member.
type Member<'a> = Option<&'a str>;

/// Replicas of one pipeline, one a member, with the same topics.
fn start(kafka: &Kafka, group: &str, topics: &[&str], members: &[Member<'_>], sink: &Sink) -> Vec<Running> {
    members.iter().map(|member| replica(kafka, group, topics, *member, sink)).collect()
}

/// One replica. A static member's session outlives every deadline of these tests, so that waiting for it to end is
/// noticed. A dynamic one that stops in the middle of a rebalance stays in its group until its session ends.
fn replica(kafka: &Kafka, group: &str, topics: &[&str], member: Member<'_>, sink: &Sink) -> Running {
    let session = if member.is_some() { 300_000 } else { 6_000 };
    let settings = format!(
        "bootstrap_servers = '{}'\ntopics = {topics:?}\ngroup_id = '{group}'\ngroup_instance_id = '{}'\n\
         [properties]\n'session.timeout.ms' = {session}\n'heartbeat.interval.ms' = 500",
        kafka.servers,
        member.unwrap_or_default()
    );
    let settings = toml::from_str(&settings).expect("valid settings");
    kafka.connect_with(&settings, sink, ByteSize(32 << 20))
}

/// Waits until these static members share `partitions`, by the newest mark of each: a group that is still rebalancing
/// hands no old assignment back.
async fn settled(sink: &Sink, members: &[Member<'_>], partitions: usize) {
    let names: Vec<&str> = members.iter().filter_map(|member| *member).collect();
    sink.until("a settled group", |state| {
        let newest = |name: &&str| state.marks.iter().rfind(|mark| mark.replica == **name);
        let shares: Vec<usize> = names.iter().filter_map(newest).map(|mark| mark.partitions.len()).collect();
        names.is_empty()
            || shares.iter().all(|share| *share > 0) && shares.iter().sum::<usize>() == partitions
    })
    .await;
}

async fn stop(replicas: Vec<Running>) {
    for replica in replicas {
        replica.stop().await;
    }
}

/// Produces to every partition of a topic and waits until it was published.
async fn read(kafka: &Kafka, sink: &Sink, topic: &str, partitions: i32) {
    let before = sink.published(topic);
    let count = 10 * u64::from(partitions.unsigned_abs());
    kafka.produce(topic, partitions, 0..count);
    sink.wait_for(topic, before + count as usize).await;
}

async fn delete(kafka: &Kafka, topic: &str) {
    let gone = admin(kafka).delete_topics(&[topic], &AdminOptions::new()).await.expect("Kafka answers");
    gone.into_iter().for_each(|one| drop(one.expect("deleted")));
    until_led(kafka, topic, |led| led == 0).await;
}

/// Creates a topic under a name that was just deleted.
async fn recreate(kafka: &Kafka, topic: &str, partitions: i32) {
    let again = || async {
        let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let made = admin(kafka).create_topics(&[wanted], &AdminOptions::new()).await.expect("Kafka answers");
        made.into_iter().all(|one| one.is_ok())
    };
    while !again().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    known(kafka, topic, partitions).await;
}

async fn grow(kafka: &Kafka, topic: &str, partitions: i32) {
    let count = usize::try_from(partitions).expect("some partitions");
    let added = admin(kafka)
        .create_partitions(&[NewPartitions::new(topic, count)], &AdminOptions::new())
        .await
        .expect("Kafka answers");
    added.into_iter().for_each(|one| drop(one.expect("added")));
    known(kafka, topic, partitions).await;
}

/// What happens to the topics while the connector is down.
#[derive(Clone, Copy, Debug)]
enum Change {
    Added,
    Removed,
    Renamed,
    /// The topic is deleted, and taken out of the list.
    Deleted,
    Recreated,
    RecreatedWithFewerPartitions,
    MorePartitions,
}

/// Stops all replicas, changes the topics, starts the replicas again, and waits until each topic is read.
async fn check_change(change: Change, members: &[Member<'_>]) {
    let kafka = Kafka::real(&[("topic.metadata.refresh.interval.ms", "500")]);
    let group = fresh("changed");
    let [stays, goes, comes] = ["stays", "goes", "comes"].map(|name| format!("{group}-{name}"));
    for topic in [&stays, &goes] {
        create(&kafka, topic, 3, &[]).await;
    }
    let sink = Sink::default();
    let replicas = start(&kafka, &group, &[&stays, &goes], members, &sink);
    read(&kafka, &sink, &stays, 3).await;
    read(&kafka, &sink, &goes, 3).await;
    settled(&sink, members, 6).await;
    stop(replicas).await;
    let (topics, partitions): (&[&String], i32) = match change {
        Change::Added => {
            create(&kafka, &comes, 3, &[]).await;
            (&[&stays, &goes, &comes], 3)
        }
        Change::Removed => (&[&stays], 3),
        Change::Renamed => {
            create(&kafka, &comes, 3, &[]).await;
            (&[&stays, &comes], 3)
        }
        Change::Deleted => {
            delete(&kafka, &goes).await;
            (&[&stays], 3)
        }
        Change::Recreated => {
            delete(&kafka, &goes).await;
            recreate(&kafka, &goes, 3).await;
            (&[&stays, &goes], 3)
        }
        Change::RecreatedWithFewerPartitions => {
            delete(&kafka, &goes).await;
            recreate(&kafka, &goes, 1).await;
            (&[&stays, &goes], 1)
        }
        Change::MorePartitions => {
            grow(&kafka, &goes, 6).await;
            (&[&stays, &goes], 6)
        }
    };
    let topics: Vec<&str> = topics.iter().map(|topic| topic.as_str()).collect();
    let replicas = start(&kafka, &group, &topics, members, &sink);
    // One that knows no older metadata.
    let kafka = Kafka::real(&[]);
    for topic in &topics {
        read(&kafka, &sink, topic, if *topic == stays { 3 } else { partitions }).await;
    }
    stop(replicas).await;
    for partition in 0..3 {
        assert_accounted(&sink, &stays, partition, 20);
    }
}

const CHANGES: [Change; 7] = [
    Change::Added,
    Change::Removed,
    Change::Renamed,
    Change::Deleted,
    Change::Recreated,
    Change::RecreatedWithFewerPartitions,
    Change::MorePartitions,
];
const STATIC: [Member<'_>; 3] = [Some("a"), Some("b"), Some("c")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_reads_the_new_list_of_topics() {
    for change in CHANGES {
        check_change(change, &STATIC[..1]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_static_members_read_the_new_list_of_topics() {
    for change in CHANGES {
        check_change(change, &STATIC).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regular_members_read_the_new_list_of_topics() {
    for change in CHANGES {
        check_change(change, &[None]).await;
        check_change(change, &[None; 3]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_brings_the_new_list_of_topics() {
    let kafka = Kafka::real(&[("topic.metadata.refresh.interval.ms", "500")]);
    let group = fresh("rolling");
    let [stays, goes, comes] = ["stays", "goes", "comes"].map(|name| format!("{group}-{name}"));
    for topic in [&stays, &goes, &comes] {
        create(&kafka, topic, 3, &[]).await;
    }
    let sink = Sink::default();
    let mut replicas = start(&kafka, &group, &[&stays, &goes], &STATIC, &sink);
    read(&kafka, &sink, &stays, 3).await;
    read(&kafka, &sink, &goes, 3).await;
    settled(&sink, &STATIC, 6).await;
    for (n, member) in STATIC.into_iter().enumerate() {
        // As a StatefulSet does: one after the other, each within its session.
        replicas.remove(0).stop().await;
        replicas.push(replica(&kafka, &group, &[&stays, &comes], member, &sink));
        read(&kafka, &sink, &stays, 3).await;
        read(&kafka, &sink, &comes, 3).await;
        if n < 2 {
            // The others still have it in their lists.
            read(&kafka, &sink, &goes, 3).await;
        }
    }
    stop(replicas).await;
    for topic in [&stays, &comes] {
        for partition in 0..3 {
            assert_accounted(&sink, topic, partition, if topic == &stays { 40 } else { 30 });
        }
    }
}
