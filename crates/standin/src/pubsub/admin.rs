//! The gRPC calls that create and get topics and subscriptions, and seek. See [`super::rest`] for the REST calls.

use prost::Message;
use prost_types::{Duration, Timestamp};
use serde_json::{Map, Value, json};
use tonic::{Request, Response, Status};

use super::{broker::Spec, server::Shared};

/// `Topic`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Topic {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "3")]
    message_storage_policy: Option<MessageStoragePolicy>,
    #[prost(message, optional, tag = "8")]
    message_retention_duration: Option<Duration>,
}

/// `MessageStoragePolicy`.
#[derive(Clone, PartialEq, Message)]
struct MessageStoragePolicy {
    #[prost(string, repeated, tag = "1")]
    allowed_persistence_regions: Vec<String>,
}

/// `Subscription`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SubscriptionMessage {
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
    message_retention_duration: Option<Duration>,
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

/// `PushConfig`.
#[derive(Clone, PartialEq, Message)]
struct PushConfig {
    #[prost(string, tag = "1")]
    push_endpoint: String,
}

/// `ExpirationPolicy`.
#[derive(Clone, PartialEq, Message)]
struct ExpirationPolicy {
    #[prost(message, optional, tag = "1")]
    ttl: Option<Duration>,
}

/// `GetTopicRequest` and `GetSubscriptionRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetRequest {
    #[prost(string, tag = "1")]
    name: String,
}

/// `SeekRequest` with a time.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SeekRequest {
    #[prost(string, tag = "1")]
    subscription: String,
    #[prost(message, optional, tag = "2")]
    time: Option<Timestamp>,
}

pub(super) async fn create_topic(shared: Shared, call: Request<Topic>) -> Result<Response<Topic>, Status> {
    let topic = call.into_inner();
    shared.faults.reachable()?;
    let spec = topic_spec(&topic);
    Ok(Response::new(topic_message(&shared.broker().create_topic(topic.name, spec)?)))
}

pub(super) async fn get_topic(shared: Shared, call: Request<GetRequest>) -> Result<Response<Topic>, Status> {
    shared.faults.reachable()?;
    Ok(Response::new(topic_message(shared.broker().topic(&call.into_inner().name)?)))
}

pub(super) async fn create_subscription(
    shared: Shared,
    call: Request<SubscriptionMessage>,
) -> Result<Response<SubscriptionMessage>, Status> {
    let subscription = call.into_inner();
    shared.faults.reachable()?;
    let spec = subscription_spec(&subscription);
    Ok(Response::new(subscription_message(&shared.broker().create_subscription(subscription.name, spec)?)))
}

pub(super) async fn get_subscription(
    shared: Shared,
    call: Request<GetRequest>,
) -> Result<Response<SubscriptionMessage>, Status> {
    shared.faults.reachable()?;
    Ok(Response::new(subscription_message(shared.broker().subscription(&call.into_inner().name)?)))
}

pub(super) async fn seek(shared: Shared, call: Request<SeekRequest>) -> Result<Response<()>, Status> {
    let request = call.into_inner();
    shared.faults.reachable()?;
    let time = request.time.ok_or_else(|| Status::invalid_argument("seek requires a time"))?;
    let millis = time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000;
    shared.broker().seek(&request.subscription, u64::try_from(millis).unwrap_or(0))?;
    shared.wake.notify_waiters();
    Ok(Response::new(()))
}

fn topic_spec(topic: &Topic) -> Spec {
    let mut spec = Map::new();
    if let Some(policy) = &topic.message_storage_policy {
        let regions = json!({ "allowedPersistenceRegions": policy.allowed_persistence_regions });
        spec.insert("messageStoragePolicy".to_owned(), regions);
    }
    put_duration(&mut spec, "messageRetentionDuration", topic.message_retention_duration.as_ref());
    spec
}

