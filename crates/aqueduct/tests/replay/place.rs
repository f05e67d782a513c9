//! A directory with a configuration, in which the built program runs.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Place {
    folder: TempDir,
}

/// The result of a run.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

/// The last row of each flow, window and key: views, clicks, attributed clicks.
pub(crate) type Finals = BTreeMap<(String, String, Vec<Option<String>>), (u64, u64, u64)>;

impl Place {
    pub(crate) fn new(config: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        place.write("aqueduct.toml", config.as_bytes());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("room");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the file")
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// Runs `aqueduct` with these bytes on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("AQUEDUCT_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_vec();
        // A program that exits early closes its end.
        let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        writer.join().expect("the writer ends");
        Ran { code: status.code(), out: stdout, err: String::from_utf8(stderr).expect("UTF-8") }
    }

    /// Runs a replay that must succeed.
    pub(crate) fn replay(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(&[&["replay"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran
    }
}

/// JSON lines without the fields that differ between runs.
pub(crate) fn rows(bytes: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(bytes).expect("UTF-8").lines();
    let row = |line: &str| {
        assert!(line.starts_with("{\"flow\":"), "{line}");
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        row.as_object_mut().expect("an object").remove("emitted_at").expect("every row has it");
        row
    };
    lines.map(row).collect()
}

/// The last rows, by the values of these columns.
pub(crate) fn finals(rows: &[Value], columns: &[&str]) -> Finals {
    let mut finals = Finals::new();
    for row in rows {
        let text = |name: &str| row[name].as_str().expect("text").to_owned();
        let columns = columns.iter().filter(|column| row.get(**column).is_some());
        let key = columns.map(|column| row[*column].as_str().map(str::to_owned)).collect();
        let number = |name: &str| row.get(name).map_or(0, |number| number.as_u64().expect("a number"));
        let counts = (number("views"), number("clicks"), number("attributed_clicks"));
        finals.insert((text("flow"), text("window_start"), key), counts);
    }
    finals
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
