//! dualaudit: nothing leaves the cluster before the database provably has it.
//!
//! The modules stand in the order data flows: a resource is watched and mapped, its record goes
//! through the one door in, the store keeps it, and readers find, show and check it.

pub mod clock;
pub mod metrics;
pub mod parameter;

pub mod access;
pub mod client;
pub mod command;
pub mod completeness;
pub mod controller;
pub mod crd;
pub mod doctor;
pub mod export;
pub mod http;
pub mod import;
pub mod ingest;
pub mod learn;
pub mod live;
pub mod moving;
pub mod proof;
pub mod publish;
pub mod query;
pub mod rebuild;
pub mod retention;
pub mod review;
pub mod simulate;
pub mod source;
pub mod store;
pub mod verify;
pub mod watch;
