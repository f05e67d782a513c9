//! Pub/Sub's messages as the core takes them, and the tasks that the driver has running beside it.

pub mod messages;
pub mod tasks;
