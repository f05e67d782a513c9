//! Records of a consumer, taken many with one call.
//!
//! rust-rdkafka takes them one by one: for each it reads several clocks and allocates an event. librdkafka's call for many
//! serves no rebalances, so records get a queue of their own, to which the queues of the partitions are forwarded. Everything
//! else stays in the queue that rust-rdkafka serves.

use std::{
    ffi::{CStr, CString},
    marker::PhantomData,
    ptr::{NonNull, null_mut},
    slice,
    time::Duration,
};

use rdkafka::{
    Message, Timestamp,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::{BorrowedHeaders, OwnedMessage},
    types::RDKafkaErrorCode,
};
use rdkafka_sys as sys;

use super::unwrapped::Owned;
use crate::TopicPartition;

/// The queue of a consumer's records. It must be dropped before its consumer.
pub(crate) struct RecordQueue {
    records: Owned<sys::rd_kafka_queue_t>,
    /// The queue that rust-rdkafka serves.
    others: Owned<sys::rd_kafka_queue_t>,
    /// Room for what one call takes; holds nothing between two calls.
    taken: [*mut sys::rd_kafka_message_t; BATCH],
}

/// Records that one call has taken, in their order. What is not read from it is dropped.
pub(crate) struct Batch<'q> {
    rest: &'q [*mut sys::rd_kafka_message_t],
}

/// One record. librdkafka has it back when it is dropped.
pub(crate) struct Taken<'q> {
    message: NonNull<sys::rd_kafka_message_t>,
    of: PhantomData<&'q RecordQueue>,
}

/// The most records that are taken with one call. librdkafka fetches others in their place.
const BATCH: usize = 64;

// SAFETY: librdkafka's queues may be used by any thread. The array holds nothing between two calls.
#[expect(unsafe_code, reason = "handles of librdkafka are pointers")]
unsafe impl Send for RecordQueue {}

impl RecordQueue {
    #[expect(unsafe_code, reason = "rust-rdkafka 0.39 does not wrap queues")]
    pub(crate) fn new<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Self {
        let client = consumer.client().native_ptr();
        // SAFETY: the client is live while it is borrowed. Both handles are references that are owned here.
        let [records, others] =
            unsafe { [sys::rd_kafka_queue_new(client), sys::rd_kafka_queue_get_consumer(client)] };
        let owned = |queue| Owned::new(queue, sys::rd_kafka_queue_destroy);
        Self { records: owned(records), others: owned(others), taken: [null_mut(); BATCH] }
    }

    /// Forwards the records of partitions to this queue, those too that were fetched already and not taken. librdkafka ends
    /// this when it stops fetching a partition, at some time after the call that stops it, so it is to be repeated.
    #[expect(unsafe_code, reason = "rust-rdkafka 0.39 does not forward a partition to another queue")]
    pub(crate) fn forward<'p, C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partitions: impl IntoIterator<Item = &'p TopicPartition>,
    ) {
        let client = consumer.client().native_ptr();
        for (topic, partition) in partitions {
            let topic = CString::new(&**topic).expect("topic names are validated and contain no NUL");
            // SAFETY: the client is live while it is borrowed, and the name outlives the call. The partition's queue is a
            // reference that is owned here, or null; forwarding keeps references of its own.
            unsafe {
                let queue = sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), *partition);
                let queue = Owned::new(queue, sys::rd_kafka_queue_destroy);
                if !queue.get().is_null() {
                    sys::rd_kafka_queue_forward(queue.get(), self.records.get());
                }
            }
        }
    }

    /// Whether rust-rdkafka's queue is empty. Records in it are older than those in this one.
    #[expect(unsafe_code, reason = "rust-rdkafka 0.39 does not wrap queues")]
    pub(crate) fn is_first(&self) -> bool {
        // SAFETY: the handle is live until it is dropped.
        unsafe { sys::rd_kafka_queue_length(self.others.get()) == 0 }
    }

    /// What has been fetched, up to a limit; waits for the first record only.
    pub(crate) fn take(&mut self, wait: Duration) -> Batch<'_> {
        let mut count = self.consume(0, BATCH, Duration::ZERO);
        if count == 0 && !wait.is_zero() {
            count = self.consume(0, 1, wait);
            if count > 0 {
                count += self.consume(1, BATCH - 1, Duration::ZERO);
            }
        }
        Batch { rest: &self.taken[..count] }
    }

    /// Takes up to `most` records into the array, from index `from` on. Waits until it has all of them, or for `wait`.
    #[expect(unsafe_code, reason = "rust-rdkafka 0.39 takes records one by one")]
    fn consume(&mut self, from: usize, most: usize, wait: Duration) -> usize {
        let room = &mut self.taken[from..from + most];
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the handle is live until it is dropped, and there is room for as many pointers as are asked for. Each one
        // that is returned is owned by the caller: `Batch` takes care of them.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.records.get(), millis, room.as_mut_ptr(), room.len())
        };
        // An error would be -1. There is none for a queue.
        usize::try_from(count).unwrap_or(0)
    }
}

