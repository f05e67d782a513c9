//! `bridge-floor`: what a bridge from Kafka to Pub/Sub costs at least. It reads records, parses each once, replaces one ID by
//! an HMAC, and publishes the events one by one in requests that it writes byte by byte. It keeps no account of what was
//! acknowledged, commits nothing, retries nothing, and ends with an error if anything fails.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use h2::client::SendRequest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, Consumer as _},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Publishes the events of a topic in Kafka with one ID replaced, until it is killed.
#[derive(Parser)]
struct Arguments {
    /// Kafka's address.
    #[arg(long)]
    kafka: String,
    /// The topic in Kafka.
    #[arg(long)]
    from: String,
    /// Address of the stand-in for Pub/Sub.
    #[arg(long)]
    pubsub: String,
    /// The topic in Pub/Sub: `projects/P/topics/T`.
    #[arg(long)]
    to: String,
}

/// Limits of a request, as Pub/Sub's clients have them by default.
const MESSAGES: usize = 1_000;
const BYTES: usize = 1 << 20;
/// Requests that may wait for their response.
const IN_FLIGHT: usize = 16;
const POLL: Duration = Duration::from_millis(20);

/// The ID that is replaced: a number or a text, as it is written.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    user_id: &'a RawValue,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, requests) = mpsc::channel(2);
    let (host, topic) = (arguments.pubsub.clone(), arguments.to.clone());
    let reader = std::thread::spawn(move || read(&arguments, &sender));
    runtime.block_on(publish(&host, topic, requests))?;
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
}

/// Reads records and fills requests.
fn read(arguments: &Arguments, sender: &mpsc::Sender<Bytes>) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.kafka)
        .set("group.id", "bridge-floor")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[&arguments.from])?;
    let key = Hmac::<Sha256>::new_from_slice(b"the floor has one key")?;
    let (mut request, mut messages) = (Request::new(&arguments.to), 0);
    loop {
        let Some(record) = consumer.poll(POLL) else {
            if messages > 0 {
                sender.blocking_send(request.finish(&arguments.to))?;
                messages = 0;
            }
            continue;
        };
        let record = record?;
        let event = record.payload().context("a record without a value")?;
        let id = serde_json::from_slice::<Event<'_>>(event)?.user_id.get();
        let from = id.as_ptr() as usize - event.as_ptr() as usize;
        let mut mac = key.clone();
        mac.update(id.trim_matches('"').as_bytes());
        let hash = mac.finalize().into_bytes();
        let mut pseudonym = [b'"'; 34];
        for (byte, text) in hash[..16].iter().zip(pseudonym[1..].chunks_exact_mut(2)) {
            text[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            text[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        let data = [&event[..from], &pseudonym[..], &event[from + id.len()..]];
        request.add(&data, &arguments.from, record.partition(), record.offset());
        messages += 1;
        if messages == MESSAGES || request.0.len() > BYTES {
            sender.blocking_send(request.finish(&arguments.to))?;
            messages = 0;
        }
    }
}

/// A `google.pubsub.v1.PublishRequest` behind the five bytes with which gRPC begins a message.
struct Request(Vec<u8>);

impl Request {
    fn new(topic: &str) -> Self {
        let mut bytes = vec![0; 5];
        put(1, &[topic.as_bytes()], &mut bytes);
        Self(bytes)
    }

    /// Adds a `PubsubMessage`.
    fn add(&mut self, data: &[&[u8]], topic: &str, partition: i32, offset: i64) {
        let mut message = Vec::with_capacity(512);
        put(1, data, &mut message);
        let (partition, offset) = (partition.to_string(), offset.to_string());
        for (name, value) in
            [("kafka.topic", topic), ("kafka.partition", &partition), ("kafka.offset", &offset)]
        {
            let mut attribute = Vec::with_capacity(64);
            put(1, &[name.as_bytes()], &mut attribute);
            put(2, &[value.as_bytes()], &mut attribute);
            put(2, &[&attribute], &mut message);
        }
        put(2, &[&message], &mut self.0);
    }

    /// Takes the bytes and begins another request.
    fn finish(&mut self, topic: &str) -> Bytes {
        let mut bytes = std::mem::replace(self, Self::new(topic)).0;
        let length = u32::try_from(bytes.len() - 5).expect("a request is small");
        bytes[1..5].copy_from_slice(&length.to_be_bytes());
        bytes.into()
    }
}

/// Appends a field with a length.
fn put(number: u8, parts: &[&[u8]], into: &mut Vec<u8>) {
    into.push(number << 3 | 2);
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    while length >= 0x80 {
        into.push(length as u8 | 0x80);
        length >>= 7;
    }
    into.push(length as u8);
    parts.iter().for_each(|part| into.extend_from_slice(part));
}

/// Sends requests over one connection.
async fn publish(host: &str, topic: String, mut requests: mpsc::Receiver<Bytes>) -> Result<()> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    tasks.spawn(async { Ok(connection.await?) });
    while let Some(request) = requests.recv().await {
        while tasks.len() > IN_FLIGHT {
            tasks.join_next().await.expect("there are tasks")??;
        }
        let sender = sender.clone().ready().await?;
        tasks.spawn(call(
            sender,
            format!("http://{host}/google.pubsub.v1.Publisher/Publish"),
            topic.clone(),
            request,
        ));
    }
    Ok(())
}

async fn call(mut sender: SendRequest<Bytes>, url: String, topic: String, body: Bytes) -> Result<()> {
    let head = http::Request::post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-goog-request-params", format!("topic={topic}"))
        .body(())?;
    let (response, mut stream) = sender.send_request(head, false)?;
    stream.send_data(body, true)?;
    let mut body = response.await?.into_body();
    while let Some(part) = body.data().await {
        let length = part?.len();
        body.flow_control().release_capacity(length)?;
    }
    let trailers = body.trailers().await?.context("a response without a status")?;
    ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"), "{trailers:?}");
    Ok(())
}
