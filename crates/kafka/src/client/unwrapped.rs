//! Functions that rust-rdkafka does not wrap: the IDs of topics, the assignments of a consumer group, the metadata of
//! committed offsets as bytes, commits that are answered later or within a time, adding brokers to a client, and headers
//! with any name.
//!
//! Only this module and [`super::taken`] have unsafe code. Each function takes a safe handle that outlives the call, and
//! copies what it returns.

use std::{
    ffi::{CStr, CString, c_char},
    ptr::NonNull,
    slice,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    TopicPartitionList,
    client::{Client, ClientContext},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::BorrowedHeaders,
    types::RDKafkaErrorCode,
};
use rdkafka_sys as sys;

use crate::{
    TopicPartition,
    group::{fit::Group, start::NO_TOPIC_ID},
};

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Its name.
    pub name: String,
    /// Its ID in base64; [`NO_TOPIC_ID`] if the brokers give none.
    pub id: String,
    /// How many partitions it has.
    pub partitions: i32,
}

/// Describes topics. Each one may fail separately, for example if it does not exist.
#[expect(
    unsafe_code,
    reason = "rust-rdkafka 0.39 does not wrap DescribeTopics, the only call that returns topic IDs"
)]
pub(crate) fn topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Result<Topic, RDKafkaErrorCode>>, RDKafkaErrorCode> {
    let Some(first) = names.first() else { return Ok(Vec::new()) };
    let broker = any_broker(client, first, timeout)?;
    let names: Vec<CString> = names
        .iter()
        .map(|name| CString::new(*name).expect("topic names are validated and contain no NUL"))
        .collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let handle = client.native_ptr();
    // SAFETY: `handle` is a live client for as long as `client` is borrowed. The names outlive the collection, which
    // copies them. Queue, collection, options and event are owned here and destroyed by their guards, the event
    // before the queue. A null event is a timeout.
    unsafe {
        let queue = Owned::new(sys::rd_kafka_queue_new(handle), sys::rd_kafka_queue_destroy);
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let collection = Owned::new(collection, sys::rd_kafka_TopicCollection_destroy);
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options =
            Owned::new(sys::rd_kafka_AdminOptions_new(handle, operation), sys::rd_kafka_AdminOptions_destroy);
        let mut text: [c_char; 256] = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(options.get(), millis, text.as_mut_ptr(), text.len());
        sys::rd_kafka_AdminOptions_set_broker(options.get(), broker, text.as_mut_ptr(), text.len());
        sys::rd_kafka_DescribeTopics(handle, collection.get(), options.get(), queue.get());
        let event = sys::rd_kafka_queue_poll(queue.get(), millis.saturating_add(1_000));
        let Some(event) = NonNull::new(event) else { return Err(RDKafkaErrorCode::OperationTimedOut) };
        let event = Owned::new(event.as_ptr(), sys::rd_kafka_event_destroy);
        let code = RDKafkaErrorCode::from(sys::rd_kafka_event_error(event.get()));
        if code != RDKafkaErrorCode::NoError {
            return Err(code);
        }
        Ok(described(event.get()))
    }
}

/// The names and values of headers. rust-rdkafka 0.39 panics at a name that is not UTF-8.
#[expect(unsafe_code, reason = "reads the names of headers as bytes")]
pub(crate) fn headers(headers: &BorrowedHeaders) -> impl Iterator<Item = (&CStr, Option<&[u8]>)> {
    let native = std::ptr::from_ref(headers).cast::<sys::rd_kafka_headers_t>();
    // SAFETY: rust-rdkafka makes a reference to `BorrowedHeaders` of librdkafka's pointer, and reads it back in the same
    // way. The headers live as long as the reference, and nothing changes them meanwhile.
    let count = unsafe { sys::rd_kafka_header_cnt(native) };
    (0..count).map_while(move |index| {
        let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: As above; the three results belong to the headers, the name ends with NUL, and a value that is not null
        // has `size` bytes.
        unsafe {
            let code =
                sys::rd_kafka_header_get_all(native, index, &raw mut name, &raw mut value, &raw mut size);
            if RDKafkaErrorCode::from(code) != RDKafkaErrorCode::NoError {
                return None;
            }
            let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), size));
            Some((CStr::from_ptr(name), value))
        }
    })
}

