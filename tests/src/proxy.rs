//! A proxy in front of a service. Closed, it refuses connections; open, it forwards bytes, with a delay or not at all
//! if a test requests that.
//!
//! See [`crate::chaos`] for the times of faults.

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

/// Interval at which an idle connection checks whether it was closed.
const LOOK: Duration = Duration::from_millis(20);
const CHUNK: usize = 16 << 10;

/// A local port in front of another one. Initially closed; dropping it closes it.
pub struct Proxy {
    address: String,
    target: Arc<Mutex<String>>,
    door: Arc<Door>,
}

/// The state that the connections of a proxy follow.
#[derive(Default)]
struct Door {
    /// A connection is closed when this differs from its value at the start.
    generation: AtomicU64,
    open: AtomicBool,
    held: AtomicBool,
    delay_ms: AtomicU64,
}

impl Proxy {
    /// A closed proxy on a free port, in front of a service at `host:port`.
    ///
    /// # Errors
    /// No port is free.
    pub fn closed(target: &str) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        Ok(Self::at(&address, target))
    }

    /// A closed proxy on a given port.
    pub fn at(address: &str, target: &str) -> Self {
        Self {
            address: address.to_owned(),
            target: Arc::new(Mutex::new(target.to_owned())),
            door: Arc::default(),
        }
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Accepts connections. An earlier listener may take a moment to release the port.
    ///
    /// # Errors
    /// The port was taken in the meantime.
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

    /// New connections go to another service, which was restarted at another port.
    pub fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.target.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether connections are accepted.
    fn is_open(&self) -> bool {
        self.door.open.load(Ordering::SeqCst)
    }

    /// Closes the port and resets every connection.
    pub fn close(&self) {
        self.door.generation.fetch_add(1, Ordering::SeqCst);
        self.door.open.store(false, Ordering::SeqCst);
    }

    /// Resets every connection; new ones are accepted.
    ///
    /// # Errors
    /// The port was taken in the meantime.
    pub fn reset(&self) -> Result<()> {
        self.close();
        self.open()
    }

    /// Pauses or resumes the forwarding of bytes, with connections open.
    pub fn hold(&self, held: bool) {
        self.door.held.store(held, Ordering::SeqCst);
    }

    /// Delays every 16 KiB by this time.
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

    /// Waits until bytes may pass; returns whether the connection is still open.
    fn wait(&self, generation: u64) -> bool {
        thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst)));
        while self.held.load(Ordering::SeqCst) && self.is(generation) {
            thread::sleep(LOOK);
        }
        self.is(generation)
    }
}

fn connect(inside: &TcpStream, target: &str, door: &Arc<Door>, generation: u64) {
    // If the service is down, the connection is closed, as a load balancer does.
    let Ok(outside) = TcpStream::connect(target) else { return };
    for (from, to) in [(inside, &outside), (&outside, inside)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let door = Arc::clone(door);
        thread::spawn(move || {
            if !pass_on(&from, &to, &door, generation) {
                // Closed with a reset: bytes in flight are lost.
                for end in [&from, &to] {
                    let _ = SockRef::from(end).set_linger(Some(Duration::ZERO));
                }
            }
        });
    }
}

/// Forwards until the sender closes; `false` if the connection was reset before.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, door: &Door, generation: u64) -> bool {
    let mut chunk = [0; CHUNK];
    // The accepted connections inherit non-blocking mode.
    if from.set_nonblocking(false).and(from.set_read_timeout(Some(LOOK))).is_err() {
        return false;
    }
    let _ = to.set_nodelay(true);
    while door.is(generation) {
        match from.read(&mut chunk) {
            Ok(0) => {
                // The other end may already be closed.
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
