//! The smallest valid section, for the error about a missing one.

/// What to add to the file.
pub(super) fn of(section: &str) -> &'static str {
    match section {
        "kafka" => KAFKA,
        "pubsub" => PUBSUB,
        "anonymise" => ANONYMISE,
        "events" => EVENTS,
        "flows" => FLOWS,
        "writer" => WRITER,
        _ => "",
    }
}

const KAFKA: &str = r#"[kafka]
bootstrap_servers = "localhost:9092"
topics = ["events"]
group_id = "aqueduct"
"#;

const PUBSUB: &str = r#"[pubsub]
project = "shop-analytics"
topic = "events"
subscription = "events-ctr"
"#;

const ANONYMISE: &str = r#"[anonymise]
pseudonymise = ["/user_id"]
forward = "all"
"#;

const EVENTS: &str = r#"[events]
time = "/time"
"#;

const FLOWS: &str = r#"[[flows]]
name = "box_ctr"
by = { page = "/page", box = "/box" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "10m", period = "1m" }
"#;

const WRITER: &str = r#"[writer]
kind = "sqlite"
path = "aqueduct.db"
"#;