/// A broker that answers. By default librdkafka would ask the controller, which not every cluster names.
fn any_broker<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<i32, RDKafkaErrorCode> {
    let failed = |error: KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
    let metadata = client.fetch_metadata(Some(topic), timeout).map_err(failed)?;
    let ids = || metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id);
    let answered = metadata.orig_broker_id();
    ids().find(|id| *id == answered).or_else(|| ids().next()).ok_or(RDKafkaErrorCode::UnknownBroker)
}

/// Copies the descriptions out of a result.
#[expect(unsafe_code, reason = "reads the result of DescribeTopics")]
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> Vec<Result<Topic, RDKafkaErrorCode>> {
    // SAFETY: the caller holds the event of a successful DescribeTopics; the descriptions belong to it and are only
    // read, and every text is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        (0..count).map(|n| described_topic(*descriptions.add(n))).collect()
    }
}

#[expect(unsafe_code, reason = "reads one description of DescribeTopics")]
unsafe fn described_topic(topic: *const sys::rd_kafka_TopicDescription_t) -> Result<Topic, RDKafkaErrorCode> {
    // SAFETY: the caller holds the event that this description belongs to; name and id are NUL-terminated texts of it.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let code = RDKafkaErrorCode::from(sys::rd_kafka_error_code(error));
        if code != RDKafkaErrorCode::NoError {
            return Err(code);
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let id = sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(topic));
        Ok(Topic {
            name: copied(sys::rd_kafka_TopicDescription_name(topic)),
            id: topic_id(&copied(id)),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        })
    }
}

/// Describes a consumer group: its members and their partitions.
///
/// Queries every broker, because only the coordinator knows the group. `rd_kafka_DescribeConsumerGroups` queries the
/// coordinator alone, but librdkafka aborts the process when that connection is lost at the wrong moment (librdkafka
/// issue 4605), as with every request of its admin interface that goes to a coordinator.
#[expect(unsafe_code, reason = "rust-rdkafka 0.39 panics on a group or member without content")]
pub(crate) fn group<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> Result<Group, RDKafkaErrorCode> {
    let name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut list: *const sys::rd_kafka_group_list = std::ptr::null();
    // SAFETY: the client is live while it is borrowed, and the name outlives the call. The list is null or owned here,
    // and is destroyed by its guard after everything has been copied.
    unsafe {
        let code = sys::rd_kafka_list_groups(client.native_ptr(), name.as_ptr(), &raw mut list, millis);
        let list = Owned::new(list.cast_mut(), destroy_group_list);
        match RDKafkaErrorCode::from(code) {
            // Another broker did not answer in time.
            RDKafkaErrorCode::NoError | RDKafkaErrorCode::Partial => {}
            code => return Err(code),
        }
        let Some(groups) = list.get().as_ref() else { return Ok(Group::default()) };
        let found = if groups.group_cnt > 0 { groups.groups.as_ref() } else { None };
        found.map_or_else(|| Ok(Group::default()), |group| described_group(group))
    }
}

#[expect(unsafe_code, reason = "the guard's destructor takes a raw pointer")]
unsafe extern "C" fn destroy_group_list(list: *mut sys::rd_kafka_group_list) {
    // SAFETY: the guard passes the list that rd_kafka_list_groups made, once.
    unsafe { sys::rd_kafka_group_list_destroy(list) };
}

#[expect(unsafe_code, reason = "reads one description of rd_kafka_list_groups")]
unsafe fn described_group(group: &sys::rd_kafka_group_info) -> Result<Group, RDKafkaErrorCode> {
    let code = RDKafkaErrorCode::from(group.err);
    if code != RDKafkaErrorCode::NoError {
        return Err(code);
    }
    // SAFETY: the caller holds the list that this description belongs to. Its members are an array of `member_cnt`, and
    // their assignments have the length in the field beside them; both may be null when they are empty.
    unsafe {
        let mut found = Group { is_stable: copied(group.state) == "Stable", ..Group::default() };
        if group.members.is_null() {
            return Ok(found);
        }
        let count = usize::try_from(group.member_cnt).unwrap_or(0);
        for member in slice::from_raw_parts(group.members, count) {
            found.instances.extend(instance(&copied(member.member_id)));
            found.clients.push(copied(member.client_id));
            if member.member_assignment.is_null() {
                continue;
            }
            let size = usize::try_from(member.member_assignment_size).unwrap_or(0);
            let bytes = slice::from_raw_parts(member.member_assignment.cast::<u8>(), size);
            found.assigned.extend(assigned(bytes).ok_or(RDKafkaErrorCode::BadMessage)?);
        }
        Ok(found)
    }
}

