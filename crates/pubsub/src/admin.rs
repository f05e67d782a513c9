//! Creates and checks the topics and subscriptions that the configuration needs.
//!
//! [`plan`] is pure. [`apply`] creates what does not exist and leaves existing resources unchanged, so it is safe to
//! run again. Nothing here deletes a resource.

use std::{fmt, time::Duration};

use event::{EventTime, Millis};
use google::CallError;
use prost::Message;
use tokio::time::timeout;
use tonic::Code;

use crate::{
    connection::{Connection, Endpoint},
    error::Error,
    settings::PubSubSettings,
};

/// Acknowledgement deadline of the subscriptions that [`apply`] creates: how long Pub/Sub waits for an
/// acknowledgement or an extension before it redelivers a message.
pub const ACK_DEADLINE: Duration = Duration::from_secs(60);
/// Deadline of one administrative call.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// A resource that has to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A topic.
    Topic(TopicPlan),
    /// A subscription.
    Subscription(SubscriptionPlan),
}

/// The properties of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// `projects/P/topics/T`.
    pub path: String,
    /// Retention of messages.
    pub retention: Millis,
    /// Regions in which messages may be stored; empty for any region.
    pub regions: Vec<String>,
}

/// The properties of a subscription. It retains acknowledged messages, never expires, delivers at least once, and is
/// unordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPlan {
    /// `projects/P/subscriptions/S`.
    pub path: String,
    /// `projects/P/topics/T`.
    pub topic: String,
    /// Retention of messages, including acknowledged ones.
    pub retention: Millis,
    /// Which messages it receives, as Pub/Sub writes it; empty for all.
    pub filter: String,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The resource did not exist and has been created.
    Created,
    /// The resource exists with the planned properties.
    Exists,
    /// The resource exists with other properties, one text for each. It has not been changed.
    Differs(Vec<String>),
}

/// `retention = "0s"`: acknowledged messages are deleted at once, and unacknowledged ones are kept for Pub/Sub's
/// default retention. For emulators, which keep everything in memory.
const KEEPS_NOTHING: Millis = Millis(0);

/// `google.pubsub.v1.Topic`, without the fields that are not used here.
#[derive(Clone, PartialEq, Message)]
struct Topic {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "3")]
    message_storage_policy: Option<MessageStoragePolicy>,
    #[prost(message, optional, tag = "8")]
    message_retention_duration: Option<prost_types::Duration>,
}

/// `google.pubsub.v1.MessageStoragePolicy`.
#[derive(Clone, PartialEq, Message)]
struct MessageStoragePolicy {
    #[prost(string, repeated, tag = "1")]
    allowed_persistence_regions: Vec<String>,
}

/// `google.pubsub.v1.Subscription`, without the fields that are not used here.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PubsubSubscription {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    topic: String,
    #[prost(message, optional, tag = "4")]
    push_config: Option<PushConfig>,
    #[prost(int32, tag = "5")]
    ack_deadline_seconds: i32,
    #[prost(bool, tag = "7")]
    retain_acked_messages: bool,
    #[prost(message, optional, tag = "8")]
    message_retention_duration: Option<prost_types::Duration>,
    #[prost(bool, tag = "10")]
    enable_message_ordering: bool,
    #[prost(message, optional, tag = "11")]
    expiration_policy: Option<ExpirationPolicy>,
    #[prost(string, tag = "12")]
    filter: String,
    #[prost(bool, tag = "15")]
    detached: bool,
    #[prost(bool, tag = "16")]
    enable_exactly_once_delivery: bool,
}

/// `google.pubsub.v1.PushConfig`.
#[derive(Clone, PartialEq, Message)]
struct PushConfig {
    #[prost(string, tag = "1")]
    push_endpoint: String,
}

/// `google.pubsub.v1.ExpirationPolicy`. Without a duration the subscription never expires.
#[derive(Clone, PartialEq, Message)]
struct ExpirationPolicy {
    #[prost(message, optional, tag = "1")]
    ttl: Option<prost_types::Duration>,
}

/// `google.pubsub.v1.GetTopicRequest` and `GetSubscriptionRequest`.
#[derive(Clone, PartialEq, Message)]
struct GetRequest {
    #[prost(string, tag = "1")]
    path: String,
}

/// `google.pubsub.v1.ListTopicSubscriptionsRequest`.
#[derive(Clone, PartialEq, Message)]
struct ListRequest {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(string, tag = "3")]
    page_token: String,
}

