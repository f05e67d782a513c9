//! Pub/Sub messages as the core takes them, and the tasks that run beside the driver.

pub mod messages;
pub mod tasks;