/// The name of a static member: the coordinator gives it an id of its name, a hyphen and a UUID. A regular member's id
/// begins with its `client.id` instead.
fn instance(member: &str) -> Option<String> {
    const UUID: usize = 36;
    let (name, uuid) = member.split_at_checked(member.len().checked_sub(UUID)?)?;
    let is_uuid = uuid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    name.strip_suffix('-').filter(|_| is_uuid).map(str::to_owned)
}

/// The partitions of an assignment in the encoding of Kafka's consumer protocol: a version, topics with their
/// partitions, and data that only the assignor reads. `None` if it is malformed.
fn assigned(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let (_version, mut rest) = bytes.split_first_chunk::<2>()?;
    let mut places = Vec::new();
    for _ in 0..int(&mut rest)? {
        let (size, after) = rest.split_first_chunk::<2>()?;
        let (topic, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        let topic: Arc<str> = std::str::from_utf8(topic).ok()?.into();
        rest = after;
        for _ in 0..int(&mut rest)? {
            places.push((Arc::clone(&topic), int(&mut rest)?));
        }
    }
    Some(places)
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (int, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*int))
}

/// The metadata of the n-th offset of a list. rust-rdkafka's own accessor panics on what is not UTF-8.
#[expect(unsafe_code, reason = "rust-rdkafka panics on metadata that is not UTF-8")]
pub(crate) fn metadata(offsets: &TopicPartitionList, n: usize) -> Vec<u8> {
    assert!(n < offsets.count(), "the offset is one of the list");
    // SAFETY: the list is live while it is borrowed, `n` is below its count, and the metadata is `metadata_size` bytes
    // long or null.
    unsafe {
        let element = &*(*offsets.ptr()).elems.add(n);
        if element.metadata.is_null() {
            return Vec::new();
        }
        slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size).to_vec()
    }
}

/// Commits without waiting. The consumer's commit callback receives the answer.
#[expect(unsafe_code, reason = "rust-rdkafka's asynchronous commit is never answered")]
pub(crate) fn commit_later<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    let handle = consumer.client().native_ptr();
    // SAFETY: the client is live while it is borrowed; the list is copied by the call; the queue is a new reference to
    // the consumer's own, and given back. Without a callback the answer is an event of that queue.
    let answer = unsafe {
        let queue = Owned::new(sys::rd_kafka_queue_get_consumer(handle), sys::rd_kafka_queue_destroy);
        sys::rd_kafka_commit_queue(handle, offsets.ptr(), queue.get(), None, std::ptr::null_mut())
    };
    match RDKafkaErrorCode::from(answer) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code),
    }
}

/// Commits, and waits this long for the answer. librdkafka's own call waits without a limit while the coordinator keeps
/// the connection open and is silent. An answer that arrives later is dropped.
#[expect(unsafe_code, reason = "rust-rdkafka's synchronous commit takes no timeout")]
pub(crate) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
    timeout: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let handle = consumer.client().native_ptr();
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is live while it is borrowed; the list is copied by the call. Queue and event are owned here
    // and destroyed by their guards, the event before the queue. The list of an event belongs to it and is only read.
    unsafe {
        let queue = Owned::new(sys::rd_kafka_queue_new(handle), sys::rd_kafka_queue_destroy);
        let code = sys::rd_kafka_commit_queue(handle, offsets.ptr(), queue.get(), None, std::ptr::null_mut());
        let code = RDKafkaErrorCode::from(code);
        if code != RDKafkaErrorCode::NoError {
            return Err(code);
        }
        let event = sys::rd_kafka_queue_poll(queue.get(), millis);
        let Some(event) = NonNull::new(event) else { return Err(RDKafkaErrorCode::OperationTimedOut) };
        let event = Owned::new(event.as_ptr(), sys::rd_kafka_event_destroy);
        let mut codes = vec![sys::rd_kafka_event_error(event.get())];
        if let Some(list) = sys::rd_kafka_event_topic_partition_list(event.get()).as_ref()
            && !list.elems.is_null()
        {
            let count = usize::try_from(list.cnt).unwrap_or(0);
            codes.extend(slice::from_raw_parts(list.elems, count).iter().map(|element| element.err));
        }
        let failed = |code: &RDKafkaErrorCode| *code != RDKafkaErrorCode::NoError;
        codes.into_iter().map(RDKafkaErrorCode::from).find(failed).map_or(Ok(()), Err)
    }
}