/// `google.pubsub.v1.ListTopicSubscriptionsResponse`.
#[derive(Clone, PartialEq, Message)]
struct ListResponse {
    #[prost(string, repeated, tag = "1")]
    subscriptions: Vec<String>,
    #[prost(string, tag = "2")]
    next_page_token: String,
}

/// `google.pubsub.v1.SeekRequest` with a time.
#[derive(Clone, PartialEq, Message)]
struct SeekRequest {
    #[prost(string, tag = "1")]
    subscription: String,
    #[prost(message, optional, tag = "2")]
    time: Option<prost_types::Timestamp>,
}

const GET_TOPIC: &str = "/google.pubsub.v1.Publisher/GetTopic";
const CREATE_TOPIC: &str = "/google.pubsub.v1.Publisher/CreateTopic";
const GET_SUBSCRIPTION: &str = "/google.pubsub.v1.Subscriber/GetSubscription";
const CREATE_SUBSCRIPTION: &str = "/google.pubsub.v1.Subscriber/CreateSubscription";
const LIST: &str = "/google.pubsub.v1.Publisher/ListTopicSubscriptions";
const SEEK: &str = "/google.pubsub.v1.Subscriber/Seek";
/// 9999-12-31T23:59:59Z, the last second of a `google.protobuf.Timestamp`.
const LAST_SECOND: i64 = 253_402_300_799;

fn kept(retention: Millis) -> Option<prost_types::Duration> {
    (retention > KEEPS_NOTHING).then(|| prost_types::Duration {
        seconds: retention.0 / 1_000,
        nanos: (retention.0 % 1_000 * 1_000_000) as i32,
    })
}

/// The required resources, topics before their subscriptions.
pub fn plan(settings: &PubSubSettings) -> Vec<Step> {
    let topic = |path| {
        Step::Topic(TopicPlan { path, retention: settings.retention, regions: settings.regions.clone() })
    };
    let filtered = |path, topic, filter| {
        Step::Subscription(SubscriptionPlan { path, topic, retention: settings.retention, filter })
    };
    let subscription = |(path, topic)| filtered(path, topic, String::new());
    let (topics, marks) = (settings.topic_paths(), settings.marks_topic_path());
    let mut steps: Vec<Step> = topics.iter().cloned().chain([marks.clone()]).map(topic).collect();
    let events = settings.subscription_paths().unwrap_or_default();
    steps.extend(events.into_iter().zip(topics.iter().cloned()).map(subscription));
    steps.extend(settings.marks_subscription_path().map(|path| subscription((path, marks.clone()))));
    for shard in settings.shard_subscriptions() {
        let events = shard.events.into_iter().zip(topics.iter().cloned());
        steps.extend(events.map(|(path, topic)| filtered(path, topic, shard.filter.clone())));
        steps.push(subscription((shard.marks, marks.clone())));
    }
    steps
}

/// Creates the resources that do not exist, and returns the result of each step.
///
/// # Errors
/// If Pub/Sub does not answer or refuses a call. Earlier steps remain done.
pub async fn apply(connection: &Connection, steps: Vec<Step>) -> Result<Vec<(Step, Outcome)>, Error> {
    let mut done = Vec::with_capacity(steps.len());
    for step in steps {
        let outcome = match &step {
            Step::Topic(plan) => apply_topic(connection, plan).await?,
            Step::Subscription(plan) => apply_subscription(connection, plan).await?,
        };
        done.push((step, outcome));
    }
    Ok(done)
}

/// Checks that the topics for events and the marks topic exist.
///
/// # Errors
/// [`Error::NotFound`] for the first missing topic; [`Error::Denied`] if the account may publish but not read the
/// topic.
pub async fn check_topics(connection: &Connection, settings: &PubSubSettings) -> Result<(), Error> {
    for path in settings.topic_paths().into_iter().chain([settings.marks_topic_path()]) {
        check_topic(connection, &path).await?;
    }
    Ok(())
}

/// Checks that one topic exists.
///
/// # Errors
/// As [`check_topics`].
pub async fn check_topic(connection: &Connection, path: &str) -> Result<(), Error> {
    get_topic(connection, path).await.map(drop)
}

/// Checks that the subscriptions for events and the marks subscription exist. Succeeds if no subscription is configured.
///
/// # Errors
/// [`Error::NotFound`] for the first missing subscription; [`Error::Denied`] if the account may pull but not read the
/// subscription.
pub async fn check_subscriptions(connection: &Connection, settings: &PubSubSettings) -> Result<(), Error> {
    let events = settings.subscription_paths().unwrap_or_default();
    let shards = settings.shard_subscriptions();
    let shards = shards.into_iter().flat_map(|shard| shard.events.into_iter().chain([shard.marks]));
    for path in events.into_iter().chain(settings.marks_subscription_path()).chain(shards) {
        get_subscription(connection, &path).await?;
    }
    Ok(())
}

