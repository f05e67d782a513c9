//! The gRPC calls: publish, pull, acknowledge, extend. See [`super::stream`] for streaming pulls and [`super::admin`]
//! for topics and subscriptions.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    routing::post,
};
use tonic::{Response, Status, Streaming};
use tower::service_fn;

use super::{
    admin,
    faults::Fate,
    server::Shared,
    stream,
    subscription::Delivery,
    wire::{
        AcknowledgeRequest, ModifyAckDeadlineRequest, PublishRequest, PublishResponse, PullRequest,
        PullResponse, ReceivedMessage, StreamingPullRequest,
    },
};
use crate::rpc::{self, HttpRequest, HttpResponse};

const SERVED: &str = "not implemented; available are Publish, Pull, StreamingPull, Acknowledge, ModifyAckDeadline, Seek, and creating and getting topics and subscriptions";
/// The header of a call whose messages are compressed.
const ENCODING: &str = "grpc-encoding";
/// How long a pull waits for messages before it returns an empty response.
const PULL_PATIENCE: Duration = Duration::from_secs(1);
/// The stream number of unary pulls, which have no window.
const NO_STREAM: u64 = 0;

pub(super) fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/google.pubsub.v1.Publisher/{method}", post(publisher))
        .route("/google.pubsub.v1.Subscriber/{method}", post(subscriber))
        .with_state(shared)
}

async fn publisher(
    State(shared): State<Shared>,
    Path(method): Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    match method.as_str() {
        "Publish" => {
            if request.headers().contains_key(ENCODING) {
                shared.note_compressed();
            }
            rpc::unary(request, service_fn(move |call| publish(shared.clone(), call))).await
        }
        "CreateTopic" => {
            rpc::unary(request, service_fn(move |call| admin::create_topic(shared.clone(), call))).await
        }
        "GetTopic" => {
            rpc::unary(request, service_fn(move |call| admin::get_topic(shared.clone(), call))).await
        }
        _ => rpc::unimplemented(SERVED),
    }
}

async fn subscriber(
    State(shared): State<Shared>,
    Path(method): Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    match method.as_str() {
        "Pull" => rpc::unary(request, service_fn(move |call| pull(shared.clone(), call))).await,
        "CreateSubscription" => {
            rpc::unary(request, service_fn(move |call| admin::create_subscription(shared.clone(), call)))
                .await
        }
        "GetSubscription" => {
            rpc::unary(request, service_fn(move |call| admin::get_subscription(shared.clone(), call))).await
        }
        "Seek" => rpc::unary(request, service_fn(move |call| admin::seek(shared.clone(), call))).await,
        "Acknowledge" => rpc::unary(request, service_fn(move |call| acknowledge(shared.clone(), call))).await,
        "ModifyAckDeadline" => {
            rpc::unary(request, service_fn(move |call| extend(shared.clone(), call))).await
        }
        "StreamingPull" => {
            let open = move |call: tonic::Request<Streaming<StreamingPullRequest>>| {
                stream::open(shared.clone(), call.into_inner())
            };
            rpc::grpc::<PullResponse, StreamingPullRequest>()
                .streaming(service_fn(open), request)
                .await
                .map(Body::new)
        }
        _ => rpc::unimplemented(SERVED),
    }
}

async fn publish(
    shared: Shared,
    call: tonic::Request<PublishRequest>,
) -> Result<Response<PublishResponse>, Status> {
    let request = call.into_inner();
    shared.delay().await;
    shared.faults.reachable()?;
    let fate = shared.faults.of_publish()?;
    let message_ids = shared.broker().publish(&request.topic, &request.messages, shared.now())?;
    shared.wake.notify_waiters();
    match fate {
        Fate::Answered => Ok(Response::new(PublishResponse { message_ids })),
        Fate::AnswerLost => Err(Status::unavailable("response dropped by an injected fault")),
    }
}

async fn pull(shared: Shared, call: tonic::Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
    let request = call.into_inner();
    shared.faults.reachable()?;
    let limit = usize::try_from(request.max_messages).unwrap_or(0);
    if limit == 0 {
        return Err(Status::invalid_argument("max_messages must be positive"));
    }
    let some = stream::wait_for_messages(&shared, &request.subscription, NO_STREAM, limit);
    let deliveries = match tokio::time::timeout(PULL_PATIENCE, some).await {
        Ok(deliveries) => deliveries?,
        Err(_) => Vec::new(),
    };
    shared.delay().await;
    Ok(Response::new(response(deliveries)))
}

async fn acknowledge(
    shared: Shared,
    call: tonic::Request<AcknowledgeRequest>,
) -> Result<Response<()>, Status> {
    let request = call.into_inner();
    shared.faults.reachable()?;
    shared.broker().ack(&request.subscription, &request.ack_ids, shared.now())?;
    shared.wake.notify_waiters();
    Ok(Response::new(()))
}

async fn extend(
    shared: Shared,
    call: tonic::Request<ModifyAckDeadlineRequest>,
) -> Result<Response<()>, Status> {
    let request = call.into_inner();
    shared.faults.reachable()?;
    let seconds = request.ack_deadline_seconds;
    shared.broker().extend(&request.subscription, &request.ack_ids, seconds, shared.now())?;
    shared.wake.notify_waiters();
    Ok(Response::new(()))
}

/// A response with these messages.
pub(super) fn response(deliveries: Vec<Delivery>) -> PullResponse {
    let received =
        |delivery: Delivery| ReceivedMessage { ack_id: delivery.lease.to_string(), message: delivery.raw };
    PullResponse { received_messages: deliveries.into_iter().map(received).collect() }
}
