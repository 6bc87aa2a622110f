//! dualaudit against a real API server, from the outside: the binary, the cluster, the API.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;
#[path = "../trials/mod.rs"]
mod trials;

mod access;
mod admission;
mod architecture;
mod attacks;
mod break_glass;
mod checkpoint;
mod command_line;
mod completeness;
mod crash;
mod database_outage;
mod deletion;
mod doctor;
mod erasure;
mod export;
mod following;
mod full_disk;
mod import;
mod in_flight;
mod kubectl;
mod learning;
mod life;
mod loss;
mod moving;
mod one_list;
mod openapi;
mod outage;
mod policy;
mod postgres;
mod producer;
mod restore;
mod retained;
mod retention;
mod review;
mod scale;
mod secrets;
mod shell;
mod shutdown;
mod transport;
mod verifiers;
mod watch;
mod witness;
