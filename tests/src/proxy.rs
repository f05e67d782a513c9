//! A door before a service: closed nobody listens, open it passes bytes on, late or not at all where a test says so.
//!
//! Not here: when what goes wrong ([`crate::chaos`]).

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use socket2::SockRef;

use crate::wait;

/// How often a quiet connection looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);
const CHUNK: usize = 16 << 10;

/// A port of this machine before another one. Closed at first; dropping it closes it.
pub struct Proxy {
    address: String,
    target: Arc<Mutex<String>>,
    door: Arc<Door>,
}

/// What the connections of a proxy obey.
#[derive(Default)]
struct Door {
    /// A connection ends when this is no longer what it was at its beginning.
    generation: AtomicU64,
    open: AtomicBool,
    held: AtomicBool,
    delay_ms: AtomicU64,
}

impl Proxy {
    /// A closed one on a free port, before a service at `host:port`.
    ///
    /// # Errors
    /// There is no free port.
    pub fn closed(target: &str) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        Ok(Self::at(&address, target))
    }

    /// A closed one on a given port.
    pub fn at(address: &str, target: &str) -> Self {
        Self {
            address: address.to_owned(),
            target: Arc::new(Mutex::new(target.to_owned())),
            door: Arc::default(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on connections are taken. A listener of before may take a moment to let go of the port.
    ///
    /// # Errors
    /// The port was taken in between.
    pub fn open(&self) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let listener =
            wait::until("the proxy's port to be free", || Ok(TcpListener::bind(&self.address).ok()))?;
        self.door.open.store(true, Ordering::SeqCst);
        listener.set_nonblocking(true)?;
        let (target, door) = (Arc::clone(&self.target), Arc::clone(&self.door));
        let generation = door.generation.load(Ordering::SeqCst);
        thread::spawn(move || {
            while door.is(generation) {
                match listener.accept() {
                    Ok((inside, _)) => {
                        let target = target.lock().unwrap_or_else(PoisonError::into_inner).clone();
                        connect(&inside, &target, &door, generation);
                    }
                    Err(_) => thread::sleep(LOOK),
                }
            }
        });
        Ok(())
    }

    /// New connections go to another service: it was started anew, at another port.
    pub fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.target.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether connections are taken.
    fn is_open(&self) -> bool {
        self.door.open.load(Ordering::SeqCst)
    }

    /// Nobody listens any more, and every connection is reset.
    pub fn close(&self) {
        self.door.generation.fetch_add(1, Ordering::SeqCst);
        self.door.open.store(false, Ordering::SeqCst);
    }

    /// Every connection is reset; new ones are taken.
    ///
    /// # Errors
    /// The port was taken in between.
    pub fn reset(&self) -> Result<()> {
        self.close();
        self.open()
    }

    /// Connections stay, and nothing passes; or it passes again.
    pub fn hold(&self, held: bool) {
        self.door.held.store(held, Ordering::SeqCst);
    }

    /// Every 16 KiB wait so long.
    pub fn delay(&self, delay: Duration) {
        self.door.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
    }
}

impl Door {
    fn is(&self, generation: u64) -> bool {
        self.generation.load(Ordering::SeqCst) == generation
    }

    /// Whether the connection is still wanted when the bytes may pass.
    fn wait(&self, generation: u64) -> bool {
        thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst)));
        while self.held.load(Ordering::SeqCst) && self.is(generation) {
            thread::sleep(LOOK);
        }
        self.is(generation)
    }
}

fn connect(inside: &TcpStream, target: &str, door: &Arc<Door>, generation: u64) {
    // A service that is away closes the connection, as a load balancer does.
    let Ok(outside) = TcpStream::connect(target) else { return };
    for (from, to) in [(inside, &outside), (&outside, inside)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let door = Arc::clone(door);
        thread::spawn(move || {
            if !pass_on(&from, &to, &door, generation) {
                // Closed with a reset: what was on its way is gone.
                for end in [&from, &to] {
                    let _ = SockRef::from(end).set_linger(Some(Duration::ZERO));
                }
            }
        });
    }
}

/// Until the sender ends; false where the connection was cut before.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, door: &Door, generation: u64) -> bool {
    let mut chunk = [0; CHUNK];
    // What was accepted without waiting is read with it.
    if from.set_nonblocking(false).and(from.set_read_timeout(Some(LOOK))).is_err() {
        return false;
    }
    let _ = to.set_nodelay(true);
    while door.is(generation) {
        match from.read(&mut chunk) {
            Ok(0) => {
                // The other end may be gone already.
                let _ = to.shutdown(Shutdown::Write);
                return true;
            }
            Ok(count) => {
                if !door.wait(generation) || to.write_all(&chunk[..count]).is_err() {
                    return false;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
    }
    false
}
