//! The stand-in for Pub/Sub, tested with Google's own client.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use google_cloud_auth::credentials::anonymous;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_pubsub::{
    client::{BasePublisher, Subscriber, SubscriptionAdmin, TopicAdmin},
    model::Message,
    subscriber::{MessageStream, handler::Handler},
};
use google_cloud_wkt::Timestamp;
use standin::pubsub::{Made, Options, PubSub, Source};
use tonic::Code;

const TOPIC: &str = "projects/project/topics/events";
const SUBSCRIPTION: &str = "projects/project/subscriptions/reader";
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    pubsub: PubSub,
    publisher: BasePublisher,
    subscriber: Subscriber,
    subscriptions: SubscriptionAdmin,
}

impl Bench {
    async fn new() -> Self {
        let pubsub = PubSub::start(Options::default()).await.expect("a free port");
        let url = format!("http://{}", pubsub.host());
        let anonymous_user = anonymous::Builder::new().build();
        let topics = TopicAdmin::builder().with_endpoint(&url).with_credentials(anonymous_user.clone());
        let subscriptions =
            SubscriptionAdmin::builder().with_endpoint(&url).with_credentials(anonymous_user.clone());
        let publisher = BasePublisher::builder()
            .with_endpoint(&url)
            .with_credentials(anonymous_user.clone())
            .with_retry_policy(NeverRetry);
        let subscriber = Subscriber::builder().with_endpoint(&url).with_credentials(anonymous_user);
        let subscriptions = subscriptions.build().await.expect("a client");
        let topics = topics.build().await.expect("a client");
        topics.create_topic().set_name(TOPIC).send().await.expect("a topic");
        subscriptions
            .create_subscription()
            .set_name(SUBSCRIPTION)
            .set_topic(TOPIC)
            .set_ack_deadline_seconds(1)
            .set_retain_acked_messages(true)
            .send()
            .await
            .expect("a subscription");
        Self {
            pubsub,
            publisher: publisher.build().await.expect("a client"),
            subscriber: subscriber.build().await.expect("a client"),
            subscriptions,
        }
    }

