//! One subscription: which messages wait, which are leased to which stream until when, and which are acknowledged and
//! still kept.
//!
//! Pure: time (milliseconds since the epoch) and randomness are arguments. See [`super::broker`] for topics.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rustc_hash::FxHashMap;

/// Milliseconds since the epoch.
pub(super) type Millis = u64;

/// A message as a topic delivers it to its subscriptions.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) published: Millis,
    /// The encoded message, including its ID and publish time.
    pub(super) raw: Bytes,
}

/// A message that is delivered to a subscriber.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) lease: u64,
    pub(super) raw: Bytes,
}

/// The settings of a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) ack_deadline: Millis,
    pub(super) retain_acked: bool,
    pub(super) retention: Millis,
    /// How many bytes of messages are kept, including acknowledged ones.
    pub(super) capacity: usize,
}

/// The faults of deliveries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chaos {
    /// The share of deliveries that are followed by another one of the same message.
    pub(super) redeliver: f64,
    /// Messages are delivered in random order among this many.
    pub(super) reorder: usize,
}

/// What a stream asked for: how much it can hold at once (0 or less is unlimited), and for how long messages are leased to
/// it, in milliseconds (0 or less is the subscription's deadline).
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) messages: i64,
    pub(super) bytes: i64,
    pub(super) ack_deadline: i64,
}

/// How many messages of a subscription are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not acknowledged, and not leased.
    pub waiting: usize,
    /// Delivered, and neither acknowledged nor expired. A message that was delivered twice counts twice.
    pub leased: usize,
    /// Acknowledged since the start, each message once.
    pub acknowledged: u64,
    /// Deliveries since the start, including repeated ones.
    pub delivered: u64,
    /// Extensions of leases since the start.
    pub extended: u64,
    /// Open streams.
    pub streams: usize,
    /// Streams opened since the start.
    pub opened: u64,
}

#[derive(Debug)]
pub(super) struct Subscription {
    rules: Rules,
    /// All kept messages, in the order of publishing. The first has the number `base`.
    log: VecDeque<Entry>,
    base: u64,
    ready: VecDeque<Ready>,
    leases: FxHashMap<u64, Lease>,
    next_lease: u64,
    timers: BinaryHeap<Reverse<(Millis, Timer)>>,
    /// Acknowledged messages in the order of their acknowledgement. The first is the next to be deleted.
    acked: VecDeque<u64>,
    streams: HashMap<u64, Outstanding>,
    bytes: usize,
    unacked_bytes: usize,
    acknowledged: u64,
    delivered: u64,
    extended: u64,
    opened: u64,
    /// Bytes that Google would bill for publishing its messages.
    pub(super) billed: u64,
}

