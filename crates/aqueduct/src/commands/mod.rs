//! One file per command: its options and its wiring. In the order of `aqueduct --help`.

pub(crate) mod demo;

pub(crate) mod connector;

pub(crate) mod connect;

pub(crate) mod processor;

pub(crate) mod replay;

pub(crate) mod test;

pub(crate) mod anonymise;

pub(crate) mod unpack;

pub(crate) mod check;

pub(crate) mod setup;

pub(crate) mod keys;

pub(crate) mod dead_letters;

pub(crate) mod generate;

pub(crate) mod status;

pub(crate) mod reconcile;

pub(crate) mod completions;

pub(crate) mod man;
