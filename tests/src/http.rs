//! One HTTP request per connection, with HTTP/1.0, so that no response is chunked; with 1.1 if a server requires it.
//!
//! No redirects, TLS, chunks or persistent connections.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// Sends a request to `host:port`, and returns the body of a response with 200.
///
/// # Errors
/// No response, or another status; the error shows the body.
pub fn request(host: &str, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
    by("1.0", host, method, path, body)
}

/// As [`json`], with HTTP/1.1, from a server that sends Content-Length.
///
/// # Errors
/// As [`json`].
pub fn json_by_1_1(host: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    parsed(&by("1.1", host, method, path, body)?, host, path)
}

fn by(version: &str, host: &str, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
    let context = || format!("{method} http://{host}{path}");
    let mut stream = TcpStream::connect(host).with_context(context)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(ToString::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let (head, body) = answer(BufReader::new(stream)).with_context(context)?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("{}: {}: {body}", context(), head.lines().next().unwrap_or_default());
    }
    Ok(body)
}

/// Head and body. The Pub/Sub emulator keeps the connection open; others omit Content-Length.
fn answer(mut stream: BufReader<TcpStream>) -> Result<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head)? > 0, "the answer ends in its head: {head:?}");
    }
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map(|(_, value)| value.trim().parse::<u64>()).next().transpose()?;
    let mut body = String::new();
    stream.take(length.unwrap_or(u64::MAX)).read_to_string(&mut body)?;
    Ok((head, body))
}

/// As [`request`], for a JSON response.
///
/// # Errors
/// As [`request`], or the response is not JSON.
pub fn json(host: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    parsed(&request(host, method, path, body)?, host, path)
}

fn parsed(text: &str, host: &str, path: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("http://{host}{path}: {text}"))
}