/// The subscriptions of the topics for events that are not the processor's, as `projects/P/subscriptions/S`.
///
/// # Errors
/// If Pub/Sub does not answer or refuses the call.
pub async fn other_subscriptions(
    connection: &Connection,
    settings: &PubSubSettings,
) -> Result<Vec<String>, Error> {
    let shards = settings.shard_subscriptions().into_iter().flat_map(|shard| shard.events);
    let own: Vec<String> =
        settings.subscription_paths().unwrap_or_default().into_iter().chain(shards).collect();
    let mut others = Vec::new();
    for topic in settings.topic_paths() {
        let mut request = ListRequest { topic: topic.clone(), page_token: String::new() };
        loop {
            let answer = call(connection, LIST, ("topic", &topic), request.clone()).await;
            let page: ListResponse = answer.map_err(|error| Error::of_call(&topic, error))?;
            others.extend(page.subscriptions.into_iter().filter(|path| !own.contains(path)));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
    }
    Ok(others)
}

/// Marks every message published since `time` as unacknowledged, as far back as the retention reaches.
///
/// # Errors
/// If Pub/Sub does not answer or refuses the call.
pub async fn seek(connection: &Connection, subscription: &str, time: EventTime) -> Result<(), Error> {
    let millis = time.0.max(0);
    let nanos = (millis % 1_000 * 1_000_000) as i32;
    let time = prost_types::Timestamp { seconds: (millis / 1_000).min(LAST_SECOND), nanos };
    let request = SeekRequest { subscription: subscription.to_owned(), time: Some(time) };
    let () = call(connection, SEEK, ("subscription", subscription), request)
        .await
        .map_err(|error| Error::of_call(subscription, error))?;
    Ok(())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(plan) if plan.regions.is_empty() && plan.retention == KEEPS_NOTHING => {
                write!(f, "topic {}", plan.path)
            }
            Self::Subscription(plan) if plan.retention == KEEPS_NOTHING => {
                write!(f, "subscription {} to topic {} (never expires)", plan.path, plan.topic)
            }
            Self::Topic(plan) if plan.regions.is_empty() => {
                write!(f, "topic {} (message retention {})", plan.path, plan.retention)
            }
            Self::Topic(plan) => {
                write!(
                    f,
                    "topic {} (message retention {}, stored in {})",
                    plan.path,
                    plan.retention,
                    plan.regions.join(", ")
                )
            }
            Self::Subscription(plan) => {
                write!(
                    f,
                    "subscription {} to topic {} (message retention {}",
                    plan.path, plan.topic, plan.retention
                )?;
                f.write_str(", including acknowledged messages; never expires")?;
                if !plan.filter.is_empty() {
                    write!(f, "; only {}", plan.filter)?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Exists => f.write_str("exists"),
            Self::Differs(differences) => write!(f, "differs: {}", differences.join("; ")),
        }
    }
}

async fn apply_topic(connection: &Connection, plan: &TopicPlan) -> Result<Outcome, Error> {
    match get_topic(connection, &plan.path).await {
        Ok(found) => return Ok(outcome(topic_differences(plan, &found, &connection.endpoint))),
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let topic = Topic {
        name: plan.path.clone(),
        message_storage_policy: (!plan.regions.is_empty())
            .then(|| MessageStoragePolicy { allowed_persistence_regions: plan.regions.clone() }),
        message_retention_duration: kept(plan.retention),
    };
    created(&plan.path, call::<_, Topic>(connection, CREATE_TOPIC, ("name", &plan.path), topic).await)
}

async fn apply_subscription(connection: &Connection, plan: &SubscriptionPlan) -> Result<Outcome, Error> {
    match get_subscription(connection, &plan.path).await {
        Ok(found) => return Ok(outcome(subscription_differences(plan, &found))),
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let subscription = PubsubSubscription {
        name: plan.path.clone(),
        topic: plan.topic.clone(),
        ack_deadline_seconds: ACK_DEADLINE.as_secs() as i32,
        retain_acked_messages: plan.retention > KEEPS_NOTHING,
        message_retention_duration: kept(plan.retention),
        expiration_policy: Some(ExpirationPolicy { ttl: None }),
        filter: plan.filter.clone(),
        ..PubsubSubscription::default()
    };
    let routing = ("name", plan.path.as_str());
    created(
        &plan.path,
        call::<_, PubsubSubscription>(connection, CREATE_SUBSCRIPTION, routing, subscription).await,
    )
}

async fn get_topic(connection: &Connection, path: &str) -> Result<Topic, Error> {
    let request = GetRequest { path: path.to_owned() };
    let found = call(connection, GET_TOPIC, ("topic", path), request).await;
    found.map_err(|error| Error::of_call(path, error))
}

pub(crate) async fn get_subscription(
    connection: &Connection,
    path: &str,
) -> Result<PubsubSubscription, Error> {
    let request = GetRequest { path: path.to_owned() };
    let found = call(connection, GET_SUBSCRIPTION, ("subscription", path), request).await;
    found.map_err(|error| Error::of_call(path, error))
}

/// One attempt of an administrative call.
async fn call<Q, A>(
    connection: &Connection,
    method: &'static str,
    routing: (&str, &str),
    request: Q,
) -> Result<A, CallError>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let late = |_| CallError::Status(tonic::Status::deadline_exceeded("timed out"));
    timeout(CALL_DEADLINE, connection.caller.unary(method, routing, request)).await.map_err(late)?
}

/// A resource that another process has created in the meantime counts as existing.
fn created<T>(path: &str, answer: Result<T, CallError>) -> Result<Outcome, Error> {
    match answer {
        Ok(_) => Ok(Outcome::Created),
        Err(CallError::Status(status)) if status.code() == Code::AlreadyExists => Ok(Outcome::Exists),
        Err(error) => Err(Error::of_call(path, error)),
    }
}

fn outcome(differences: Vec<String>) -> Outcome {
    if differences.is_empty() { Outcome::Exists } else { Outcome::Differs(differences) }
}

fn topic_differences(plan: &TopicPlan, found: &Topic, endpoint: &Endpoint) -> Vec<String> {
    let mut differences = Vec::new();
    // An emulator does not return properties that it does not implement.
    let is_reported = *endpoint == Endpoint::GoogleCloud || found.message_retention_duration.is_some();
    if is_reported
        && plan.retention > KEEPS_NOTHING
        && !keeps(found.message_retention_duration.as_ref(), plan.retention)
    {
        differences.push(format!("has a message retention other than {}", plan.retention));
    }
    let regions = found.message_storage_policy.as_ref().map(|policy| &policy.allowed_persistence_regions[..]);
    let is_reported = *endpoint == Endpoint::GoogleCloud || regions.is_some();
    if is_reported && !plan.regions.is_empty() && regions.unwrap_or_default() != plan.regions {
        differences.push(format!("may store messages outside {}", plan.regions.join(", ")));
    }
    differences
}

fn subscription_differences(plan: &SubscriptionPlan, found: &PubsubSubscription) -> Vec<String> {
    let expires = found.expiration_policy.as_ref().is_some_and(|policy| policy.ttl.is_some());
    let mut differences = Vec::new();
    let mut note = |wrong: bool, text: String| differences.extend(wrong.then_some(text));
    note(found.topic != plan.topic, format!("is attached to {}, not to {}", found.topic, plan.topic));
    let keeping = plan.retention > KEEPS_NOTHING;
    note(keeping && !found.retain_acked_messages, "does not retain acknowledged messages".to_owned());
    note(
        keeping && !keeps(found.message_retention_duration.as_ref(), plan.retention),
        format!("has a message retention other than {}", plan.retention),
    );
    note(expires, "expires when idle".to_owned());
    note(
        found.enable_exactly_once_delivery,
        "has exactly-once delivery, which is slow and not needed".to_owned(),
    );
    note(found.enable_message_ordering, "has message ordering, which is slow and not needed".to_owned());
    if plan.filter.is_empty() {
        note(
            !found.filter.is_empty(),
            "has a filter: filtered messages would be missing permanently".to_owned(),
        );
    } else {
        note(
            found.filter != plan.filter,
            format!(
                "has another filter than {}, which cannot be changed; delete it and run setup again",
                plan.filter
            ),
        );
    }
    note(found.push_config.as_ref().is_some_and(|push| !push.push_endpoint.is_empty()), "pushes".to_owned());
    note(found.detached, "is detached from its topic".to_owned());
    differences
}

fn keeps(found: Option<&prost_types::Duration>, wanted: Millis) -> bool {
    found.is_some_and(|found| found.seconds * 1_000 >= wanted.0)
}
