//! connector

pub mod keyring;

pub mod anonymise;
