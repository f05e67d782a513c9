//! Behaviour of a whole process: panics, signals and output streams. Each test starts itself again as a child,
//! controlled by a variable.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
};

use service::{LogFormat, shutdown, telemetry};

const ROLE: &str = "SERVICE_TEST_CHILD";

fn child(test: &str, variables: &[(&str, &str)]) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, "1")
        .env_remove("RUST_BACKTRACE")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child")
}

fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "\n{line}").expect("standard output");
}

fn wait_for(line: &str, output: &mut impl std::io::BufRead) {
    let said = output.lines().any(|said| said.expect("a line") == line);
    assert!(said, "the child ended before it said {line}");
}

fn signal(child: &Child, name: &str) {
    let status =
        Command::new("sh").args(["-c", &format!("kill {name} {}", child.id())]).status().expect("a shell");
    assert!(status.success(), "{status}");
}

#[test]
fn a_panic_is_logged_without_its_message() {
    if is_child() {
        telemetry::init(LogFormat::Json, &["process"], std::io::stderr).expect("telemetry");
        let user = "user-4711";
        let _ = std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || panic!("bad id {user}"))
            .map(|thread| thread.join());
        tracing::debug!("not shown");
        tracing::info!(target: "third_party", "not shown");
        tracing::info!(target: "process", "the end");
        return;
    }
    for (test_variables, shows_debug) in [(vec![], false), (vec![("AQUEDUCT_LOG", "debug")], true)] {
        let output = child("a_panic_is_logged_without_its_message", &test_variables)
            .wait_with_output()
            .expect("child");
        let errors = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success(), "{errors}");
        assert!(!errors.contains("4711"), "{errors}");
        assert!(errors.contains("\"at\":\"crates/service/tests/process.rs:"), "{errors}");
        assert!(errors.contains("\"thread\":\"worker\"") && errors.contains("withheld"), "{errors}");
        assert!(errors.lines().last().is_some_and(|line| line.contains("the end")), "{errors}");
        assert_eq!(errors.contains("not shown"), shows_debug, "{errors}");
        assert!(!errors.contains("third_party"), "{errors}");
        assert!(
            !String::from_utf8_lossy(&output.stdout).contains("the end"),
            "logs belong to standard error"
        );
    }
}

#[test]
fn logging_is_set_up_once() {
    if is_child() {
        telemetry::init(LogFormat::Json, &["process"], std::io::stderr).expect("the first");
        let second = telemetry::init(LogFormat::Text, &["process"], std::io::stderr)
            .expect_err("it is already set up");
        return say(&second.to_string());
    }
    let output = child("logging_is_set_up_once", &[]).wait_with_output().expect("child");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("\nlogging is already initialised in this process\n"), "{said}");
}

#[test]
fn the_first_signal_cancels_and_the_second_ends() {
    if is_child() {
        telemetry::init(LogFormat::Text, &["service"], std::io::stderr).expect("telemetry");
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        runtime.block_on(async {
            let token = shutdown::token().expect("handlers");
            say("ready");
            token.cancelled().await;
            say("cancelled");
            std::future::pending::<()>().await;
        });
    }
    for (first, second) in [("-TERM", "-INT"), ("-INT", "-TERM")] {
        let mut child = child("the_first_signal_cancels_and_the_second_ends", &[]);
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        wait_for("ready", &mut output);
        signal(&child, first);
        wait_for("cancelled", &mut output);
        signal(&child, second);
        assert_eq!(child.wait().expect("an end").code(), Some(shutdown::IMPATIENT_EXIT_CODE));
        let mut errors = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
        assert!(errors.contains("unfinished work will be repeated"), "{errors}");
        assert!(!errors.contains('\u{1b}'), "no colour off a terminal: {errors}");
    }
}
