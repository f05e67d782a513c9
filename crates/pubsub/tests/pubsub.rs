//! The crate, tested against the stand-in for Pub/Sub.

use std::{collections::BTreeSet, time::Duration};

use event::{ByteSize, EventTime, Millis};
use pubsub::{
    AckHandle, Attributes, Connection, Encoder, Error, Inbound, Message, OutMessage, PubSubSettings,
    SubscribeOptions, Subscription,
    admin::{self, Outcome},
    limits,
};
use standin::pubsub::{Options, PubSub};
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    server: PubSub,
    settings: PubSubSettings,
    connection: Connection,
}

impl Bench {
    /// A stand-in with topics and subscriptions.
    async fn new() -> Self {
        let bench = Self::bare().await;
        let done = admin::apply(&bench.connection, admin::plan(&bench.settings)).await.expect("set up");
        assert!(done.iter().all(|(_, outcome)| *outcome == Outcome::Created), "{done:?}");
        bench
    }

    async fn bare() -> Self {
        let server = PubSub::start(Options::default()).await.expect("a free port");
        let settings = settings(&server.host());
        let connection =
            Connection::open(settings.endpoint(None).expect("an address")).await.expect("clients");
        Self { server, settings, connection }
    }

    async fn publish(&self, numbers: std::ops::Range<u32>) -> Result<(), Error> {
        let publisher = self.connection.publisher();
        for start in numbers.clone().step_by(limits::MAX_MESSAGES) {
            let end = numbers.end.min(start + limits::MAX_MESSAGES as u32);
            let batch: Vec<_> = (start..end).map(message).collect();
            publisher.publish(&self.settings.topic_path(), batch.iter()).await?;
        }
        Ok(())
    }

    fn subscribe(&self, streams: usize) -> Subscription {
        self.connection.subscribe(&SubscribeOptions { streams, ..SubscribeOptions::new(self.subscription()) })
    }

    fn subscription(&self) -> String {
        self.settings.subscription_paths().expect("configured").remove(0)
    }

