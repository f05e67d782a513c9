//! A proxy in front of a Kafka broker that can remove all brokers from its metadata, as a broker under KRaft does right
//! after its start, when it has read its topics but not its own registration.
//!
//! It reads the frames: API and version are in the header of a request, a response has only the correlation ID. See
//! [`crate::proxy`] for closed and paused connections.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, ensure};

const METADATA: i16 = 3;
/// From this version on the lists of the response are compact, and its header ends with tags.
const COMPACT: i16 = 9;

/// The proxy, open for the lifetime of the process.
pub struct Unaware {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_unaware: AtomicBool,
    without_brokers: AtomicU64,
}

/// Correlation IDs of pending metadata requests, with their versions.
type Pending = Mutex<HashMap<[u8; 4], i16>>;

impl Unaware {
    /// Listens at an address, in front of a broker that advertises this address.
    ///
    /// # Errors
    /// The address is in use.
    pub fn open(address: &str, broker: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("listen at {address}"))?;
        let state = Arc::<State>::default();
        let (shared, broker) = (Arc::clone(&state), broker.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // If the broker is down, the connection is closed.
                let Ok(server) = TcpStream::connect(&broker) else { continue };
                join(&client, &server, &shared);
            }
        });
        Ok(Self { state })
    }

    /// Removes the brokers from metadata, or stops doing so.
    pub fn forget(&self, is_unaware: bool) {
        self.state.is_unaware.store(is_unaware, Ordering::SeqCst);
    }

    /// Number of responses without brokers.
    pub fn without_brokers(&self) -> u64 {
        self.state.without_brokers.load(Ordering::SeqCst)
    }
}

fn join(client: &TcpStream, server: &TcpStream, state: &Arc<State>) {
    let ends = || Ok::<_, std::io::Error>((client.try_clone()?, server.try_clone()?));
    let (Ok(up), Ok(down)) = (ends(), ends()) else { return };
    let pending = Arc::<Pending>::default();
    let (noted, state) = (Arc::clone(&pending), Arc::clone(state));
    thread::spawn(move || {
        let note = |frame: Vec<u8>| {
            note(&frame, &noted);
            Ok(frame)
        };
        pass_on(&up.0, &up.1, note)
    });
    thread::spawn(move || pass_on(&down.1, &down.0, |frame| answer(frame, &pending, &state)));
}

/// Forwards frames until one end is closed, then closes the other.
fn pass_on(
    mut from: &TcpStream,
    mut to: &TcpStream,
    change: impl Fn(Vec<u8>) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut pass = || -> Result<()> {
        let _ = to.set_nodelay(true);
        loop {
            let mut size = [0; 4];
            from.read_exact(&mut size)?;
            let mut frame = vec![0; usize::try_from(u32::from_be_bytes(size))?];
            from.read_exact(&mut frame)?;
            let frame = change(frame)?;
            let size = u32::try_from(frame.len())?.to_be_bytes();
            to.write_all(&[&size[..], &frame].concat())?;
        }
    };
    let ended = pass();
    for end in [from, to] {
        let _ = end.shutdown(std::net::Shutdown::Both);
    }
    ended
}

/// `api (2 bytes), version (2), correlation ID (4)` are in the header of each request.
fn note(frame: &[u8], pending: &Pending) {
    if let Some((head, _)) = frame.split_first_chunk::<8>() {
        let [a, b, c, d, number @ ..] = *head;
        if i16::from_be_bytes([a, b]) == METADATA {
            let version = i16::from_be_bytes([c, d]);
            pending.lock().unwrap_or_else(PoisonError::into_inner).insert(number, version);
        }
    }
}

fn answer(frame: Vec<u8>, pending: &Pending, state: &State) -> Result<Vec<u8>> {
    let number = *frame.first_chunk::<4>().context("an answer without a number")?;
    let Some(version) = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&number) else {
        return Ok(frame);
    };
    if !state.is_unaware.load(Ordering::SeqCst) {
        return Ok(frame);
    }
    ensure!(version >= COMPACT, "metadata of version {version} is not understood here");
    state.without_brokers.fetch_add(1, Ordering::SeqCst);
    without_brokers(&frame).context("a short answer")
}

/// `correlation ID (4), tags (1: none), throttle (4)`, then the brokers: their number plus one, and for each `id (4),
/// host, port (4), rack, tags`; strings are preceded by their length plus one.
fn without_brokers(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = frame.split_at_checked(9)?;
    for _ in 1..varint(&mut rest)? {
        skip(&mut rest, 4)?;
        skip_text(&mut rest)?;
        skip(&mut rest, 4)?;
        skip_text(&mut rest)?;
        skip(&mut rest, 1)?;
    }
    Some([head, &[1], rest].concat())
}

fn skip_text(rest: &mut &[u8]) -> Option<()> {
    let length = varint(rest)?.saturating_sub(1);
    skip(rest, length)
}

fn skip(rest: &mut &[u8], bytes: usize) -> Option<()> {
    *rest = rest.get(bytes..)?;
    Some(())
}

fn varint(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..28).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
