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
/// Maximum number of chunks that wait.
const CHUNKS: usize = 4;
/// Interval at which the token is checked while nothing arrives.
const PATIENCE: Duration = Duration::from_millis(100);

/// The bytes of a reader that runs in a thread. The thread ends with its reader, or when a chunk is not
/// received any more. It is not joined, because a read of standard input cannot be interrupted.
#[derive(Debug)]
pub(super) struct Ahead {
    /// An empty chunk is the end.
    chunks: Receiver<io::Result<Chunk>>,
    /// Memory for further chunks.
    spare: SyncSender<Vec<u8>>,
    chunk: Chunk,
    at: usize,
    is_at_end: bool,
    stop: CancellationToken,
}

/// Bytes that were read. Their memory is longer, so that it is initialised once.
#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    end: usize,
}

impl Ahead {
    /// Starts the thread.
    pub(super) fn new(source: impl Read + Send + 'static, stop: CancellationToken) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS);
        let (spare, spares) = sync_channel(CHUNKS);
        let run = move || run(source, &sender, &spares);
        thread::Builder::new().name("aqueduct-input".to_owned()).spawn(run)?;
        Ok(Self { chunks, spare, chunk: Chunk::default(), at: 0, is_at_end: false, stop })
    }

    fn receive(&mut self) -> io::Result<Chunk> {
        loop {
            match self.chunks.recv_timeout(PATIENCE) {
                Ok(chunk) => return chunk,
                Err(RecvTimeoutError::Timeout) if !self.stop.is_cancelled() => {}
                // Stopped; the reader checks the token before it reads on.
                Err(RecvTimeoutError::Timeout) => return Ok(Chunk::default()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the thread that reads it panicked"));
                }
            }
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.end && !self.is_at_end {
            let read = std::mem::take(&mut self.chunk);
            // Dropped if the thread has ended, or has enough.
            let _ = self.spare.try_send(read.bytes);
            self.at = 0;
            self.chunk = self.receive()?;
            self.is_at_end = self.chunk.end == 0;
        }
        let length = out.len().min(self.chunk.end - self.at);
        out[..length].copy_from_slice(&self.chunk.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn run(mut source: impl Read, chunks: &SyncSender<io::Result<Chunk>>, spares: &Receiver<Vec<u8>>) {
    loop {
        let mut bytes = spares.try_recv().unwrap_or_default();
        bytes.resize(CHUNK, 0);
        let chunk = match source.read(&mut bytes) {
            Ok(end) => Ok(Chunk { bytes, end }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = chunk.as_ref().map_or(true, |chunk| chunk.end == 0);
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
