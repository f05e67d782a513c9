//! `--kafka`, against rdkafka's mock cluster in this process.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::{
    flow,
    place::{Place, rows},
};

const PARTITIONS: i32 = 3;
const START: i64 = 1_760_000_000_000;

/// An event every second, over the partitions in turn; its Kafka timestamp is 90 seconds later.
fn payload(n: i64) -> Vec<u8> {
    let kind = if n % 4 == 0 { "click" } else { "view" };
    match n % 50 {
        7 => b"broken".to_vec(),
        _ => format!("{{\"time\":{},\"type\":\"{kind}\",\"page\":\"p{}\"}}", START + n * 1000, n % 2)
            .into_bytes(),
    }
}

fn fill(servers: &str, records: i64) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", servers).create().expect("a producer");
    for n in 0..records {
        let bytes = payload(n);
        let record = BaseRecord::<(), [u8]>::to("events")
            .partition((n % i64::from(PARTITIONS)) as i32)
            .timestamp(START + n * 1000 + 90_000)
            .payload(&bytes);
        producer.send(record).expect("room in the queue");
    }
    producer.flush(Duration::from_secs(30)).expect("the cluster takes them");
}

#[test]
fn topics_are_read_without_committing() {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic("events", PARTITIONS, 1).expect("a topic");
    let servers = cluster.bootstrap_servers();
    let records = 3_000;
    fill(&servers, records);
    let kafka =
        format!("[kafka]\nbootstrap_servers = \"{servers}\"\ntopics = [\"events\"]\ngroup_id = \"g\"\n");
    let patience = "out_of_orderness = \"0s\"\nallowed_lateness = \"0s\"";
    let by_event = flow("by_event", "page = \"/page\"", &format!("window = {{ size = \"1m\" }}\n{patience}"));
    let by_kafka = flow(
        "by_kafka",
        "page = \"/page\"",
        &format!("window = {{ size = \"1m\" }}\ntime = \"kafka\"\n{patience}"),
    );
    let place = Place::new(&format!("[events]\ntime = \"/time\"\n{kafka}{by_event}{by_kafka}"));
    let ran = place.replay(&["--kafka", "--final"]);
    let counted = format!("= {} counted + {} rejected\n", records - records / 50, records / 50);
    for name in ["by_event", "by_kafka"] {
        assert!(ran.err.contains(&format!("flow {name}: {records} {counted}")), "{}", ran.err);
    }
    assert!(!ran.err.contains("PartitionEOF"), "the end of a partition is no error: {}", ran.err);
    assert!(ran.err.contains("rejected 60: not-json (events[") && ran.err.contains("@"), "{}", ran.err);

    // The same events from files give the same rows.
    let files: Vec<String> = (0..PARTITIONS).map(|partition| format!("p{partition}")).collect();
    for (partition, name) in files.iter().enumerate() {
        let of_partition = (0..records).filter(|n| *n as usize % PARTITIONS as usize == partition);
        let lines: Vec<u8> = of_partition.flat_map(|n| [payload(n), b"\n".to_vec()].concat()).collect();
        place.write(name, &lines);
    }
    place.write("files.toml", format!("[events]\ntime = \"/time\"\n{by_event}").as_bytes());
    let names: Vec<&str> =
        ["--config", "files.toml", "--final"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let from_files = rows(&place.replay(&names).out);
    let from_kafka = rows(&ran.out);
    let own = |rows: &[serde_json::Value], name: &str| -> Vec<_> {
        let columns = ["page", "window_start", "views", "clicks"];
        let own = rows.iter().filter(|row| row["flow"] == name);
        own.map(|row| columns.map(|column| row[column].to_string())).collect()
    };
    assert_eq!(own(&from_kafka, "by_event"), own(&from_files, "by_event"));
    assert!(!own(&from_kafka, "by_kafka").is_empty());

    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .set("group.id", "g")
        .create()
        .expect("a consumer");
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_range("events", 0, PARTITIONS - 1);
    let committed = group.committed_offsets(list, Duration::from_secs(10)).expect("an answer");
    assert!(committed.elements().iter().all(|element| element.offset() == rdkafka::Offset::Invalid));
    drop(group.unassign());
}
