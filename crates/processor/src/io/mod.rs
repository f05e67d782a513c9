//! The tasks that run beside the driver.

pub mod readers;
pub mod tasks;
