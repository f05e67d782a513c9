//! One file a command: what it takes, and what it puts together. In the order of `aqueduct --help`.

pub mod demo;

pub mod connector;

pub mod processor;

pub mod replay;

pub mod anonymise;

pub mod check;

pub mod setup;

pub mod keys;

pub mod generate;

pub mod status;

pub mod reconcile;

pub mod completions;

pub mod man;
