//! A file or standard input, decompressed according to its first bytes.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, bail};
use codec::{Schema, avro::container};
use flate2::bufread::MultiGzDecoder;
use tokio_util::sync::CancellationToken;

use super::{
    ahead::Ahead,
    events::Events,
    lines::{Block, Blocks},
};

/// One source of lines.
pub(crate) struct Input {
    name: String,
    size: Option<u64>,
    read: Arc<AtomicU64>,
    content: Content,
}

/// What is in a file.
enum Content {
    Lines(Blocks<Box<dyn Read + Send>>),
    Events(Events<Box<dyn Read + Send>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const MAGIC: usize = 4;
const BUFFER: usize = 256 << 10;

impl Input {
    /// Opens a file, or standard input for `-`. The first bytes decide about compression, and the first bytes after it
    /// whether it is an Avro object container file. A file with the extension `.gz` or `.zst` must be compressed
    /// accordingly, and one with `.avro` be a container file.
    ///
    /// # Errors
    /// The file does not exist, cannot be read, or is not what its extension states.
    pub(crate) fn open(path: &Path, stop: &CancellationToken) -> anyhow::Result<Self> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
        let failed = || format!("cannot read {name}");
        let read = Arc::new(AtomicU64::new(0));
        let (source, size): (Box<dyn Read + Send>, _) = if is_stdin {
            (Box::new(Ahead::new(io::stdin(), stop.clone()).with_context(failed)?), None)
        } else {
            let file = File::open(path).with_context(failed)?;
            let metadata = file.metadata().with_context(failed)?;
            if metadata.is_dir() {
                bail!("cannot read {name}: it is a directory; give the files in it");
            }
            if metadata.is_file() {
                (Box::new(file), Some(metadata.len()))
            } else {
                // Reads of a pipe can be abandoned, as those of standard input.
                (Box::new(Ahead::new(file, stop.clone()).with_context(failed)?), None)
            }
        };
        let mut source = Counted { inner: source, read: Arc::clone(&read) };
        let magic = first_bytes(&mut source).with_context(failed)?;
        let found = Compression::of_bytes(&magic);
        let promised = Compression::of_name(path);
        if promised != Compression::None && promised != found {
            bail!("cannot read {name}: it is not a {promised} file; rename it if it is not compressed");
        }
        let whole = io::Cursor::new(magic).chain(source);
        let mut decoded = decode(whole, found, stop).with_context(failed)?;
        let start = first_bytes(&mut decoded).with_context(|| corrupt(&name))?;
        let is_container = start == container::MAGIC || is_named_avro(path);
        let decoded: Box<dyn Read + Send> = Box::new(io::Cursor::new(start).chain(decoded));
        let content = if is_container {
            Content::Events(Events::open(decoded).with_context(failed)?)
        } else {
            Content::Lines(Blocks::new(decoded))
        };
        Ok(Self { name, size, read, content })
    }

    /// The file, or `standard input`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its size on disk, if it is a regular file.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// How many of these were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The schema of the events, if the file has one.
    pub(crate) fn schema(&self) -> Option<Arc<dyn Schema>> {
        match &self.content {
            Content::Lines(_) => None,
            Content::Events(events) => Some(events.schema()),
        }
    }

    /// Reads lines, or events of an Avro file: those that are available without waiting, at least one; `false` at the end.
    ///
    /// # Errors
    /// The file cannot be read to its end, or its compressed content is damaged or cut short.
    pub(crate) fn next_block(&mut self, block: &mut Block) -> anyhow::Result<bool> {
        let name = &self.name;
        let next = match &mut self.content {
            Content::Lines(lines) => lines.next_block(block).map_err(anyhow::Error::from),
            Content::Events(events) => events.next_block(block).map_err(anyhow::Error::from),
        };
        next.with_context(|| corrupt(name))
    }
}

fn corrupt(name: &str) -> String {
    format!("cannot read {name} to the end: it is corrupt or truncated; restore it and try again")
}

/// Whether the name, without an extension for compression, is that of an Avro object container file.
fn is_named_avro(path: &Path) -> bool {
    let inner = match Compression::of_name(path) {
        Compression::None => path,
        Compression::Gzip | Compression::Zstd => Path::new(path.file_stem().unwrap_or_default()),
    };
    inner.extension().is_some_and(|extension| extension == "avro")
}

fn decode(
    source: impl Read + Send + 'static,
    compression: Compression,
    stop: &CancellationToken,
) -> io::Result<Box<dyn Read + Send>> {
    match compression {
        Compression::None => Ok(Box::new(source)),
        Compression::Gzip => {
            let decoder = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, source));
            Ok(Box::new(Ahead::new(decoder, stop.clone())?))
        }
        Compression::Zstd => {
            let decoder = zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER, source))?;
            Ok(Box::new(Ahead::new(decoder, stop.clone())?))
        }
    }
}

