//! Which messages are held, and until when they are leased.
//!
//! The unit is the response and not the message, because the messages of a response are applied and acknowledged
//! together. One entry covers some hundred messages, and no message needs a timer or a table entry of its own.
//!
//! Pure: time is an argument. See [`crate::keeper`] for the loop that sends what is due.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::requests::{self, AckIds};

/// The leases of one subscription.
#[derive(Debug)]
pub(crate) struct Leases {
    subscription: String,
    terms: Terms,
    held: BTreeMap<u64, Held>,
    next: u64,
    /// Number of held messages for each stream.
    outstanding: Vec<usize>,
    acknowledged: VecDeque<AckIds>,
    given_back: VecDeque<AckIds>,
    /// Numbers of the responses whose lease has to be extended.
    due: VecDeque<u64>,
}

/// How long a message may be held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Duration of one lease.
    pub(crate) lease: Duration,
    /// Total duration, including all extensions.
    pub(crate) longest: Duration,
}

#[derive(Debug)]
struct Held {
    ids: AckIds,
    stream: usize,
    received: Instant,
    /// A time not later than the start of the current lease.
    leased: Instant,
    is_due: bool,
}

/// A request to send, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Acknowledges messages.
    Acknowledge(Bytes),
    /// Returns messages for redelivery (nack).
    GiveBack(Bytes),
    /// Extends the leases of these responses.
    Extend(Vec<u64>, Vec<Bytes>),
}

/// Messages in one extension: the limit of a request is a thousand.
const EXTENDED_AT_ONCE: usize = 1_000;

impl Leases {
    pub(crate) fn new(subscription: &str, terms: Terms, streams: usize) -> Self {
        Self {
            subscription: subscription.to_owned(),
            terms,
            held: BTreeMap::new(),
            next: 0,
            outstanding: vec![0; streams],
            acknowledged: VecDeque::new(),
            given_back: VecDeque::new(),
            due: VecDeque::new(),
        }
    }

    /// Records a response and returns its number. `waited` is how long it may have been buffered before it was read.
    pub(crate) fn hold(&mut self, stream: usize, ids: AckIds, waited: Duration, now: Instant) -> u64 {
        self.outstanding[stream] += ids.len();
        let leased = now.checked_sub(waited).unwrap_or(now);
        let number = self.next;
        self.held.insert(number, Held { ids, stream, received: now, leased, is_due: false });
        self.next += 1;
        number
    }

