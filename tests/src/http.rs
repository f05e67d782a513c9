//! One HTTP request at a time, by HTTP/1.0: the answer ends where the connection does.
//!
//! Not here: redirects, TLS, connections that are kept.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a request to `host:port` and returns the body of an answer of 200.
///
/// # Errors
/// Nobody answers, or another status comes; the error shows the body.
pub fn request(host: &str, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
    let context = || format!("{method} http://{host}{path}");
    let mut stream = TcpStream::connect(host).with_context(context)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(ToString::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(context)?;
    let answer = String::from_utf8(answer).with_context(context)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(context)?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("{}: {}: {body}", context(), head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// As [`request`], with JSON in the answer.
///
/// # Errors
/// As [`request`]; or the answer is no JSON.
pub fn json(host: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let text = request(host, method, path, body)?;
    serde_json::from_str(&text).with_context(|| format!("{method} http://{host}{path}: {text}"))
}