fn topic_message(spec: &Spec) -> Topic {
    let regions = |policy: &Value| {
        let regions = policy["allowedPersistenceRegions"].as_array().map(Vec::as_slice).unwrap_or_default();
        regions.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Topic {
        name: text(spec, "name"),
        message_storage_policy: spec
            .get("messageStoragePolicy")
            .map(|policy| MessageStoragePolicy { allowed_persistence_regions: regions(policy) }),
        message_retention_duration: spec.get("messageRetentionDuration").and_then(duration),
    }
}

fn subscription_spec(subscription: &SubscriptionMessage) -> Spec {
    let mut spec = Map::new();
    spec.insert("topic".to_owned(), subscription.topic.clone().into());
    if subscription.ack_deadline_seconds > 0 {
        spec.insert("ackDeadlineSeconds".to_owned(), subscription.ack_deadline_seconds.into());
    }
    for (key, value) in [
        ("retainAckedMessages", subscription.retain_acked_messages),
        ("enableMessageOrdering", subscription.enable_message_ordering),
        ("detached", subscription.detached),
        ("enableExactlyOnceDelivery", subscription.enable_exactly_once_delivery),
    ] {
        spec.insert(key.to_owned(), value.into());
    }
    spec.insert("filter".to_owned(), subscription.filter.clone().into());
    put_duration(&mut spec, "messageRetentionDuration", subscription.message_retention_duration.as_ref());
    if let Some(push) = &subscription.push_config {
        spec.insert("pushConfig".to_owned(), json!({ "pushEndpoint": push.push_endpoint }));
    }
    if let Some(policy) = &subscription.expiration_policy {
        let mut expiration = Map::new();
        put_duration(&mut expiration, "ttl", policy.ttl.as_ref());
        spec.insert("expirationPolicy".to_owned(), expiration.into());
    }
    spec
}

fn subscription_message(spec: &Spec) -> SubscriptionMessage {
    let is_set = |key: &str| spec.get(key).and_then(Value::as_bool).unwrap_or(false);
    let push = |push: &Value| PushConfig {
        push_endpoint: push["pushEndpoint"].as_str().unwrap_or_default().to_owned(),
    };
    SubscriptionMessage {
        name: text(spec, "name"),
        topic: text(spec, "topic"),
        push_config: spec.get("pushConfig").map(push),
        ack_deadline_seconds: spec
            .get("ackDeadlineSeconds")
            .and_then(Value::as_i64)
            .and_then(|seconds| i32::try_from(seconds).ok())
            .unwrap_or(0),
        retain_acked_messages: is_set("retainAckedMessages"),
        message_retention_duration: spec.get("messageRetentionDuration").and_then(duration),
        enable_message_ordering: is_set("enableMessageOrdering"),
        expiration_policy: spec
            .get("expirationPolicy")
            .map(|policy| ExpirationPolicy { ttl: policy.get("ttl").and_then(duration) }),
        filter: text(spec, "filter"),
        detached: is_set("detached"),
        enable_exactly_once_delivery: is_set("enableExactlyOnceDelivery"),
    }
}

fn text(spec: &Spec, key: &str) -> String {
    spec.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A duration in the format of the REST API, such as `"604800s"`.
fn put_duration(spec: &mut Spec, key: &str, duration: Option<&Duration>) {
    if let Some(duration) = duration {
        spec.insert(key.to_owned(), duration.to_string().into());
    }
}

fn duration(value: &Value) -> Option<Duration> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_rest_format() {
        let week = Duration { seconds: 604_800, nanos: 0 };
        let topic = Topic {
            name: "projects/p/topics/t".to_owned(),
            message_storage_policy: Some(MessageStoragePolicy {
                allowed_persistence_regions: vec!["europe-west1".to_owned()],
            }),
            message_retention_duration: Some(week),
        };
        let mut spec = topic_spec(&topic);
        assert_eq!(spec["messageRetentionDuration"], "604800s");
        spec.insert("name".to_owned(), topic.name.clone().into());
        assert_eq!(topic_message(&spec), topic);
        let subscription = SubscriptionMessage {
            name: "projects/p/subscriptions/s".to_owned(),
            topic: topic.name,
            push_config: None,
            ack_deadline_seconds: 60,
            retain_acked_messages: true,
            message_retention_duration: Some(week),
            enable_message_ordering: false,
            expiration_policy: Some(ExpirationPolicy { ttl: None }),
            filter: "attributes.a = \"b\"".to_owned(),
            detached: false,
            enable_exactly_once_delivery: true,
        };
        let mut spec = subscription_spec(&subscription);
        spec.insert("name".to_owned(), subscription.name.clone().into());
        assert_eq!(subscription_message(&spec), subscription);
    }
}