/// Adds brokers to a client, as `host:port` separated by commas. Existing ones are kept.
#[expect(unsafe_code, reason = "rust-rdkafka 0.39 does not wrap rd_kafka_brokers_add")]
pub(crate) fn add_brokers<C: ClientContext>(client: &Client<C>, servers: &str) {
    let Ok(servers) = CString::new(servers) else { return };
    // SAFETY: the client is live while it is borrowed; the text is copied by the call, which is allowed on any thread.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
}

/// librdkafka writes base64 without padding; brokers without topic IDs answer with zeros, or nothing.
fn topic_id(text: &str) -> String {
    let text = text.trim_end_matches('=');
    if text.len() == NO_TOPIC_ID.len() { text.to_owned() } else { NO_TOPIC_ID.to_owned() }
}

#[expect(unsafe_code, reason = "copies a C string")]
unsafe fn copied(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller passes a NUL-terminated text that lives during the call.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A handle of librdkafka that is destroyed at the end of its scope.
pub(super) struct Owned<T> {
    handle: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    pub(super) fn new(handle: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Self {
        Self { handle, destroy }
    }

    pub(super) fn get(&self) -> *mut T {
        self.handle
    }
}

impl<T> Drop for Owned<T> {
    #[expect(unsafe_code, reason = "returns a handle to librdkafka")]
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle was created by the constructor that belongs to this destructor, and is not used again.
            unsafe { (self.destroy)(self.handle) }
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{
        ClientConfig,
        message::{Header, OwnedHeaders},
        mocking::MockCluster,
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    #[test]
    fn a_missing_topic_is_an_error() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("events", 3, 1).expect("a topic");
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .expect("a client");
        let mut found = topics(client.client(), &["events"], TIMEOUT).expect("the mock answers");
        let topic = found.pop().expect("one answer").expect("it exists");
        assert_eq!((topic.name.as_str(), topic.partitions), ("events", 3));
        assert_eq!(topic.id.len(), NO_TOPIC_ID.len());
        assert_ne!(topic.id, NO_TOPIC_ID);
        let missing = topics(client.client(), &["missing"], TIMEOUT).expect("the mock answers");
        assert_eq!(missing, [Err(RDKafkaErrorCode::UnknownTopicOrPartition)]);
    }

    #[test]
    #[expect(unsafe_code, reason = "the safe interface takes no such name")]
    fn a_header_can_have_any_name() {
        let owned = OwnedHeaders::new().insert(Header { key: "a", value: Some("1") });
        let owned = owned.insert(Header { key: "null", value: None::<&str> });
        let native = std::ptr::from_ref(owned.as_borrowed()).cast_mut().cast::<sys::rd_kafka_headers_t>();
        // SAFETY: `native` is the pointer that `owned` holds; librdkafka copies the name and the value.
        let code = unsafe { sys::rd_kafka_header_add(native, c"\xffb".as_ptr(), 2, c"x".as_ptr().cast(), 1) };
        assert_eq!(RDKafkaErrorCode::from(code), RDKafkaErrorCode::NoError);
        let found: Vec<_> = headers(owned.as_borrowed()).collect();
        assert_eq!(found, [(c"a", Some(&b"1"[..])), (c"null", None), (c"\xffb", Some(&b"x"[..]))]);
    }

    #[test]
    fn a_truncated_assignment_is_not_decoded() {
        let bytes = b"\0\x03\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x05\0\x02bc\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff";
        let places = [("a".into(), 0), ("a".into(), 5), ("bc".into(), 1)];
        assert_eq!(assigned(bytes).as_deref(), Some(&places[..]));
        // The last four bytes say that the assignor has no data.
        for size in 0..bytes.len() - 4 {
            assert_eq!(assigned(&bytes[..size]), None, "{size} bytes");
        }
    }

    #[test]
    fn a_member_id_contains_the_static_name() {
        let uuid = "0d0a7d3e-63b4-4a8c-9f5e-0f6f6f1c2a3b";
        assert_eq!(instance(&format!("shop-0-{uuid}")).as_deref(), Some("shop-0"));
        for other in [uuid.to_owned(), format!("shop{uuid}"), "shop-0".to_owned(), format!("ü{uuid}")] {
            assert_eq!(instance(&other), None, "{other}");
        }
    }
}
