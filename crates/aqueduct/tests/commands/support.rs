//! A temporary directory for each test, and the program run in it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A flow by page, without its window, so that a test adds `window = ...` and other keys of the flow.
pub(crate) const FLOW: &str = r#"
[events]
time = "/time"
[[flows]]
name = "by_page"
by = { page = "/page" }
views = { "/type" = "view" }
clicks = { "/type" = "click" }
"#;

/// The directory of a test, in which the program runs.
pub(crate) struct Place {
    folder: TempDir,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Time limit of a run.
const DEADLINE: Duration = Duration::from_secs(60);

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A directory with a configuration.
    pub(crate) fn with(config: &str) -> Self {
        let place = Self::new();
        place.write("aqueduct.toml", config);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("room for a file");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("the file")
    }

    /// Runs `aqueduct` with these arguments, separated by spaces.
    pub(crate) fn run(&self, words: &str) -> Run {
        self.run_with(words, "")
    }

    /// As [`Self::run`], with standard input.
    pub(crate) fn run_with(&self, words: &str, input: impl AsRef<[u8]>) -> Run {
        self.write(".input", input);
        let input = File::open(self.path(".input")).expect("the file just written");
        ended(&self.command(words).stdin(input).output().expect("the program starts"))
    }

    /// Runs a shell command, with the program in PATH and the directory as HOME.
    pub(crate) fn shell(&self, line: &str) -> Run {
        let program = Path::new(env!("CARGO_BIN_EXE_aqueduct")).parent().expect("a program lies in a folder");
        let paths = std::env::var("PATH").unwrap_or_default();
        let mut command = self.of_this_place("sh");
        command.args(["-ec", line]).env("HOME", self.folder.path());
        command.env("PATH", format!("{}:{paths}", program.display())).stdin(Stdio::null());
        ended(&command.output().expect("a shell starts"))
    }

    /// Starts the program with its output in the files `.out` and `.err`.
    pub(crate) fn start(&self, words: &str) -> Running<'_> {
        let file = |name| File::create(self.path(name)).expect("room for a file");
        let mut command = self.command(words);
        command.stdin(Stdio::null()).stdout(file(".out")).stderr(file(".err"));
        Running { place: self, child: command.spawn().expect("the program starts") }
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = self.of_this_place(env!("CARGO_BIN_EXE_aqueduct"));
        command.args(words.split_whitespace());
        command
    }

    fn of_this_place(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
        let ours = |name: &str| name.starts_with("AQUEDUCT") || name == "PUBSUB_EMULATOR_HOST";
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(ours) {
                command.env_remove(name);
            }
        }
        command
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn ended(output: &Output) -> Run {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    Run { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A running program, killed when it is dropped.
pub(crate) struct Running<'a> {
    place: &'a Place,
    child: Child,
}

impl Running<'_> {
    /// Sends a signal: `TERM` or `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().expect("kill is there");
        assert!(status.success(), "{name} to {id}");
    }

    /// Waits until it exits.
    pub(crate) fn wait(mut self) -> Run {
        let code = until("the program ends", || self.child.try_wait().expect("it is our child")).code();
        let text = |name| String::from_utf8(self.place.read(name)).expect("text");
        Run { code, out: text(".out"), err: text(".err") }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may already have exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until the result is `Some`.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
