//! A door before a service: closed nobody listens, open it passes bytes on. For services that are away at first.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use anyhow::Result;

/// A port on which nobody listens yet.
pub struct Gate {
    address: String,
    target: String,
}

impl Gate {
    /// A closed gate before a service at `host:port`.
    ///
    /// # Errors
    /// There is no free port.
    pub fn closed(target: &str) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        Ok(Self { address, target: target.to_owned() })
    }

    /// Where the gate is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Opens it for the rest of the test.
    ///
    /// # Errors
    /// The port was taken in between.
    pub fn open(&self) -> Result<()> {
        let listener = TcpListener::bind(&self.address)?;
        let target = self.target.clone();
        thread::spawn(move || {
            for inside in listener.incoming().map_while(Result::ok) {
                let Ok(outside) = TcpStream::connect(&target) else { continue };
                pass_on(&inside, &outside);
                pass_on(&outside, &inside);
            }
        });
        Ok(())
    }
}

fn pass_on(from: &TcpStream, to: &TcpStream) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    thread::spawn(move || {
        // Either end may break off at any time; the other one is told.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