#[derive(Debug)]
struct Entry {
    published: Millis,
    /// Empty once the message is deleted.
    raw: Bytes,
    acked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ready {
    number: u64,
    /// Delivered even if the message is already acknowledged.
    echo: bool,
}

#[derive(Debug)]
struct Lease {
    number: u64,
    deadline: Millis,
    stream: u64,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Expire { lease: u64 },
    Echo { number: u64 },
}

#[derive(Debug)]
struct Outstanding {
    window: Window,
    messages: i64,
    bytes: i64,
}

/// Maximum size of the messages in one response, in bytes.
const RESPONSE_BYTES: usize = 4 << 20;
/// An echo is delivered within this time.
const ECHO_WITHIN: Millis = 2_000;

impl Subscription {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            log: VecDeque::new(),
            base: 0,
            ready: VecDeque::new(),
            leases: FxHashMap::default(),
            next_lease: 1,
            timers: BinaryHeap::new(),
            acked: VecDeque::new(),
            streams: HashMap::new(),
            bytes: 0,
            unacked_bytes: 0,
            acknowledged: 0,
            delivered: 0,
            extended: 0,
            opened: 0,
            billed: 0,
        }
    }

    /// Whether this many more bytes of messages can be kept until they are acknowledged.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.unacked_bytes + bytes <= self.rules.capacity
    }

    /// How many messages could be delivered now, including echoes of acknowledged ones.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn push(&mut self, message: Stored) {
        let number = self.base + self.log.len() as u64;
        self.bytes += message.raw.len();
        self.unacked_bytes += message.raw.len();
        self.log.push_back(Entry { published: message.published, raw: message.raw, acked: false });
        self.ready.push_back(Ready { number, echo: false });
    }

    pub(super) fn open_stream(&mut self, stream: u64, window: Window) {
        self.streams.insert(stream, Outstanding { window, messages: 0, bytes: 0 });
        self.opened += 1;
    }

    /// Its leases remain until they expire.
    pub(super) fn close_stream(&mut self, stream: u64) {
        self.streams.remove(&stream);
    }

    /// Leases up to `limit` waiting messages to a stream, as far as its window allows.
    pub(super) fn take(
        &mut self,
        stream: u64,
        limit: usize,
        now: Millis,
        (chaos, rng): (Chaos, &mut ChaCha8Rng),
    ) -> Vec<Delivery> {
        self.advance(now);
        let mut deliveries = Vec::new();
        let mut bytes = 0;
        while deliveries.len() < limit
            && bytes < RESPONSE_BYTES
            && self.streams.get(&stream).is_none_or(Outstanding::open)
        {
            let Some(ready) = self.next_ready(chaos.reorder, rng) else { break };
            let Some(raw) = self.deliverable(ready) else { continue };
            bytes += raw.len();
            let lease = self.lease(ready.number, stream, raw.len(), now);
            if chaos.redeliver > 0.0 && rng.random_bool(chaos.redeliver.min(0.9)) {
                let due = now + rng.random_range(0..ECHO_WITHIN);
                self.timers.push(Reverse((due, Timer::Echo { number: ready.number })));
            }
            deliveries.push(Delivery { lease, raw });
        }
        self.delivered += deliveries.len() as u64;
        deliveries
    }

    /// Acknowledging an expired lease has no effect.
    pub(super) fn ack(&mut self, lease: u64) {
        let Some(lease) = self.end_lease(lease) else { return };
        if self.mark_acked(lease.number) {
            self.acknowledged += 1;
        }
    }

    /// Sets the deadline of a lease; 0 seconds return the message.
    pub(super) fn extend(&mut self, id: u64, seconds: i32, now: Millis) {
        if seconds <= 0 {
            if let Some(lease) = self.end_lease(id) {
                self.ready.push_back(Ready { number: lease.number, echo: false });
            }
        } else if let Some(lease) = self.leases.get_mut(&id) {
            lease.deadline = now + u64::from(seconds.unsigned_abs()) * 1_000;
            self.extended += 1;
            self.timers.push(Reverse((lease.deadline, Timer::Expire { lease: id })));
        }
    }

    /// Advances the time: leases expire, echoes become deliverable, old messages are deleted.
    pub(super) fn advance(&mut self, now: Millis) {
        while let Some(&Reverse((due, timer))) = self.timers.peek()
            && due <= now
        {
            self.timers.pop();
            match timer {
                Timer::Expire { lease }
                    if self.leases.get(&lease).is_some_and(|lease| lease.deadline <= now) =>
                {
                    self.extend(lease, 0, now);
                }
                Timer::Expire { .. } => {}
                Timer::Echo { number } => self.ready.push_back(Ready { number, echo: true }),
            }
        }
        self.forget(now);
    }

    /// When [`advance`](Self::advance) has something to do next; `None` if nothing is scheduled.
    pub(super) fn next_due(&self) -> Option<Millis> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    /// Marks messages published before `time` as acknowledged, and all later ones that are still kept as
    /// unacknowledged.
    pub(super) fn seek(&mut self, time: Millis) {
        self.acked.clear();
        self.ready.clear();
        self.unacked_bytes = 0;
        let leased: std::collections::HashSet<u64> = self.leases.values().map(|lease| lease.number).collect();
        for (number, entry) in (self.base..).zip(&mut self.log) {
            entry.acked = entry.published < time || entry.raw.is_empty();
            if entry.acked {
                self.acked.push_back(number);
                continue;
            }
            self.unacked_bytes += entry.raw.len();
            if !leased.contains(&number) {
                self.ready.push_back(Ready { number, echo: false });
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            waiting: self
                .ready
                .iter()
                .filter(|ready| self.entry(ready.number).is_some_and(|e| !e.acked))
                .count(),
            leased: self.leases.len(),
            acknowledged: self.acknowledged,
            delivered: self.delivered,
            extended: self.extended,
            streams: self.streams.len(),
            opened: self.opened,
        }
    }

    /// How many messages the subscription has ever received.
    pub(super) fn received(&self) -> u64 {
        self.base + self.log.len() as u64
    }

    /// The kept messages, in the order of publishing.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Bytes> {
        self.log.iter().map(|entry| &entry.raw).filter(|raw| !raw.is_empty())
    }

    fn next_ready(&mut self, reorder: usize, rng: &mut ChaCha8Rng) -> Option<Ready> {
        let among = self.ready.len().min(reorder);
        if among > 1 {
            self.ready.swap(0, rng.random_range(0..among));
        }
        self.ready.pop_front()
    }

    fn deliverable(&self, ready: Ready) -> Option<Bytes> {
        let entry = self.entry(ready.number)?;
        (!entry.raw.is_empty() && (!entry.acked || ready.echo)).then(|| entry.raw.clone())
    }

    fn lease(&mut self, number: u64, stream: u64, bytes: usize, now: Millis) -> u64 {
        let id = self.next_lease;
        self.next_lease += 1;
        let of_stream = self.streams.get(&stream).map_or(0, |outstanding| outstanding.window.ack_deadline);
        let lease = Millis::try_from(of_stream).ok().filter(|lease| *lease > 0);
        let deadline = now + lease.unwrap_or(self.rules.ack_deadline);
        self.leases.insert(id, Lease { number, deadline, stream, bytes });
        self.timers.push(Reverse((deadline, Timer::Expire { lease: id })));
        if let Some(outstanding) = self.streams.get_mut(&stream) {
            outstanding.messages += 1;
            outstanding.bytes += bytes as i64;
        }
        id
    }

    fn end_lease(&mut self, id: u64) -> Option<Lease> {
        let lease = self.leases.remove(&id)?;
        if let Some(outstanding) = self.streams.get_mut(&lease.stream) {
            outstanding.messages -= 1;
            outstanding.bytes -= lease.bytes as i64;
        }
        Some(lease)
    }

    /// Marks a message as acknowledged; `false` if it already was, or is no longer kept.
    fn mark_acked(&mut self, number: u64) -> bool {
        let index = number.checked_sub(self.base).map(|index| index as usize);
        let Some(entry) = index.and_then(|index| self.log.get_mut(index)).filter(|entry| !entry.acked) else {
            return false;
        };
        entry.acked = true;
        self.unacked_bytes -= entry.raw.len();
        self.acked.push_back(number);
        true
    }

    /// Deletes messages past their retention, and acknowledged messages that need not or cannot be kept.
    fn forget(&mut self, now: Millis) {
        while let Some(&number) = self.acked.front()
            && (!self.rules.retain_acked || self.bytes > self.rules.capacity)
        {
            self.acked.pop_front();
            if let Some(entry) =
                number.checked_sub(self.base).and_then(|index| self.log.get_mut(index as usize))
            {
                self.bytes -= std::mem::take(&mut entry.raw).len();
            }
        }
        while let Some(entry) = self.log.front()
            && ((entry.acked && entry.raw.is_empty()) || entry.published + self.rules.retention < now)
        {
            self.bytes -= entry.raw.len();
            self.unacked_bytes -= if entry.acked { 0 } else { entry.raw.len() };
            self.log.pop_front();
            self.base += 1;
        }
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.log.get(usize::try_from(number.checked_sub(self.base)?).ok()?)
    }
}

