//! The real cores of connector and processor in one thread, with simulated Kafka, Pub/Sub, object store and tables, a
//! seed, and a virtual clock.
//!
//! | module | idea |
//! |---|---|
//! | [`dice`] | randomness by what it is about |
//! | [`plan`] | configuration and steps of one run |
//! | [`scenarios`] | the runs that there are |
//! | [`kafka`], [`pubsub`], [`store`], [`table`] | the simulated services |
//! | [`replica`], [`worker`] | one connector, one processor, around their real cores |
//! | [`wire`] | the bytes of messages, in two versions |
//! | [`world`] | the queue of what happens |
//! | [`steps`] | what producers, operators and accidents do |
//! | [`check`] | the invariants |
//! | [`shrink`] | many seeds, and the shortest story of one that fails |
//!
//! `AQUEDUCT_SEEDS=10000` runs more seeds of each scenario, `AQUEDUCT_SEED=7` a single one with its log.

mod check;
mod dice;
mod kafka;
mod plan;
mod pubsub;
mod replica;
mod scenarios;
mod shrink;
mod steps;
mod store;
mod table;
mod wire;
mod worker;
mod world;