impl<'q> Iterator for Batch<'q> {
    type Item = Taken<'q>;

    fn next(&mut self) -> Option<Taken<'q>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        let message = NonNull::new(*first).expect("librdkafka returns records");
        Some(Taken { message, of: PhantomData })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl Taken<'_> {
    /// The error that is in the place of a record.
    pub(crate) fn error(&self) -> Option<KafkaError> {
        let code = RDKafkaErrorCode::from(self.fields().err);
        (code != RDKafkaErrorCode::NoError).then_some(KafkaError::MessageConsumption(code))
    }

    /// A copy that outlives the consumer.
    pub(crate) fn detach(&self) -> OwnedMessage {
        OwnedMessage::new(
            self.payload().map(<[u8]>::to_vec),
            self.key().map(<[u8]>::to_vec),
            self.topic().to_owned(),
            self.timestamp(),
            self.partition(),
            self.offset(),
            self.headers().map(BorrowedHeaders::detach),
        )
    }

    #[expect(unsafe_code, reason = "reads a record of librdkafka")]
    fn fields(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the record is owned by this value and live until it is dropped.
        unsafe { self.message.as_ref() }
    }
}

impl Drop for Taken<'_> {
    #[expect(unsafe_code, reason = "returns a record to librdkafka")]
    fn drop(&mut self) {
        // SAFETY: the record is owned by this value, and is not used again.
        unsafe { sys::rd_kafka_message_destroy(self.message.as_ptr()) };
    }
}

#[expect(unsafe_code, reason = "reads a record of librdkafka")]
impl Message for Taken<'_> {
    type Headers = BorrowedHeaders;

    fn key(&self) -> Option<&[u8]> {
        let fields = self.fields();
        // SAFETY: the key is null or has this length, and lives as long as the record.
        unsafe { bytes(fields.key.cast(), fields.key_len) }
    }

    fn payload(&self) -> Option<&[u8]> {
        let fields = self.fields();
        // SAFETY: the value is null or has this length, and lives as long as the record.
        unsafe { bytes(fields.payload.cast(), fields.len) }
    }

    /// Records are not changed.
    unsafe fn payload_mut(&mut self) -> Option<&mut [u8]> {
        None
    }

    fn topic(&self) -> &str {
        // SAFETY: a record that is not an error has a topic, whose name is NUL-terminated and lives as long as the record.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.fields().rkt)) };
        name.to_str().expect("topic names are ASCII")
    }

    fn partition(&self) -> i32 {
        self.fields().partition
    }

    fn offset(&self) -> i64 {
        self.fields().offset
    }

    fn timestamp(&self) -> Timestamp {
        use sys::rd_kafka_timestamp_type_t as Kind;
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the record is live, and the kind is written during the call.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        match kind {
            Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME if millis != -1 => Timestamp::CreateTime(millis),
            Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME if millis != -1 => Timestamp::LogAppendTime(millis),
            _ => Timestamp::NotAvailable,
        }
    }

    fn headers(&self) -> Option<&BorrowedHeaders> {
        let mut headers = null_mut();
        // SAFETY: the record is live. Its headers belong to it; rust-rdkafka's type is the place where librdkafka has them,
        // and is never read or moved itself.
        unsafe {
            let code = sys::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers);
            match RDKafkaErrorCode::from(code) {
                RDKafkaErrorCode::NoError => headers.cast::<BorrowedHeaders>().as_ref(),
                _ => None,
            }
        }
    }
}

#[expect(unsafe_code, reason = "reads bytes of librdkafka")]
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller passes null, or the start of `length` bytes that live long enough.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}
