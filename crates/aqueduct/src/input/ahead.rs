//! Reads ahead in a separate thread: decompression in parallel with counting, and reads of standard input that can be
//! abandoned.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

const CHUNK: usize = 256 << 10;
/// Maximum number of buffered chunks.
const CHUNKS: usize = 4;
/// Interval at which the token is checked while nothing arrives.
const PATIENCE: Duration = Duration::from_millis(100);

/// The bytes of a reader that runs in a thread. The thread ends with its reader, or when a chunk is not
/// received any more. It is not joined, because a read of standard input cannot be interrupted.
#[derive(Debug)]
pub(super) struct Ahead {
    /// An empty chunk is the end.
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
    is_at_end: bool,
    stop: CancellationToken,
}

impl Ahead {
    /// Starts the thread.
    pub(super) fn new(source: impl Read + Send + 'static, stop: CancellationToken) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS);
        thread::Builder::new().name("aqueduct-input".to_owned()).spawn(move || run(source, &sender))?;
        Ok(Self { chunks, chunk: Vec::new(), at: 0, is_at_end: false, stop })
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.chunks.recv_timeout(PATIENCE) {
                Ok(chunk) => return chunk,
                Err(RecvTimeoutError::Timeout) if !self.stop.is_cancelled() => {}
                // Stopped; the reader checks the token before it reads on.
                Err(RecvTimeoutError::Timeout) => return Ok(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the thread that reads it panicked"));
                }
            }
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && !self.is_at_end {
            self.chunk = self.receive()?;
            self.at = 0;
            self.is_at_end = self.chunk.is_empty();
        }
        let length = out.len().min(self.chunk.len() - self.at);
        out[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn run(mut source: impl Read, chunks: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let chunk = match source.read(&mut chunk) {
            Ok(length) => {
                chunk.truncate(length);
                Ok(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = chunk.as_ref().map_or(true, Vec::is_empty);
        if chunks.send(chunk).is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_passed_through() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 7).map(|n| n as u8).collect();
        let mut ahead =
            Ahead::new(io::Cursor::new(bytes.clone()), CancellationToken::new()).expect("a thread");
        let mut read = Vec::new();
        ahead.read_to_end(&mut read).expect("memory");
        assert_eq!(read, bytes);
    }

    #[test]
    fn an_error_follows_the_data() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let source = io::Cursor::new(b"some").chain(Broken);
        let mut ahead = Ahead::new(source, CancellationToken::new()).expect("a thread");
        let mut read = Vec::new();
        assert_eq!(ahead.read_to_end(&mut read).expect_err("an error").to_string(), "broken");
        assert_eq!(read, b"some");
    }

    #[test]
    fn a_blocked_reader_does_not_delay_the_end() {
        let (_writer, reader) = {
            let (reader, writer) = io::pipe().expect("a pipe");
            (writer, reader)
        };
        let stop = CancellationToken::new();
        let mut ahead = Ahead::new(reader, stop.clone()).expect("a thread");
        stop.cancel();
        assert_eq!(ahead.read(&mut [0; 8]).expect("an end"), 0);
    }
}
