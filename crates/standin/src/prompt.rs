//! Disables Nagle's algorithm for accepted connections, so that small frames are sent immediately, as real services
//! do.
//!
//! Otherwise the kernel holds a small frame back until the previous one is acknowledged, which clients delay by up to
//! 40 ms. A request that is larger than the flow-control window then waits for each window update, and a run takes
//! two or three times longer.

use axum::serve::{ListenerExt as _, TapIo};
use tokio::net::{TcpListener, TcpStream};

/// A listener whose connections have `TCP_NODELAY` set.
pub fn prompt(listener: TcpListener) -> TapIo<TcpListener, fn(&mut TcpStream)> {
    listener.tap_io(at_once)
}

fn at_once(connection: &mut TcpStream) {
    // If the connection is closed already, its first read reports that.
    let _ = connection.set_nodelay(true);
}