    async fn publish(&self, names: std::ops::Range<u32>) -> Result<(), String> {
        let publisher = self.publisher.publisher(TOPIC).set_message_count_threshold(1_000).build();
        let message = |n: u32| Message::new().set_data(n.to_string()).set_attributes([("n", n.to_string())]);
        let answers: Vec<_> = names.map(|n| publisher.publish(message(n))).collect();
        drop(publisher);
        for answer in answers {
            answer.await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn stream(&self) -> MessageStream {
        self.subscriber.subscribe(SUBSCRIPTION).set_max_outstanding_messages(10_000).build()
    }

    async fn settled(&self, acknowledged: u64) {
        let all = async {
            while self.pubsub.counts(SUBSCRIPTION).is_none_or(|counts| counts.acknowledged < acknowledged) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("all are acknowledged in time");
    }
}

async fn next(stream: &mut MessageStream) -> (u32, Handler) {
    let next = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a message in time");
    let (message, handler) = next.expect("the stream goes on").expect("no error");
    let number = std::str::from_utf8(&message.data).expect("text").parse().expect("a number");
    assert_eq!(message.attributes["n"], message.data);
    assert!(!message.message_id.is_empty() && message.publish_time.is_some());
    (number, handler)
}

#[tokio::test]
async fn acknowledged_messages_are_not_redelivered() {
    let bench = Bench::new().await;
    bench.publish(0..5_000).await.expect("published");
    let mut stream = bench.stream();
    let mut seen = BTreeSet::new();
    while seen.len() < 5_000 {
        let (number, handler) = next(&mut stream).await;
        assert!(seen.insert(number), "{number} came twice");
        handler.ack();
    }
    bench.settled(5_000).await;
    let counts = bench.pubsub.counts(SUBSCRIPTION).expect("it exists");
    assert_eq!((counts.waiting, counts.leased, counts.delivered), (0, 0, 5_000));
    bench.pubsub.stop().await;
}

#[tokio::test]
async fn nacked_messages_are_redelivered_at_once() {
    let bench = Bench::new().await;
    bench.publish(0..1).await.expect("published");
    let mut stream = bench.stream();
    next(&mut stream).await.1.nack();
    next(&mut stream).await.1.ack();
    bench.settled(1).await;
}

#[tokio::test]
async fn messages_of_a_lost_client_are_redelivered() {
    let bench = Bench::new().await;
    bench.publish(0..1).await.expect("published");
    let url = format!("http://{}", bench.pubsub.host());
    let client = tokio::task::spawn_blocking(move || {
        // Dropping the runtime stops its tasks, so the message is neither returned nor its lease extended.
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let handler = runtime.block_on(async {
            let anonymous_user = anonymous::Builder::new().build();
            let client = Subscriber::builder()
                .with_endpoint(url)
                .with_credentials(anonymous_user)
                .build()
                .await
                .expect("a client");
            let subscribe = client.subscribe(SUBSCRIPTION).set_max_lease_extension(Duration::from_secs(10));
            next(&mut subscribe.build()).await.1
        });
        std::mem::forget(handler);
        runtime.shutdown_background();
    });
    client.await.expect("no panic");
    next(&mut bench.stream()).await.1.ack();
    bench.settled(1).await;
    assert_eq!(bench.pubsub.counts(SUBSCRIPTION).map(|counts| counts.delivered), Some(2));
}

#[tokio::test]
async fn seeking_back_redelivers_acknowledged_messages() {
    let bench = Bench::new().await;
    bench.publish(0..10).await.expect("published");
    let mut stream = bench.stream();
    for _ in 0..10 {
        next(&mut stream).await.1.ack();
    }
    bench.settled(10).await;
    let epoch = Timestamp::clamp(0, 0);
    bench.subscriptions.seek().set_subscription(SUBSCRIPTION).set_time(epoch).send().await.expect("sought");
    let mut again = BTreeSet::new();
    while again.len() < 10 {
        let (number, handler) = next(&mut stream).await;
        again.insert(number);
        handler.ack();
    }
    bench.settled(20).await;
}

#[tokio::test]
async fn injected_publish_failures_occur() {
    let bench = Bench::new().await;
    let faults = bench.pubsub.faults();
    faults.fail_publishes(1, Code::ResourceExhausted);
    assert!(bench.publish(0..1).await.is_err());
    faults.lose_answers(1);
    assert!(bench.publish(1..2).await.is_err());
    faults.down(true);
    assert!(bench.publish(2..3).await.is_err());
    faults.down(false);
    bench.publish(3..4).await.expect("all faults are over");
    let mut stream = bench.stream();
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let (number, handler) = next(&mut stream).await;
        seen.insert(number);
        handler.ack();
    }
    assert_eq!(seen, BTreeSet::from([1, 3]));
    bench.settled(2).await;
}

#[tokio::test]
async fn injected_faults_lose_nothing() {
    let bench = Bench::new().await;
    let faults = bench.pubsub.faults();
    faults.redeliver(0.2);
    faults.reorder(50);
    bench.publish(0..1_000).await.expect("published");
    let mut stream = bench.stream();
    let (mut order, mut deliveries) = (Vec::new(), 0);
    while order.len() < 1_000 {
        let (number, handler) = next(&mut stream).await;
        deliveries += 1;
        if deliveries % 300 == 0 {
            faults.cut_streams();
        }
        if !order.contains(&number) {
            order.push(number);
        }
        handler.ack();
    }
    assert!(!order.is_sorted(), "they came in order");
    assert_eq!(order.into_iter().collect::<BTreeSet<_>>().len(), 1_000);
    let more = async {
        while bench.pubsub.counts(SUBSCRIPTION).is_none_or(|counts| counts.delivered <= 1_000) {
            next(&mut stream).await.1.ack();
        }
    };
    tokio::time::timeout(PATIENCE, more).await.expect("some come twice");
    bench.settled(1_000).await;
}

/// A number of messages, each with its number as data; half of them only after a gate is open.
#[derive(Debug)]
struct Numbers {
    next: u32,
    end: u32,
    open: Arc<AtomicBool>,
}

impl Source for Numbers {
    fn next(&mut self, now: u64) -> Option<Made> {
        let shut = !self.open.load(Ordering::SeqCst);
        if self.next == self.end || (shut && self.next == self.end / 2) {
            return None;
        }
        let text = self.next.to_string().into_bytes();
        self.next += 1;
        // A `PubsubMessage` with its data and one attribute, whose entry is an embedded message.
        let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
        let attribute = [field(1, b"n"), field(2, &text)].concat();
        let message = [field(1, &text), field(2, &attribute)].concat();
        Some(Made { published: now - 3_600_000, message: message.into() })
    }
}

#[tokio::test]
async fn generated_messages_are_kept_until_acknowledged() {
    let bench = Bench::new().await;
    bench.pubsub.faults().reorder(50);
    let open = Arc::default();
    let numbers = Numbers { next: 0, end: 2_000, open: Arc::clone(&open) };
    bench.pubsub.fill(SUBSCRIPTION, numbers, 50).expect("there is such a subscription");
    let mut stream = bench.stream();
    let (mut order, mut given_back) = (Vec::new(), BTreeSet::new());
    while order.len() < 2_000 {
        let (number, handler) = next(&mut stream).await;
        if number % 100 == 0 && given_back.insert(number) {
            handler.nack();
            continue;
        }
        order.push(number);
        handler.ack();
        if order.len() == 1_000 {
            open.store(true, Ordering::SeqCst);
        }
    }
    assert!(!order.is_sorted(), "they came in order");
    assert_eq!(order.into_iter().collect::<BTreeSet<_>>(), (0..2_000).collect());
    bench.settled(2_000).await;
    let counts = bench.pubsub.counts(SUBSCRIPTION).expect("it is there");
    assert_eq!(counts.delivered, 2_020, "twenty were given back, and nothing else came twice");
    let missing = Numbers { next: 0, end: 0, open };
    assert!(bench.pubsub.fill("projects/project/subscriptions/missing", missing, 1).is_err());
}