impl Outstanding {
    fn open(&self) -> bool {
        let below = |used: i64, limit: i64| limit <= 0 || used < limit;
        below(self.messages, self.window.messages) && below(self.bytes, self.window.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    const RULES: Rules =
        Rules { ack_deadline: 10_000, retain_acked: true, retention: 1_000_000, capacity: 1_000 };
    const UNLIMITED: Window = Window { messages: 0, bytes: 0, ack_deadline: 0 };

    struct Bench {
        subscription: Subscription,
        chaos: Chaos,
        rng: ChaCha8Rng,
    }

    impl Bench {
        fn new(rules: Rules) -> Self {
            let mut subscription = Subscription::new(rules);
            subscription.open_stream(1, UNLIMITED);
            Self { subscription, chaos: Chaos::default(), rng: ChaCha8Rng::seed_from_u64(7) }
        }

        fn push(&mut self, names: impl IntoIterator<Item = u8>, published: Millis) {
            for name in names {
                self.subscription.push(Stored { published, raw: Bytes::from(vec![name; 10]) });
            }
        }

        fn take(&mut self, limit: usize, now: Millis) -> Vec<(u64, u8)> {
            let chance = (self.chaos, &mut self.rng);
            let deliveries = self.subscription.take(1, limit, now, chance);
            deliveries.iter().map(|delivery| (delivery.lease, delivery.raw[0])).collect()
        }

        fn names(&mut self, now: Millis) -> Vec<u8> {
            self.take(100, now).into_iter().map(|(_, name)| name).collect()
        }
    }

    #[test]
    fn a_stream_has_its_own_deadline() {
        let mut bench = Bench::new(RULES);
        bench.subscription.open_stream(1, Window { ack_deadline: 3_000, ..UNLIMITED });
        bench.push([1], 0);
        assert_eq!(bench.names(0), [1]);
        assert_eq!(bench.names(2_999), Vec::<u8>::new());
        assert_eq!(bench.names(3_000), [1]);
    }

    #[test]
    fn unacknowledged_messages_are_redelivered() {
        let mut bench = Bench::new(RULES);
        bench.push([1, 2, 3], 0);
        let leases = bench.take(100, 0);
        bench.subscription.ack(leases[0].0);
        bench.subscription.extend(leases[1].0, 60, 5_000);
        assert_eq!(bench.names(9_999), Vec::<u8>::new());
        assert_eq!(bench.names(10_000), [3]);
        assert_eq!(bench.names(64_999), [3]);
        assert_eq!(bench.names(65_000), [2]);
        bench.subscription.ack(leases[1].0);
        assert_eq!(bench.subscription.counts().acknowledged, 1);
    }

    #[test]
    fn seek_works_in_both_directions() {
        let mut bench = Bench::new(RULES);
        bench.push([1], 100);
        bench.push([2], 200);
        for (lease, _) in bench.take(100, 300) {
            bench.subscription.ack(lease);
        }
        bench.push([3], 300);
        bench.subscription.seek(200);
        assert_eq!(bench.names(300), [2, 3]);
        bench.subscription.seek(1_000);
        assert_eq!(bench.names(20_000), Vec::<u8>::new());
    }

    #[test]
    fn acknowledged_messages_are_deleted() {
        let mut forgetful = Bench::new(Rules { retain_acked: false, ..RULES });
        forgetful.push([1, 2], 0);
        let leases = forgetful.take(100, 0);
        forgetful.subscription.ack(leases[1].0);
        forgetful.subscription.advance(1);
        assert_eq!(forgetful.subscription.bytes, 10);
        assert_eq!(forgetful.subscription.kept().count(), 1);
        forgetful.subscription.ack(leases[0].0);
        forgetful.subscription.advance(1);
        assert!(forgetful.subscription.log.is_empty());
        assert_eq!(forgetful.subscription.received(), 2);

        let mut full = Bench::new(Rules { capacity: 30, ..RULES });
        full.push([1, 2, 3], 0);
        assert!(!full.subscription.has_room(1));
        let leases = full.take(100, 0);
        full.subscription.ack(leases[0].0);
        assert!(full.subscription.has_room(10));
        full.push([4], 0);
        full.subscription.advance(1);
        assert_eq!(full.subscription.bytes, 30);
        full.subscription.seek(0);
        assert_eq!(full.names(2), [4]);
    }

    #[test]
    fn retention_deletes_old_messages() {
        let mut bench = Bench::new(Rules { retention: 100, ..RULES });
        bench.push([1], 0);
        bench.push([2], 50);
        assert_eq!(bench.names(101), [2]);
        assert_eq!(bench.subscription.unacked_bytes, 10);
    }

    #[test]
    fn flow_control_bounds_a_stream() {
        let mut bench = Bench::new(RULES);
        bench.subscription.open_stream(1, Window { messages: 2, ..UNLIMITED });
        bench.push([1, 2, 3], 0);
        let leases = bench.take(100, 0);
        assert_eq!(leases.len(), 2);
        bench.subscription.ack(leases[0].0);
        assert_eq!(bench.names(0), [3]);
        bench.subscription.open_stream(1, Window { bytes: 15, ..UNLIMITED });
        bench.push([4, 5, 6], 0);
        assert_eq!(bench.names(0), [4, 5]);
    }

    proptest! {
        /// With any faults, every message is delivered, and a patient subscriber acknowledges all of them.
        #[test]
        fn nothing_is_lost(redeliver in 0.0f64..0.5, reorder in 0usize..20, seed: u64, skipped in 0.0f64..0.8) {
            let mut bench = Bench::new(RULES);
            bench.chaos = Chaos { redeliver, reorder };
            bench.rng = ChaCha8Rng::seed_from_u64(seed);
            bench.push(0..60, 0);
            let (mut now, mut seen) = (0, BTreeSet::new());
            while bench.subscription.counts().acknowledged < 60 {
                for (lease, name) in bench.take(7, now) {
                    seen.insert(name);
                    if !bench.rng.random_bool(skipped) {
                        bench.subscription.ack(lease);
                    }
                }
                now += 500;
                prop_assert!(now < 10_000_000);
            }
            prop_assert_eq!(seen.len(), 60);
            let counts = bench.subscription.counts();
            prop_assert_eq!(counts.waiting, 0);
            prop_assert!(redeliver > 0.0 || skipped > 0.0 || counts.delivered == 60);
            prop_assert_eq!(bench.subscription.unacked_bytes, 0);
        }
    }
}
