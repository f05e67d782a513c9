//! The built program as users and scripts see it: exit codes, standard output and standard error.

mod documents;
mod support;

mod usage;

mod errors;

mod help;

mod pipes;

mod generate;

mod keys;

mod anonymise;

mod configuration;

mod sample;

mod memory;

mod privacy;

mod examples;
mod flow_tests;
mod flows;
mod formats;
mod services;

mod connect;

mod refusals;

#[cfg(feature = "cloud")]
mod refused_tables;

mod on_disk;

mod checks;
