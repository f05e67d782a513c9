//! A child process whose output is kept, to be shown when a test fails and to be searched.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{http, wait};

/// A running command. Killed when it is dropped.
pub struct Process {
    name: String,
    child: Child,
    err: Arc<Mutex<String>>,
    out: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// The result of a command.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Process {
    /// Starts a command.
    ///
    /// # Errors
    /// The command cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let (out, err) = (Arc::default(), Arc::default());
        let stdout = child.stdout.take().context("standard output is piped")?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        let readers = vec![keep(stdout, &out), keep(stderr, &err)];
        Ok(Self { name: name.to_owned(), child, err, out, readers })
    }

    /// Standard error so far.
    pub fn err(&self) -> String {
        self.err.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Standard output so far.
    pub fn out(&self) -> String {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until its output contains this text.
    ///
    /// # Errors
    /// It exits without it, or takes too long.
    pub fn says(&mut self, text: &str) -> Result<()> {
        let what = format!("{} to say {text:?}", self.name);
        wait::until(&what, || {
            // Checked first: the output of an exited process is complete once its readers have ended.
            let ended = self.child.try_wait()?;
            if ended.is_some() {
                self.join_readers();
            }
            if self.err().contains(text) || self.out().contains(text) {
                return Ok(Some(()));
            }
            match ended {
                Some(status) => {
                    bail!("{} ended ({status}) and never said {text:?}:\n{}", self.name, self.err())
                }
                None => Ok(None),
            }
        })
    }

    /// The sum of a metric in `/metrics` over all label sets that contain `label`; 0 if there is none.
    ///
    /// # Errors
    /// It does not log its address, or does not respond.
    pub fn metric(&mut self, name: &str, label: &str) -> Result<u64> {
        let page = self.get("/metrics")?;
        let of_metric = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        let values = of_metric.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum::<f64>() as u64)
    }

    /// The response to GET at a path.
    ///
    /// # Errors
    /// It does not log its address, or the status is not 200.
    pub fn get(&mut self, path: &str) -> Result<String> {
        http::request(&self.address()?, "GET", path, None)
    }

    /// The response to PUT at a path.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn put(&mut self, path: &str) -> Result<String> {
        http::request(&self.address()?, "PUT", path, None)
    }

    /// The address that it listens on, `host:port`.
    ///
    /// # Errors
    /// It exits before it logs the address.
    pub fn address(&mut self) -> Result<String> {
        self.says("metrics and probes")?;
        let err = self.err();
        let line = err.lines().find(|line| line.contains("metrics and probes")).context("it said so")?;
        let address = line.split("address=").nth(1).context("the line has an address")?;
        Ok(address.split_whitespace().next().context("the address is a word")?.to_owned())
    }

    /// The address of a demo's page, `host:port`.
    ///
    /// # Errors
    /// It does not print the address.
    pub fn demo_address(&mut self) -> Result<String> {
        const BEFORE: &str = "live page: http://";
        self.says(BEFORE)?;
        let out = self.out();
        let address = out.split(BEFORE).nth(1).and_then(|rest| rest.split('/').next());
        Ok(address.context("it said so")?.to_owned())
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its peak memory in bytes.
    ///
    /// # Errors
    /// The system is not Linux, or the process has exited.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("Linux reports the peak")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The process has exited.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("{} cannot be sent {signal}", self.name))
    }

    /// Limits its file size in bytes, or removes the limit.
    ///
    /// # Errors
    /// The process has exited, or util-linux is not installed.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let pid = self.child.id().to_string();
        let arguments = ["--pid", &pid, &format!("--fsize={limit}:")];
        let ended = Command::new("prlimit").args(arguments).output().context("cannot run prlimit")?;
        ensure!(ended.status.success(), "prlimit: {}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    }

    /// Waits until it exits.
    ///
    /// # Errors
    /// It takes too long.
    pub fn ended(&mut self) -> Result<Ended> {
        let status: ExitStatus =
            wait::until(&format!("{} to end", self.name), || Ok(self.child.try_wait()?))?;
        self.join_readers();
        Ok(Ended { code: status.code(), out: self.out(), err: self.err() })
    }

    /// Its result, if it has exited.
    ///
    /// # Errors
    /// The status is unavailable.
    pub fn has_ended(&mut self) -> Result<Option<Ended>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        self.join_readers();
        Ok(Some(Ended { code: status.code(), out: self.out(), err: self.err() }))
    }

    /// Sends SIGTERM; it must exit with 0.
    ///
    /// # Errors
    /// It exits with another code, or takes too long.
    pub fn stop(&mut self) -> Result<Ended> {
        self.signal(Signal::SIGTERM)?;
        let ended = self.ended()?;
        ensure!(
            ended.code == Some(0),
            "{} ended with {:?} after SIGTERM:\n{}",
            self.name,
            ended.code,
            ended.err
        );
        Ok(ended)
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// It had already exited.
    pub fn kill(&mut self) -> Result<Ended> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} ended by itself ({ended:?}):\n{}", self.name, self.err());
        self.child.kill()?;
        self.ended()
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            // A reader that panicked keeps what it had read.
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if the process has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_readers();
        say(&format!("--- {}:\n{}\n", self.name, tail(&self.err())));
    }
}

/// Output of processes that were dropped, if it is kept ([`keep_words`]).
static KEPT: Mutex<Option<String>> = Mutex::new(None);

/// Keeps the output of dropped processes instead of printing it, and returns what was kept so far.
pub fn keep_words() -> Option<String> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).replace(String::new())
}

/// The test runner shows it only if the test fails.
#[expect(clippy::print_stderr, reason = "the log of a failed test")]
fn say(text: &str) {
    match KEPT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        Some(kept) => kept.push_str(text),
        None => eprint!("{text}"),
    }
}

fn tail(text: &str) -> String {
    const LINES: usize = 80;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn keep(stream: impl Read + Send + 'static, kept: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let kept = Arc::clone(kept);
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}
