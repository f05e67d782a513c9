//! The whole connector against librdkafka's mock cluster, which speaks the real protocol.

mod harness;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use codec::{Format, Lookup, SchemaId, SchemaText, Schemas, Source, TopicFormat};
use connector::{ConnectorError, decode::Formats};
use event::{ByteSize, mark::Reason};
use harness::{Kafka, Sink};
use kafka::Error;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

/// The mock cluster waits for a session timeout before it rebalances, even after a member has left.
const MULTI: &str = "[properties]\n'session.timeout.ms' = 6000\n'heartbeat.interval.ms' = 500";

/// Every offset of each partition is accounted for, by data or mark, and none by both.
fn assert_accounted(sink: &Sink, topic: &str, ends: &[u64]) {
    for (partition, end) in ends.iter().enumerate() {
        let partition = i32::try_from(partition).expect("few");
        let (data, marks) = sink.coverage(topic, partition);
        let mut all = data.clone();
        for range in marks.iter() {
            assert_eq!(all.insert(range.clone()), range.end - range.start, "{range:?} is data and marked");
        }
        assert_eq!(all.iter().collect::<Vec<_>>(), vec![0..*end], "partition {partition}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_published_and_committed() {
    let (kafka, sink) = (Kafka::new(&[("events", 3)]), Sink::default());
    kafka.produce("events", 3, 0..3_000);
    let running = kafka.connect(&sink, MULTI);
    sink.wait_for("events", 3_000).await;
    sink.until("facts", |state| {
        let last = state.marks.last();
        last.is_some_and(|mark| {
            mark.topics.len() == 1
                && mark.topics[0].partitions == 3
                && mark.partitions.len() == 3
                && mark
                    .partitions
                    .iter()
                    .all(|p| p.end.is_some_and(|end| end.offset == 1_000) && p.committed == Some(1_000))
        })
    })
    .await;
    let summary = running.stop().await;
    assert_eq!((summary.records, summary.published), (3_000, 3_000));
    assert_accounted(&sink, "events", &[1_000; 3]);

    kafka.produce("events", 3, 3_000..3_300);
    let running = kafka.connect(&sink, MULTI);
    sink.wait_for("events", 3_300).await;
    let summary = running.stop().await;
    assert_eq!(summary.records, 300, "what was committed is not read again");
    let incarnations: Vec<_> = sink.with(|state| state.data.keys().map(|place| place.2.clone()).collect());
    assert!(incarnations.iter().all(|id| id.len() == 22), "{incarnations:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_marked_without_a_stall() {
    let (kafka, sink) = (Kafka::new(&[("events", 1)]), Sink::default());
    for value in [Some("{\"n\":1}"), None, Some("[]"), Some("{\"n\":"), Some("{\"n\":2}")] {
        kafka.send("events", 0, value);
    }
    kafka.flush();
    let running = kafka.connect(&sink, "");
    sink.wait_for("events", 2).await;
    let summary = running.stop().await;
    assert_eq!(summary.rejected.values().sum::<u64>(), 3);
    assert_accounted(&sink, "events", &[5]);
    let reasons = sink.reasons();
    assert_eq!(reasons.get(&Reason::Rejected("tombstone".to_owned())), Some(&1), "{reasons:?}");
    assert_eq!(reasons.get(&Reason::Rejected("not-an-object".to_owned())), Some(&1), "{reasons:?}");
}

/// A registry that knows the schema 1, one of JSON, from some time on, and no other.
#[derive(Default)]
struct Late(AtomicBool);

impl Schemas for Late {
    fn lookup(&self, id: &SchemaId) -> Lookup {
        match (id, self.0.load(Ordering::Acquire)) {
            (_, false) => Lookup::Pending,
            (SchemaId::Id(1), true) => {
                let (format, text) = (Format::JsonSchema, "{}".to_owned());
                let text = SchemaText { format, text, references: Vec::new(), subjects: None };
                Lookup::Found(text.compile(None).expect("a schema"))
            }
            _ => Lookup::Unknown,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_wait_for_their_schema() {
    let (kafka, sink) = (Kafka::new(&[("events", 2), ("clicks", 1)]), Sink::default());
    for n in 0..200 {
        // Of every ten, one has an ID that does not exist.
        let id = if n % 20 == 19 { '\u{2}' } else { '\u{1}' };
        kafka.send("events", n % 2, Some(&format!("\0\0\0\0{id}{{\"n\":{n}}}")));
    }
    kafka.produce("clicks", 1, 0..100);
    let registry = Arc::new(Late::default());
    let value = Some(Source::Registry(registry.clone()));
    let formats = Formats::new([("events".into(), TopicFormat { value, key: None, unwrap: None })]);
    let mut settings = kafka.settings(MULTI);
    settings.topics.push("clicks".to_owned());
    let running = kafka.connect_decoding(&settings, &sink, ByteSize(1 << 20), formats);
    sink.wait_for("clicks", 100).await;
    // Longer than the session timeout: the membership must outlive the wait.
    tokio::time::sleep(Duration::from_secs(8)).await;
    kafka.produce("clicks", 1, 100..200);
    sink.wait_for("clicks", 200).await;
    assert_eq!((sink.published("events"), sink.reasons()), (0, BTreeMap::new()));
    registry.0.store(true, Ordering::Release);
    sink.wait_for("events", 190).await;
    let summary = running.stop().await;
    assert_eq!((summary.records, summary.published), (400, 390), "each was read once");
    assert_accounted(&sink, "events", &[100; 2]);
    assert_accounted(&sink, "clicks", &[200]);
    assert_eq!(sink.reasons(), BTreeMap::from([(Reason::Rejected("unknown-schema".to_owned()), 10)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_rejects_stop_the_connector() {
    let (kafka, sink) = (Kafka::new(&[("events", 1)]), Sink::default());
    kafka.produce("events", 1, 0..50);
    for _ in 0..150 {
        kafka.send("events", 0, Some("no json"));
    }
    kafka.flush();
    let ended = kafka.connect(&sink, MULTI).ended().await;
    let error = ended.expect_err("a stream of rejects");
    assert!(matches!(error, ConnectorError::TooManyRejects { rejects: 101.., .. }), "{error}");
    assert!(error.to_string().contains("not-json 1"), "{error}");
    kafka.produce("events", 1, 50..60);
    let again = kafka.connect(&sink, MULTI).ended().await;
    assert!(matches!(again, Err(ConnectorError::TooManyRejects { .. })), "what stopped it was not committed");
}

/// How a connector ends when the broker answers these requests so.
async fn end_after(requests: RDKafkaApiKey, answer: RDKafkaRespErr) -> Error {
    let (kafka, sink) = (Kafka::new(&[("events", 1)]), Sink::default());
    kafka.produce("events", 1, 0..10);
    kafka.answer(requests, &[answer; 20]);
    let ended = tokio::time::timeout(harness::DEADLINE, kafka.connect(&sink, MULTI).ended()).await;
    let error = ended.expect("it ends").expect_err("waiting does not help");
    assert_eq!(sink.published("events"), 0);
    match error {
        ConnectorError::Kafka(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_refusal_is_a_specific_error() {
    use {RDKafkaApiKey as Request, RDKafkaRespErr as Answer};
    type Expected = fn(&Error) -> bool;
    let is_authorization: Expected =
        |error| matches!(error, Error::Authorization { group, .. } if group == "g-events");
    for (requests, answer, is_expected) in [
        (Request::JoinGroup, Answer::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, is_authorization),
        (Request::Fetch, Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, is_authorization),
        (Request::Fetch, Answer::RD_KAFKA_RESP_ERR_INVALID_RECORD, |error| {
            matches!(error, Error::Unreadable { .. })
        }),
        (
            Request::Fetch,
            Answer::RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE,
            |error| matches!(error, Error::Unknown { name, .. } if name == "UnsupportedCompressionType (76)"),
        ),
        (Request::JoinGroup, Answer::RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT, |error| {
            matches!(error, Error::Consumer { .. })
        }),
    ] {
        let error = end_after(requests, answer).await;
        assert!(is_expected(&error), "{requests:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_pubsub_error_ends_it() {
    let (kafka, sink) = (Kafka::new(&[("events", 1)]), Sink::default());
    sink.refuses("no topic of that name");
    kafka.produce("events", 1, 0..10);
    let error = kafka.connect(&sink, MULTI).ended().await.expect_err("nothing can be published");
    assert_eq!(error.to_string(), "cannot publish to Pub/Sub");
    let source = std::error::Error::source(&error).expect("what Pub/Sub said");
    assert_eq!(source.to_string(), "no topic of that name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_it_without_a_commit() {
    let (kafka, sink) = (Kafka::new(&[("events", 1)]), Sink::default());
    kafka.produce("events", 1, 0..10);
    sink.panics();
    let error = kafka.connect(&sink, MULTI).ended().await.expect_err("a defect");
    assert_eq!(error.to_string(), "thread \"publish\" ended unexpectedly; this is a bug, please report it");
    sink.heals();
    let running = kafka.connect(&sink, MULTI);
    sink.wait_for("events", 10).await;
    assert_eq!(running.stop().await.records, 10, "nothing was committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_pubsub_pauses_and_loses_nothing() {
    let (kafka, sink) = (Kafka::new(&[("events", 2)]), Sink::default());
    sink.is_down.store(true, Ordering::Release);
    kafka.produce("events", 2, 0..20_000);
    // So few bytes in flight that the connector must pause.
    let settings = kafka.settings(MULTI);
    let running = kafka.connect_with(&settings, &sink, ByteSize(200_000));
    // Longer than the session timeout: the membership must outlive it.
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!running.is_finished());
    assert_eq!(sink.published("events"), 0);
    kafka.produce("events", 2, 20_000..20_500);
    sink.is_down.store(false, Ordering::Release);
    sink.wait_for("events", 20_500).await;
    let summary = running.stop().await;
    assert_eq!(summary.records, 20_500, "read once");
    assert_accounted(&sink, "events", &[10_250; 2]);
    assert_eq!(sink.reasons(), BTreeMap::new(), "no gap was made up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_join_and_leave_without_loss() {
    let (kafka, sink) = (Kafka::new(&[("events", 4)]), Sink::default());
    kafka.produce("events", 4, 0..2_000);
    let first = kafka.connect(&sink, MULTI);
    sink.wait_for("events", 2_000).await;
    let second = kafka.connect(&sink, MULTI);
    kafka.produce("events", 4, 2_000..4_000);
    sink.wait_for("events", 4_000).await;
    let one = first.stop().await;
    kafka.produce("events", 4, 4_000..6_000);
    sink.wait_for("events", 6_000).await;
    let two = second.stop().await;
    assert_accounted(&sink, "events", &[1_500; 4]);
    assert!(one.records + two.records >= 6_000, "{one} + {two}");
    assert_eq!(sink.reasons(), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_starts_at_the_end_with_a_mark() {
    let (kafka, sink) = (Kafka::new(&[("events", 2)]), Sink::default());
    kafka.produce("events", 2, 0..100);
    let running = kafka.connect(&sink, "start = 'latest'");
    sink.until("the first marks", |state| state.marks.iter().any(|m| !m.partitions.is_empty())).await;
    kafka.produce("events", 2, 100..120);
    sink.wait_for("events", 20).await;
    running.stop().await;
    assert_accounted(&sink, "events", &[60; 2]);
    assert_eq!(sink.reasons(), BTreeMap::from([(Reason::Before, 100)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_topics_make_one_stream() {
    let (kafka, sink) = (Kafka::new(&[("events", 1), ("clicks", 2)]), Sink::default());
    kafka.produce("events", 1, 0..10);
    kafka.produce("clicks", 2, 0..20);
    let mut settings = kafka.settings("");
    settings.topics.push("clicks".to_owned());
    let running = kafka.connect_with(&settings, &sink, ByteSize(1 << 20));
    sink.wait_for("events", 10).await;
    sink.wait_for("clicks", 20).await;
    running.stop().await;
    assert_accounted(&sink, "events", &[10]);
    assert_accounted(&sink, "clicks", &[10; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_named() {
    let (kafka, sink) = (Kafka::new(&[("others", 1)]), Sink::default());
    let mut settings = kafka.settings("");
    settings.topics = vec!["others".to_owned(), "evnts".to_owned()];
    let error = kafka.connect_with(&settings, &sink, ByteSize(1 << 20)).ended().await.expect_err("no topic");
    let expected =
        format!("topic \"evnts\" does not exist on {}; create it or correct kafka.topics", kafka.servers);
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_property_is_an_error() {
    let (kafka, sink) = (Kafka::new(&[("events", 1)]), Sink::default());
    let running = kafka.connect(&sink, "[properties]\n'fetch.wait.max.mss' = 10");
    let error = running.ended().await.expect_err("an unknown property");
    assert!(matches!(error, ConnectorError::Kafka(Error::Client { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_while_waiting_for_brokers() {
    let (kafka, sink) = (Kafka::new(&[("events", 1)]), Sink::default());
    let mut settings = kafka.settings("");
    settings.bootstrap_servers = "127.0.0.1:1".to_owned();
    let running = kafka.connect_with(&settings, &sink, ByteSize(1 << 20));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!running.is_finished());
    assert_eq!(running.stop().await.records, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_after_losing_the_broker() {
    let (kafka, sink) = (Kafka::new(&[("events", 1)]), Sink::default());
    kafka.produce("events", 1, 0..10);
    let running = kafka.connect(&sink, MULTI);
    sink.wait_for("events", 10).await;
    sink.is_down.store(true, Ordering::Release);
    kafka.produce("events", 1, 10..20);
    drop(kafka);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stopped = tokio::time::timeout(harness::DEADLINE, running.stop()).await;
    assert_eq!(stopped.expect("it stops").published, 10);
}