    async fn until(&self, holds: impl Fn(standin::pubsub::Counts) -> bool) {
        let poll = async {
            while !self.server.counts(&self.subscription()).is_some_and(&holds) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.expect("it holds in time");
    }
}

fn settings(host: &str) -> PubSubSettings {
    PubSubSettings {
        project: "test-project".to_owned(),
        topic: "events".to_owned(),
        topics: Vec::new(),
        subscription: Some("events-ctr".to_owned()),
        filter: None,
        ordering_key: None,
        regions: vec!["europe-west1".to_owned()],
        retention: Millis(86_400_000),
        in_flight: ByteSize(1 << 20),
        pack: false,
        pack_linger: None,
        shards: None,
        emulator_host: Some(host.to_owned()),
    }
}

fn message(number: u32) -> OutMessage {
    let text = number.to_string();
    let attributes = [("number", &*text), ("kafka.topic", "events")];
    Encoder::default()
        .encode(text.as_bytes(), &Attributes::default(), attributes.into_iter())
        .expect("within the limits")
}

/// The messages of a response, with their numbers.
fn read(inbound: &Inbound) -> Vec<(u32, Message<'_>)> {
    let number = |encoded| {
        let mut text = None;
        let read = Message::read(encoded, |name, value| {
            if name == b"number" {
                text = str::from_utf8(value).ok();
            }
        });
        let read = read.expect("protobuf");
        assert_eq!(text.map(str::as_bytes), Some(read.data));
        (text.and_then(|number| number.parse().ok()).expect("a number"), read)
    };
    inbound.messages.encoded().map(number).collect()
}

/// Receives responses with at least `count` messages in total.
async fn receive(subscription: &mut Subscription, count: usize) -> Vec<Inbound> {
    let (mut batch, mut received) = (Vec::new(), 0);
    while received < count {
        let more = subscription.receive(&mut batch, count - received);
        let more = tokio::time::timeout(PATIENCE, more).await.expect("messages in time").expect("no error");
        assert!(more > 0);
        received += more;
    }
    batch
}

fn numbers(batch: &[Inbound]) -> Vec<u32> {
    batch.iter().flat_map(read).map(|(number, _)| number).collect()
}

fn distinct(batch: &[Inbound]) -> usize {
    numbers(batch).into_iter().collect::<BTreeSet<_>>().len()
}

fn ack_all(batch: Vec<Inbound>) {
    AckHandle::ack_all(batch.into_iter().map(|inbound| inbound.ack));
}

#[tokio::test]
async fn setup_is_idempotent() {
    let bench = Bench::new().await;
    let plan = admin::plan(&bench.settings);
    assert_eq!(plan.len(), 4);
    let done = admin::apply(&bench.connection, plan).await.expect("set up again");
    assert!(done.iter().all(|(_, outcome)| *outcome == Outcome::Exists), "{done:?}");
    admin::check_topics(&bench.connection, &bench.settings).await.expect("they exist");
    admin::check_subscriptions(&bench.connection, &bench.settings).await.expect("they exist");

    let sharded = PubSubSettings { shards: Some(2), ..bench.settings.clone() };
    for expected in [Outcome::Created, Outcome::Exists] {
        let done = admin::apply(&bench.connection, admin::plan(&sharded)).await.expect("set up");
        assert!(done[..4].iter().all(|(_, outcome)| *outcome == Outcome::Exists), "{done:?}");
        assert!(done[4..].iter().all(|(_, outcome)| *outcome == expected) && done.len() == 8, "{done:?}");
    }

    let longer =
        PubSubSettings { retention: Millis(2 * 86_400_000), regions: vec![], ..bench.settings.clone() };
    let done = admin::apply(&bench.connection, admin::plan(&longer)).await.expect("nothing to do");
    let (step, outcome) = &done[2];
    assert!(step.to_string().contains("projects/test-project/subscriptions/events-ctr"), "{step}");
    assert_eq!(outcome.to_string(), "differs: has a message retention other than 2d");
}

#[tokio::test]
async fn missing_things_are_named() {
    let bench = Bench::bare().await;
    let missing =
        admin::check_topics(&bench.connection, &bench.settings).await.expect_err("nothing is there");
    assert_eq!(
        missing.to_string(),
        "projects/test-project/topics/events does not exist; run `aqueduct setup`"
    );
    let missing = bench.publish(0..1).await.expect_err("no topic");
    assert!(matches!(missing, Error::NotFound { .. }) && !missing.is_retryable(), "{missing:?}");
    let mut subscription = bench.subscribe(2);
    let refused =
        tokio::time::timeout(PATIENCE, subscription.receive(&mut Vec::new(), 1)).await.expect("soon");
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    subscription.close(PATIENCE).await;
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable() {
    let bench = Bench::new().await;
    bench.server.faults().down(true);
    for error in [
        bench.publish(0..1).await.expect_err("down"),
        admin::check_topics(&bench.connection, &bench.settings).await.expect_err("down"),
        admin::apply(&bench.connection, admin::plan(&bench.settings)).await.expect_err("down"),
    ] {
        assert!(error.is_retryable(), "{error:?}");
    }
    let host = bench.server.host();
    bench.server.stop().await;
    let connection =
        Connection::open(settings(&host).endpoint(None).expect("an address")).await.expect("clients");
    let refused =
        connection.publisher().publish("projects/test-project/topics/events", [message(0)].iter()).await;
    assert!(refused.as_ref().is_err_and(Error::is_retryable), "{refused:?}");
    let refused = admin::check_topics(&connection, &settings(&host)).await;
    assert!(refused.as_ref().is_err_and(Error::is_retryable), "{refused:?}");
}

#[tokio::test]
async fn a_publish_is_one_atomic_request() {
    let bench = Bench::new().await;
    let faults = bench.server.faults();
    faults.fail_publishes(1, Code::ResourceExhausted);
    let full = bench.publish(0..1_000).await.expect_err("planned");
    assert!(full.is_retryable(), "{full:?}");
    faults.fail_publishes(1, Code::PermissionDenied);
    let denied = bench.publish(0..1_000).await.expect_err("planned");
    assert!(matches!(denied, Error::Denied { .. }), "{denied:?}");
    bench.until(|counts| counts.waiting == 0).await;
    faults.lose_answers(1);
    assert!(bench.publish(0..1_000).await.expect_err("planned").is_retryable());
    bench.until(|counts| counts.waiting == 1_000).await;
    bench.publish(0..1_000).await.expect("no faults left");
    bench.until(|counts| counts.waiting == 2_000).await;

    let batch: Vec<_> = (0..1_001).map(message).collect();
    let too_many = bench.connection.publisher().publish(&bench.settings.topic_path(), batch.iter()).await;
    assert!(matches!(too_many, Err(Error::TooLarge { messages: 1_001, .. })), "{too_many:?}");
    bench
        .connection
        .publisher()
        .publish(&bench.settings.topic_path(), [].iter())
        .await
        .expect("nothing to do");
}

#[tokio::test]
async fn the_largest_requests_pass() {
    let bench = Bench::new().await;
    let (publisher, topic) = (bench.connection.publisher(), bench.settings.topic_path());
    let mut subscription = bench.subscribe(1);
    // Ten messages, and one that fills its request to the last byte; 10 bytes are tags and lengths.
    for (count, bytes) in [(10, 999_000), (1, limits::MAX_BYTES - 10)] {
        let large = Encoder::default()
            .encode(&vec![7; bytes], &Attributes::default(), std::iter::empty())
            .expect("within the limits");
        assert!(limits::fits(count - 1, (count - 1) * large.wire_len(), large.wire_len()));
        publisher.publish(&topic, vec![large; count].iter()).await.expect("published");
        let received = receive(&mut subscription, count).await;
        for inbound in &received {
            for encoded in inbound.messages.encoded() {
                let message = Message::read(encoded, |_, _| {}).expect("protobuf");
                assert_eq!(message.data.len(), bytes);
            }
        }
        ack_all(received);
    }
}

#[tokio::test]
async fn large_requests_are_compressed() {
    let bench = Bench::new().await;
    let publisher = bench.connection.publisher().compressed_from(1_000);
    for (count, compressed) in [(1, 0), (1_000, 1)] {
        let batch: Vec<_> = (0..count).map(message).collect();
        publisher.publish(&bench.settings.topic_path(), batch.iter()).await.expect("published");
        assert_eq!(bench.server.compressed(), compressed);
    }
    let batch = receive(&mut bench.subscribe(1), 1_001).await;
    assert_eq!(distinct(&batch), 1_000);
    ack_all(batch);
}

#[tokio::test]
async fn parallel_streams_deliver_each_message_once() {
    let bench = Bench::new().await;
    bench.publish(0..20_000).await.expect("published");
    let mut subscription = bench.subscribe(4);
    let batch = receive(&mut subscription, 20_000).await;
    assert_eq!(distinct(&batch), 20_000);
    let (_, first) = read(&batch[0])[0];
    assert!(first.publish_time > EventTime(1_600_000_000_000) && !first.message_id.is_empty());
    assert!(subscription.links()[0].borrow().is_up());
    ack_all(batch);
    subscription.close(PATIENCE).await;
    let counts = bench.server.counts(&bench.subscription()).expect("it exists");
    assert_eq!((counts.acknowledged, counts.leased, counts.delivered), (20_000, 0, 20_000));

    admin::seek(&bench.connection, &bench.subscription(), EventTime(0)).await.expect("sought");
    let mut again = bench.subscribe(2);
    assert_eq!(distinct(&receive(&mut again, 20_000).await), 20_000);
}

#[tokio::test]
async fn closing_returns_unacknowledged_messages() {
    let bench = Bench::new().await;
    bench.publish(0..100).await.expect("published");
    let options = SubscribeOptions {
        streams: 1,
        outstanding_messages: 30,
        ..SubscribeOptions::new(bench.subscription())
    };
    let mut subscription = bench.connection.subscribe(&options);
    ack_all(receive(&mut subscription, 30).await);
    drop(receive(&mut subscription, 30).await);
    subscription.close(PATIENCE).await;
    let counts = bench.server.counts(&bench.subscription()).expect("it exists");
    assert_eq!((counts.acknowledged, counts.leased, counts.waiting), (30, 0, 70));
}

#[tokio::test]
async fn handles_outlive_their_streams() {
    let bench = Bench::new().await;
    bench.publish(0..10).await.expect("published");
    let mut subscription = bench.subscribe(1);
    let before = receive(&mut subscription, 10).await;
    bench.server.faults().cut_streams();
    bench.publish(10..20).await.expect("published");
    let after = receive(&mut subscription, 10).await;
    assert!(numbers(&after).iter().all(|number| *number >= 10));
    ack_all(before.into_iter().chain(after).collect());
    subscription.close(PATIENCE).await;
    bench.until(|counts| counts.acknowledged == 20 && counts.delivered == 20).await;
}

#[tokio::test]
async fn an_outage_is_noticed_and_survived() {
    let bench = Bench::new().await;
    let mut subscription = bench.subscribe(2);
    let mut link = subscription.links()[0].clone();
    let mut becomes = async |up: bool| {
        let change = link.wait_for(|link| link.is_up() == up);
        tokio::time::timeout(PATIENCE, change).await.expect("noticed in time").expect("it runs");
    };
    becomes(true).await;
    bench.server.faults().down(true);
    becomes(false).await;
    bench.server.faults().down(false);
    becomes(true).await;
    bench.publish(0..10).await.expect("published");
    assert_eq!(distinct(&receive(&mut subscription, 10).await), 10);
}

/// The stand-in would lease messages to a stream without a reader while it is open.
#[tokio::test]
async fn reopened_streams_leave_no_open_stream() {
    let bench = Bench::new().await;
    let subscription = bench.subscribe(2);
    let mut link = subscription.links()[0].clone();
    let mut becomes = async |up: bool| {
        let change = link.wait_for(|link| link.is_up() == up);
        tokio::time::timeout(PATIENCE, change).await.expect("noticed in time").expect("it runs");
    };
    bench.until(|counts| counts.streams == 2).await;
    becomes(true).await;
    bench.server.faults().refuse(true);
    becomes(false).await;
    bench.server.faults().refuse(false);
    becomes(true).await;
    bench.until(|counts| counts.opened == 4 && counts.streams == 2).await;
}

/// The limit is for all streams together.
#[tokio::test]
async fn outstanding_messages_are_bounded() {
    let bench = Bench::new().await;
    bench.publish(0..5_000).await.expect("published");
    let options = SubscribeOptions {
        streams: 2,
        outstanding_messages: 100,
        ..SubscribeOptions::new(bench.subscription())
    };
    let mut subscription = bench.connection.subscribe(&options);
    let mut seen = BTreeSet::new();
    while seen.len() < 5_000 {
        let batch = receive(&mut subscription, 1).await;
        let counts = bench.server.counts(&bench.subscription()).expect("it exists");
        assert!(counts.leased <= 100, "{counts:?}");
        seen.extend(numbers(&batch));
        ack_all(batch);
    }
    subscription.close(PATIENCE).await;
}

/// The stand-in redelivers a message that is neither acknowledged nor extended within ten seconds.
#[tokio::test]
async fn held_messages_are_not_redelivered() {
    let bench = Bench::new().await;
    bench.publish(0..10).await.expect("published");
    let mut subscription = bench.subscribe(1);
    let batch = receive(&mut subscription, 10).await;
    bench.until(|counts| counts.extended >= 10).await;
    ack_all(batch);
    subscription.close(PATIENCE).await;
    let counts = bench.server.counts(&bench.subscription()).expect("it exists");
    assert_eq!((counts.acknowledged, counts.delivered), (10, 10));
}
