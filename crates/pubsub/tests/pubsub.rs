//! This crate against the stand-in for Pub/Sub.

use std::{collections::BTreeSet, time::Duration};

use event::{ByteSize, EventTime, Millis};
use pubsub::{
    AckHandle, Connection, Encoder, Error, Inbound, OutMessage, PubSubSettings, SubscribeOptions,
    Subscription,
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
    /// With topics and subscriptions.
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
        self.settings.subscription_path().expect("configured")
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
        subscription: Some("events-ctr".to_owned()),
        regions: vec!["europe-west1".to_owned()],
        retention: Millis(86_400_000),
        in_flight: ByteSize(1 << 20),
        emulator_host: Some(host.to_owned()),
    }
}

fn message(number: u32) -> OutMessage {
    let text = number.to_string();
    let attributes = [("number", &*text), ("kafka.topic", "events")];
    Encoder::default().encode(text.as_bytes(), attributes.into_iter()).expect("within the limits")
}

fn number(inbound: &Inbound) -> u32 {
    assert_eq!(inbound.attribute("number").map(str::as_bytes), Some(&inbound.data[..]));
    inbound.attribute("number").and_then(|number| number.parse().ok()).expect("a number")
}

async fn receive(subscription: &mut Subscription, count: usize) -> Vec<Inbound> {
    let mut batch = Vec::new();
    while batch.len() < count {
        let received = tokio::time::timeout(PATIENCE, subscription.receive(&mut batch, count)).await;
        assert!(received.expect("messages in time").expect("no error") > 0);
    }
    batch
}

fn distinct(batch: &[Inbound]) -> usize {
    batch.iter().map(number).collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn setup_is_safe_to_run_twice() {
    let bench = Bench::new().await;
    let plan = admin::plan(&bench.settings);
    assert_eq!(plan.len(), 4);
    let done = admin::apply(&bench.connection, plan).await.expect("set up again");
    assert!(done.iter().all(|(_, outcome)| *outcome == Outcome::Exists), "{done:?}");
    admin::check_topics(&bench.connection, &bench.settings).await.expect("they exist");
    admin::check_subscriptions(&bench.connection, &bench.settings).await.expect("they exist");

    let longer =
        PubSubSettings { retention: Millis(2 * 86_400_000), regions: vec![], ..bench.settings.clone() };
    let done = admin::apply(&bench.connection, admin::plan(&longer)).await.expect("nothing to do");
    let (step, outcome) = &done[2];
    assert!(
        step.to_string().starts_with("subscription projects/test-project/subscriptions/events-ctr to"),
        "{step}"
    );
    assert_eq!(outcome.to_string(), "differs: does not keep messages for 2d");
}

#[tokio::test]
async fn what_is_missing_is_named() {
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
async fn a_server_that_is_away_is_unavailable() {
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
async fn one_call_is_one_request_done_whole_or_not() {
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
async fn a_request_of_nine_megabytes_passes() {
    let bench = Bench::new().await;
    let large = Encoder::default().encode(&[7; 899_000], std::iter::empty()).expect("within the limits");
    let batch = vec![large; 10];
    assert!(limits::fits(9, 9 * batch[0].wire_len(), batch[0].wire_len()));
    bench
        .connection
        .publisher()
        .publish(&bench.settings.topic_path(), batch.iter())
        .await
        .expect("published");
    let mut subscription = bench.subscribe(1);
    let received = receive(&mut subscription, 10).await;
    assert!(received.iter().all(|inbound| inbound.data.len() == 899_000));
}

#[tokio::test]
async fn parallel_streams_deliver_each_message_once() {
    let bench = Bench::new().await;
    bench.publish(0..20_000).await.expect("published");
    let mut subscription = bench.subscribe(4);
    let batch = receive(&mut subscription, 20_000).await;
    assert_eq!(distinct(&batch), 20_000);
    assert!(batch[0].publish_time > EventTime(1_600_000_000_000) && !batch[0].message_id.is_empty());
    assert!(subscription.link().borrow().is_up());
    AckHandle::ack_all(batch.into_iter().map(|inbound| inbound.ack));
    subscription.close(PATIENCE).await;
    let counts = bench.server.counts(&bench.subscription()).expect("it exists");
    assert_eq!((counts.acknowledged, counts.leased, counts.delivered), (20_000, 0, 20_000));

    admin::seek(&bench.connection, &bench.subscription(), EventTime(0)).await.expect("sought");
    let mut again = bench.subscribe(2);
    assert_eq!(distinct(&receive(&mut again, 20_000).await), 20_000);
}

#[tokio::test]
async fn closing_gives_back_what_was_not_acknowledged() {
    let bench = Bench::new().await;
    bench.publish(0..100).await.expect("published");
    let mut subscription = bench.subscribe(2);
    let mut batch = receive(&mut subscription, 60).await;
    AckHandle::ack_all(batch.drain(..30).map(|inbound| inbound.ack));
    drop(batch);
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
    assert!(after.iter().all(|inbound| number(inbound) >= 10));
    AckHandle::ack_all(before.into_iter().chain(after).map(|inbound| inbound.ack));
    subscription.close(PATIENCE).await;
    bench.until(|counts| counts.acknowledged == 20 && counts.delivered == 20).await;
}

#[tokio::test]
async fn an_outage_is_noticed_and_survived() {
    let bench = Bench::new().await;
    let mut subscription = bench.subscribe(2);
    let mut link = subscription.link();
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

/// The window is for all streams together, and the channel is bounded.
#[tokio::test]
async fn what_is_outstanding_is_bounded() {
    let bench = Bench::new().await;
    bench.publish(0..5_000).await.expect("published");
    let options = SubscribeOptions {
        streams: 2,
        outstanding_messages: 100,
        buffer: 10,
        ..SubscribeOptions::new(bench.subscription())
    };
    let mut subscription = bench.connection.subscribe(&options);
    let mut seen = BTreeSet::new();
    while seen.len() < 5_000 {
        let batch = receive(&mut subscription, 1).await;
        let counts = bench.server.counts(&bench.subscription()).expect("it exists");
        assert!(counts.leased <= 100, "{counts:?}");
        seen.extend(batch.iter().map(number));
        AckHandle::ack_all(batch.into_iter().map(|inbound| inbound.ack));
    }
    subscription.close(PATIENCE).await;
}
