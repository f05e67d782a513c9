//! Publishes records again that were rejected: like the connector, but without marks and commits, and with the number of
//! the redrive.
//!
//! See `aqueduct dead-letters redrive` for the choice of the records.

use std::{ops::Range, time::Duration};

use service::Backoff;
use tokio_util::sync::CancellationToken;

use crate::{
    batch::lanes,
    error::chain,
    message::{Message, Publish, PublishError},
};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What became of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Pub/Sub has all but these, by their index, which it refuses even when they are sent alone.
    AllBut(Vec<usize>),
    /// It was stopped while Pub/Sub did not answer. Some messages may have arrived.
    Stopped,
}

/// Publishes messages, lane by lane, and retries while Pub/Sub does not answer.
///
/// # Errors
/// Nothing can be published, or Pub/Sub refuses each message: then the cause is the project or the topic.
pub async fn publish(
    publisher: &impl Publish,
    mut messages: Vec<(usize, Message)>,
    stop: &CancellationToken,
) -> Result<Published, PublishError> {
    // Stable: the order within a lane is what an ordering key promises.
    messages.sort_by(|(_, a), (_, b)| a.lane().cmp(b.lane()));
    let (numbers, messages): (Vec<usize>, Vec<Message>) = messages.into_iter().unzip();
    let (mut refused, mut last) = (Vec::new(), None);
    for lane in lanes(&messages) {
        let mut open = Vec::from_iter(fitting(&messages, lane));
        open.reverse();
        while let Some(range) = open.pop() {
            match until_answered(publisher, &messages[range.clone()], stop).await {
                None => return Ok(Published::Stopped),
                Some(Ok(())) => {}
                Some(Err(PublishError::Refused(_))) if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    open.extend([middle..range.end, range.start..middle]);
                }
                Some(Err(error @ PublishError::Refused(_))) => {
                    refused.push(numbers[range.start]);
                    last = Some(error);
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }
    match last {
        Some(error) if refused.len() == messages.len() => Err(error),
        _ => Ok(Published::AllBut(refused)),
    }
}

/// The messages of a lane in runs that fit a request.
fn fitting(messages: &[Message], lane: Range<usize>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for index in lane {
        let size = messages[index].wire_len();
        match runs.last_mut() {
            Some(run)
                if bytes + size <= pubsub::limits::MAX_BYTES && run.len() < pubsub::limits::MAX_MESSAGES =>
            {
                run.end = index + 1;
                bytes += size;
            }
            _ => {
                runs.push(index..index + 1);
                bytes = size;
            }
        }
    }
    runs
}

async fn until_answered(
    publisher: &impl Publish,
    messages: &[Message],
    stop: &CancellationToken,
) -> Option<Result<(), PublishError>> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut is_reported = false;
    loop {
        match publisher.publish(messages).await {
            Err(PublishError::Unavailable(cause)) => {
                if !std::mem::replace(&mut is_reported, true) {
                    let error = chain(&*cause);
                    tracing::warn!(
                        error,
                        action = "check the network, the status of Google Cloud, and that this account has roles/pubsub.publisher",
                        "cannot publish to Pub/Sub; retrying"
                    );
                }
            }
            answer => return Some(answer),
        }
        let random = getrandom::u32().map_or(1.0, |draw| f64::from(draw) / f64::from(u32::MAX));
        tokio::select! {
            () = tokio::time::sleep(backoff.next(random)) => {}
            () = stop.cancelled() => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use event::{Incarnation, Mark, Partition};
    use pubsub::Encoder;

    use super::*;
    use crate::{
        anonymise::{AnonymiseSettings, Anonymiser, Raw},
        message::Origin,
    };

    /// Refuses requests with a message of an unwanted size, and records what it takes.
    #[derive(Clone, Default)]
    struct Picky {
        unwanted: Vec<usize>,
        taken: Arc<Mutex<Vec<usize>>>,
    }

    impl Publish for Picky {
        async fn publish(&self, batch: &[Message]) -> Result<(), PublishError> {
            if batch.iter().any(|message| self.unwanted.contains(&message.wire_len())) {
                return Err(PublishError::Refused("no".into()));
            }
            self.taken.lock().expect("no panic").extend(batch.iter().map(Message::wire_len));
            Ok(())
        }

        async fn publish_mark(&self, _: &Mark) -> Result<(), PublishError> {
            unreachable!("a redrive writes no marks")
        }
    }

    fn messages() -> Vec<(usize, Message)> {
        let settings: AnonymiseSettings = toml::from_str("forward = \"all\"").expect("settings");
        let mut anonymiser = Anonymiser::new(&settings, None, None).expect("rules");
        let partition = Partition { topic: "t".into(), incarnation: Incarnation::from("i"), partition: 0 };
        let origin = Origin::redriven(partition, 1, 3);
        let message = |number: usize| {
            let value = format!("{{\"a\":\"{}\"}}", "x".repeat(number));
            let raw = Raw { topic: "t", value: Some(value.as_bytes()), key: None, headers: &[] };
            let event = anonymiser.anonymise(&raw).expect("an event");
            let message = Message::new(&mut Encoder::default(), &event, &origin, 7, None);
            (number, message.expect("within the limits"))
        };
        (0..20).map(message).collect()
    }

    #[tokio::test]
    async fn one_refused_message_does_not_hold_up_the_others() {
        let messages = messages();
        let sizes: Vec<usize> = messages.iter().map(|(_, message)| message.wire_len()).collect();
        let publisher = Picky { unwanted: vec![sizes[4], sizes[17]], ..Picky::default() };
        let published = publish(&publisher, messages, &CancellationToken::new()).await.expect("an answer");
        assert_eq!(published, Published::AllBut(vec![4, 17]));
        assert_eq!(publisher.taken.lock().expect("no panic").len(), 18);
    }

    #[tokio::test]
    async fn a_topic_that_refuses_everything_is_an_error() {
        let messages = messages();
        let unwanted = messages.iter().map(|(_, message)| message.wire_len()).collect();
        let publisher = Picky { unwanted, ..Picky::default() };
        let error = publish(&publisher, messages, &CancellationToken::new()).await;
        assert!(matches!(error, Err(PublishError::Refused(_))));
    }
}