    /// Acknowledges the messages of a response: their effect is durable.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        if let Some(ids) = self.release(number) {
            self.acknowledged.push_back(ids);
        }
    }

    /// Returns the messages of a response for redelivery.
    pub(crate) fn give_back(&mut self, number: u64) {
        if let Some(ids) = self.release(number) {
            self.given_back.push_back(ids);
        }
    }

    /// Marks the leases that are due: those of which two fifths have elapsed, so that there is time for more attempts
    /// if an extension fails. Responses that have been held for the total duration are released, and Pub/Sub redelivers
    /// them.
    pub(crate) fn look(&mut self, now: Instant) {
        let Terms { lease, longest } = self.terms;
        let expired: Vec<u64> =
            self.held.iter().filter(|(_, held)| now >= held.received + longest).map(|(n, _)| *n).collect();
        for number in expired {
            self.release(number);
        }
        for (number, held) in &mut self.held {
            if !held.is_due && now >= held.leased + lease * 2 / 5 {
                held.is_due = true;
                self.due.push_back(*number);
            }
        }
    }

    /// The next request to send, acknowledgements first; `None` if nothing waits.
    pub(crate) fn next(&mut self) -> Option<Work> {
        if let Some(request) = requests::acknowledge(&self.subscription, &mut self.acknowledged) {
            return Some(Work::Acknowledge(request));
        }
        if let Some(request) = requests::modify(&self.subscription, 0, &mut self.given_back) {
            return Some(Work::GiveBack(request));
        }
        self.next_extension()
    }

    fn next_extension(&mut self) -> Option<Work> {
        let (mut numbers, mut ids, mut count) = (Vec::new(), VecDeque::new(), 0);
        while count < EXTENDED_AT_ONCE
            && let Some(number) = self.due.pop_front()
        {
            // Acknowledged in the meantime, so its lease is not needed any longer.
            if let Some(held) = self.held.get(&number) {
                count += held.ids.len();
                numbers.push(number);
                ids.push_back(held.ids.clone());
            }
        }
        let seconds = u16::try_from(self.terms.lease.as_secs()).unwrap_or(u16::MAX);
        let requests: Vec<Bytes> =
            std::iter::from_fn(|| requests::modify(&self.subscription, seconds, &mut ids)).collect();
        (!numbers.is_empty()).then_some(Work::Extend(numbers, requests))
    }

    /// Records that an extension was sent at this time, or that it failed (`None`), which makes it due again.
    pub(crate) fn extended(&mut self, numbers: &[u64], sent: Option<Instant>) {
        for number in numbers {
            if let Some(held) = self.held.get_mut(number) {
                held.leased = sent.unwrap_or(held.leased);
                held.is_due = false;
            }
        }
    }

    /// Number of messages held for a stream.
    pub(crate) fn outstanding(&self, stream: usize) -> usize {
        self.outstanding[stream]
    }

    /// Whether nothing is held and nothing waits to be sent.
    pub(crate) fn is_settled(&self) -> bool {
        self.held.is_empty() && self.acknowledged.is_empty() && self.given_back.is_empty()
    }

    fn release(&mut self, number: u64) -> Option<AckIds> {
        let held = self.held.remove(&number)?;
        self.outstanding[held.stream] -= held.ids.len();
        Some(held.ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::tests::ids;

    const NONE: [u64; 0] = [];
    const TERMS: Terms = Terms { lease: Duration::from_secs(10), longest: Duration::from_secs(100) };

    struct Bench {
        leases: Leases,
        begin: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { leases: Leases::new("s", TERMS, 2), begin: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.begin + Duration::from_secs(seconds)
        }

        fn hold(&mut self, name: &str, seconds: u64) -> u64 {
            self.leases.hold(0, ids([name]), Duration::ZERO, self.at(seconds))
        }

        /// The numbers of the responses that are extended at this time.
        fn due(&mut self, seconds: u64) -> Vec<u64> {
            self.leases.look(self.at(seconds));
            match self.leases.next() {
                Some(Work::Extend(numbers, _)) => numbers,
                None => Vec::new(),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_lease_is_extended_repeatedly() {
        let mut bench = Bench::new();
        let (a, b) = (bench.hold("a", 0), bench.hold("b", 3));
        assert_eq!(bench.due(3), NONE);
        assert_eq!(bench.due(4), [a]);
        assert_eq!(bench.due(5), NONE, "it is on its way");
        bench.leases.extended(&[a], Some(bench.at(4)));
        assert_eq!(bench.due(7), [b]);
        bench.leases.extended(&[b], Some(bench.at(7)));
        assert_eq!(bench.due(8), [a]);
        bench.leases.extended(&[a], None);
        assert_eq!(bench.due(9), [a], "a failed extension is tried again");
    }

    /// Pub/Sub starts a lease when it sends the response, not when the client reads it.
    #[test]
    fn delayed_responses_are_extended_earlier() {
        let mut bench = Bench::new();
        let waited = Duration::from_secs(9);
        let now = bench.at(20);
        let number = bench.leases.hold(0, ids(["a"]), waited, now);
        assert_eq!(bench.due(20), [number]);
    }

    #[test]
    fn settled_messages_are_sent_once() {
        let mut bench = Bench::new();
        let (a, b, c) = (bench.hold("a", 0), bench.hold("b", 0), bench.hold("c", 0));
        bench.leases.look(bench.at(5));
        bench.leases.give_back(b);
        bench.leases.acknowledge(a);
        bench.leases.acknowledge(a);
        let acknowledged = requests::acknowledge("s", &mut [ids(["a"])].into()).expect("an id");
        assert_eq!(bench.leases.next(), Some(Work::Acknowledge(acknowledged)));
        let modified = |name, seconds| requests::modify("s", seconds, &mut [ids([name])].into());
        assert_eq!(bench.leases.next(), modified("b", 0).map(Work::GiveBack));
        assert_eq!(
            bench.leases.next(),
            modified("c", 10).map(|request| Work::Extend(vec![c], vec![request]))
        );
        assert_eq!(bench.leases.next(), None);
        assert!(!bench.leases.is_settled());
        bench.leases.acknowledge(c);
        assert!(!bench.leases.is_settled(), "the acknowledgement waits");
        bench.leases.next();
        assert!(bench.leases.is_settled());
    }

    #[test]
    fn messages_held_too_long_are_released() {
        let mut bench = Bench::new();
        let number = bench.hold("a", 0);
        bench.due(99);
        bench.leases.extended(&[number], Some(bench.at(99)));
        assert_eq!(bench.due(100), NONE);
        assert!(bench.leases.is_settled());
        bench.leases.acknowledge(number);
        assert_eq!(bench.leases.next(), None);
    }

    #[test]
    fn outstanding_messages_are_counted_by_stream() {
        let mut bench = Bench::new();
        let now = bench.at(0);
        let first = bench.leases.hold(0, ids(["a", "b"]), Duration::ZERO, now);
        bench.leases.hold(1, ids(["c"]), Duration::ZERO, now);
        assert_eq!((bench.leases.outstanding(0), bench.leases.outstanding(1)), (2, 1));
        bench.leases.acknowledge(first);
        assert_eq!((bench.leases.outstanding(0), bench.leases.outstanding(1)), (0, 1));
    }

    #[test]
    fn extensions_are_split() {
        let mut bench = Bench::new();
        let names = vec!["n"; 600];
        for _ in 0..5 {
            let now = bench.at(0);
            bench.leases.hold(0, ids(names.iter().copied()), Duration::ZERO, now);
        }
        assert_eq!(bench.due(4), [0, 1]);
        assert_eq!(bench.due(4), [2, 3]);
        assert_eq!(bench.due(4), [4]);
    }
}
