//! `check` validates with the code of the commands, reports all errors at once, and can be interrupted.

use std::net::TcpListener;

use crate::support::{FLOW, Place, until};

/// A flow with 1,200 windows for each event.
fn flow() -> String {
    format!("{FLOW}window = {{ size = \"20m\", period = \"1s\" }}\n")
}

/// It is too small for flow `by_page`.
#[test]
fn too_little_memory_for_a_key_is_rejected() {
    let place = Place::with(&format!("{}[state]\nmemory = \"10kB\"\n", flow()));
    let run = place.run("check --offline");
    assert_eq!(run.code, Some(2), "{}", run.out);
    assert!(run.err.starts_with("error: aqueduct.toml:11: state.memory: "), "{}", run.err);
    let place = Place::with(&format!("{}[state]\nmemory = \"10MB\"\n", flow()));
    assert_eq!(place.run("check --offline").code, Some(0));
}

#[test]
fn an_unwritable_directory_is_reported() {
    // Nothing can be created there, even by root.
    let place = Place::with(&format!("{}[writer]\nkind = \"sqlite\"\npath = \"/proc/rows.db\"\n", flow()));
    let run = place.run("check");
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let failed = run.out.lines().find(|line| line.starts_with("FAILED  SQLite file"));
    assert!(failed.is_some_and(|line| line.contains("/proc/rows.db")), "{}", run.out);
}

/// Listeners that accept connections and never respond.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

#[test]
fn check_names_silent_services_until_interrupted() {
    let ((_kafka, kafka), (_pubsub, pubsub)) = (silent(), silent());
    let config = format!(
        "[kafka]\nbootstrap_servers = \"{kafka}\"\ntopics = [\"t\"]\ngroup_id = \"g\"\n\
         [pubsub]\nproject = \"project\"\ntopic = \"topic\"\nemulator_host = \"{pubsub}\"\n"
    );
    let (place, patient) = (Place::with(&config), Place::with(&config));
    let (interrupted, other) = (place.start("check"), patient.start("check"));
    let said = || String::from_utf8(place.read(".err")).expect("text");
    let is_named = || said().contains("waiting for Kafka") && said().contains("waiting for Pub/Sub");
    until("what it waits for", || is_named().then_some(()));
    interrupted.signal("INT");
    let run = interrupted.wait();
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    // Without an interrupt both fail, in parallel.
    let run = other.wait();
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let failed = run.out.lines().filter(|line| line.starts_with("FAILED")).count();
    assert_eq!(failed, 2, "{}", run.out);
}

#[test]
fn each_service_has_its_own_port() {
    let place = Place::with(&format!(
        "[kafka]\nbootstrap_servers = \"127.0.0.1:1\"\ntopics = [\"t\"]\ngroup_id = \"g\"\n\
         [pubsub]\nproject = \"project\"\ntopic = \"topic\"\nsubscription = \"subscription\"\nemulator_host = \"127.0.0.1:1\"\n\
         [anonymise]\nforward = \"all\"\n[writer]\nkind = \"sqlite\"\npath = \"rows.db\"\n{}",
        flow()
    ));
    // A port may be in use by another program; then the address is in the error.
    for (part, address) in [("connector", "127.0.0.1:9464"), ("processor", "127.0.0.1:9465")] {
        let running = place.start(part);
        until(address, || String::from_utf8_lossy(&place.read(".err")).contains(address).then_some(()));
        running.signal("TERM");
        running.wait();
    }
}

#[test]
fn names_of_topics_that_are_not_read_are_warnings() {
    let place = Place::with(
        "[kafka]\nbootstrap_servers = \"localhost:9092\"\ntopics = [\"views\", \"clicks\"]\ngroup_id = \"g\"\n\
         [events]\ntime = \"/time\"\n[events.topics.clikcs]\nid = \"/id\"\n\
         [[flows]]\nname = \"f\"\nby = { page = \"/page\" }\nwindow = { size = \"1h\" }\n\
         views = { topic = \"viewz\" }\nclicks = { topic = \"clicks\" }\n",
    );
    let run = place.run("check --offline");
    let text = format!("{}{}", run.out, run.err);
    assert_eq!(run.code, Some(0), "{text}");
    for (line, name, nearest) in [(7, "clikcs", "clicks"), (13, "viewz", "views")] {
        let place = format!("aqueduct.toml:{line}: ");
        let warning =
            text.lines().find(|line| line.contains(&place)).unwrap_or_else(|| panic!("{place}: {text}"));
        assert!(warning.contains(name) && warning.contains(nearest), "{warning}");
    }
}

#[test]
fn brokers_have_a_host_and_a_port() {
    for (servers, is_valid) in [
        ("localhost:9092", true),
        ("a:1, b:65535", true),
        ("[::1]:9092", true),
        ("SSL://a:9093", true),
        ("localhost", false),
        ("localhost:99999", false),
        ("a:9092,b:0", false),
        (":9092", false),
    ] {
        let place = Place::with(&format!(
            "[kafka]\nbootstrap_servers = \"{servers}\"\ntopics = [\"events\"]\ngroup_id = \"g\"\n"
        ));
        let run = place.run("check --offline");
        let is_named = run.err.starts_with("error: aqueduct.toml:2: kafka.bootstrap_servers: ");
        assert_eq!((run.code == Some(2), is_named), (!is_valid, !is_valid), "{servers}: {}", run.err);
    }
}

#[test]
fn the_address_of_the_live_page_has_a_port() {
    for (listen, is_valid) in
        [("127.0.0.1:0", true), ("[::]:9464", true), ("localhost", false), ("a:70000", false)]
    {
        let place = Place::with(&format!("{}[service]\nlisten = \"{listen}\"\n", flow()));
        let run = place.run("check --offline");
        assert_eq!(run.code == Some(2), !is_valid, "{listen}: {}", run.err);
        assert_eq!(
            run.err.starts_with("error: aqueduct.toml:11: service.listen: "),
            !is_valid,
            "{}",
            run.err
        );
    }
}
