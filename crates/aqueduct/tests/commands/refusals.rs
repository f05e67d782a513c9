//! Errors of services while a command runs, with stand-ins: the exit code, and the object in the error. See
//! [`crate::errors`] for errors before a command runs, and [`crate::refused_tables`] for tables in BigQuery.

use rdkafka::types::{RDKafkaApiKey as Request, RDKafkaRespErr as Answer};

use crate::{services::Services, support::Run};

/// A flow with very short windows.
pub(crate) const FLOW: &str = r#"
[events]
time = "/time"
[[flows]]
name = "box_ctr"
by = { page = "/page", box = "/box" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
window = { size = "1s" }
out_of_orderness = "0s"
allowed_lateness = "1s"
"#;

#[track_caller]
pub(crate) fn refused(run: &Run, names: &[&str]) {
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let output = format!("{}{}", run.out, run.err);
    for named in names {
        assert!(output.contains(named), "no {named:?} in\n{output}");
    }
}

pub(crate) fn done(services: &Services, commands: &[&str]) {
    for command in commands {
        let run = services.place.run(command);
        assert_eq!(run.code, Some(0), "{command}: {}{}", run.out, run.err);
    }
}

#[test]
fn kafka_errors_name_the_topic() {
    let services = Services::start();
    services.kafka.answer(Request::Produce, &[Answer::RD_KAFKA_RESP_ERR_POLICY_VIOLATION; 20]);
    refused(&services.place.run("generate --events 1"), &["topic events"]);
    services.stop();
    let services = Services::start();
    done(&services, &["generate --events 10 --rate 1000"]);
    services.kafka.answer(Request::Fetch, &[Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 20]);
    refused(&services.place.run("check --sample 10"), &["topic events"]);
    services.kafka.refuse("events", Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).expect("the topic");
    refused(&services.place.run("check"), &["FAILED", "topic events"]);
    services.stop();
}
