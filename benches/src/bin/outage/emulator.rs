//! A backlog in Google's emulator, over REST.

use anyhow::Result;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use tests::{
    backlog::{Kind, Shape, held::Disorder, marks, message, order::Lanes},
    http,
    pipe::PROJECT,
    services,
};

/// Publishes a backlog in its order of delivery.
pub(crate) struct Publisher {
    host: String,
    topic: String,
    disorder: Disorder,
    lanes: Option<Lanes>,
    /// Records that marks have covered.
    covered: u64,
    sequence: u64,
}

/// Messages of one request.
const TOGETHER: usize = 1_000;

impl Publisher {
    pub(crate) fn new(topic: &str, disorder: Disorder) -> Result<Self> {
        let (host, topic) = (services::address(services::PUBSUB)?, topic.to_owned());
        Ok(Self { host, topic, disorder, lanes: None, covered: 0, sequence: 0 })
    }

    /// Publishes what was written until a time, and the marks of every ten minutes and of that time.
    pub(crate) fn publish(&mut self, shape: &Shape, until: i64) -> Result<()> {
        let written = shape.written_by(until);
        let mut lanes = self
            .lanes
            .take()
            .unwrap_or_else(|| Lanes::new(self.disorder.lanes, self.disorder.lead, shape.seed));
        let mut messages = Vec::new();
        while let Some(number) = lanes.next(written) {
            let record = shape.record(number);
            if record.kind == Kind::Refused {
                continue;
            }
            let mut data = Vec::new();
            message::event(&record, &mut data);
            let mut attributes = Map::new();
            message::attributes(shape, &record, |name, value| {
                attributes.insert(name.to_owned(), value.to_string().into());
            });
            messages.push(json!({"data": BASE64_STANDARD.encode(data), "attributes": attributes}));
            if messages.len() == TOGETHER {
                self.send("", &std::mem::take(&mut messages))?;
            }
        }
        self.send("", &messages)?;
        self.lanes = Some(lanes);
        self.mark(shape, until)
    }

    fn mark(&mut self, shape: &Shape, until: i64) -> Result<()> {
        let mut marks = Vec::new();
        let mut time = shape.written(self.covered) + 600_000;
        loop {
            let at = time.min(until);
            let written = shape.written_by(at);
            self.sequence += 1;
            let mark = marks::mark(shape, self.sequence, at, self.covered, written);
            marks.push(json!({"data": BASE64_STANDARD.encode(mark.to_string())}));
            self.covered = written;
            if at == until {
                return self.send("-marks", &marks);
            }
            time += 600_000;
        }
    }

    fn send(&self, part: &str, messages: &[Value]) -> Result<()> {
        for messages in messages.chunks(TOGETHER) {
            let path = format!("/v1/projects/{PROJECT}/topics/{}{part}:publish", self.topic);
            http::request(&self.host, "POST", &path, Some(&json!({"messages": messages})))?;
        }
        Ok(())
    }
}