fn first_bytes(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(MAGIC);
    source.take(MAGIC as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Compression {
    fn of_bytes(magic: &[u8]) -> Self {
        if magic.starts_with(GZIP) {
            Self::Gzip
        } else if magic.starts_with(ZSTD) {
            Self::Zstd
        } else {
            Self::None
        }
    }

    fn of_name(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
        })
    }
}

/// Counts the bytes that are read.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn read(name: &str, bytes: &[u8]) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("room");
        let mut input = Input::open(&path, &CancellationToken::new())?;
        let mut lines = Vec::new();
        let mut block = Block::default();
        while input.next_block(&mut block)? {
            let texts =
                block.lines().map(|line| String::from_utf8_lossy(line.bytes.expect("short")).into_owned());
            lines.extend(texts);
        }
        assert_eq!((input.size(), input.bytes_read()), (Some(bytes.len() as u64), bytes.len() as u64));
        Ok(lines)
    }

    #[test]
    fn compression_is_detected_by_magic_bytes() {
        let zstd = zstd::encode_all(&b"one\ntwo"[..], 1).expect("memory");
        // Concatenated files have several members.
        let parts = [gzip(b"one\n"), gzip(b"two")].concat();
        for (name, bytes) in
            [("a", &b"one\ntwo"[..]), ("a", &parts), ("a.gz", &parts), ("a", &zstd), ("a.zst", &zstd)]
        {
            assert_eq!(read(name, bytes).expect("sound"), ["one", "two"], "{name}");
        }
        assert_eq!(read("a", b"{").expect("sound"), ["{"]);
        assert!(read("a", b"").expect("sound").is_empty());
    }

    #[test]
    fn container_files_are_detected_by_magic_bytes() {
        // A header and no block: one string for each schema and marker.
        let schema = br#"{"type":"record","name":"E","fields":[]}"#;
        let entry = [&[22][..], b"avro.schema", &[2 * schema.len() as u8], schema].concat();
        let bytes = [&container::MAGIC[..], &[2], &entry, &[0], &[7; 16]].concat();
        let zstd = zstd::encode_all(&bytes[..], 1).expect("memory");
        for (name, bytes) in [
            ("a.avro", &bytes),
            ("a.ndjson", &bytes),
            ("a", &gzip(&bytes)),
            ("a.avro.gz", &gzip(&bytes)),
            ("a.avro.zst", &zstd),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("room");
            let input = Input::open(&path, &CancellationToken::new()).expect("a container file");
            assert!(input.schema().is_some(), "{name}");
        }
        for name in ["a.avro", "a.avro.gz"] {
            let lines = if name == "a.avro" { b"{}".to_vec() } else { gzip(b"{}") };
            assert!(read(name, &lines).is_err(), "{name}: no container file");
        }
    }

    #[test]
    fn a_misnamed_file_is_rejected() {
        for (name, kind) in [("a.gz", "gzip"), ("a.zst", "Zstandard")] {
            let error = read(name, b"{}").expect_err("plain").to_string();
            assert!(
                error.ends_with(&format!("it is not a {kind} file; rename it if it is not compressed")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let text: Vec<u8> = (0..20_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let zstd = zstd::encode_all(&text[..], 1).expect("memory");
        for (name, bytes) in [("a.gz", gzip(&text)), ("a.zst", zstd)] {
            let error = read(name, &bytes[..bytes.len() - 9]).expect_err("cut short").to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
