//! `make bench`: what docs/benchmarks.md shows, measured anew on this machine.
//!
//! Every figure stands beside what bounds it, measured in the same run. `cargo bench -- NAME` runs
//! one of them.

#[path = "../../tests/support/mod.rs"]
mod support;

mod access;
mod append;
mod controller;
mod load;
mod postgres;
mod proof;
mod records;
mod served;
mod statistics;
mod volume;

use std::time::Duration;

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let asked_for =
        |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if asked_for("append") {
        runtime.block_on(append::appends_beside_raw_inserts());
    }
    if asked_for("postgres") {
        runtime.block_on(postgres::appends_beside_raw_copy());
    }
    if asked_for("proof") {
        runtime.block_on(proof::leaves_beside_bare_hashing());
        runtime.block_on(proof::appends_with_and_without_checkpoints());
        runtime.block_on(proof::a_whole_database());
    }
    if asked_for("export") {
        runtime.block_on(proof::exports());
    }
    if asked_for("volume") {
        runtime.block_on(volume::pages_of_many_beside_few());
    }
    if asked_for("served") {
        runtime.block_on(served::a_producer_beside_readers());
        runtime.block_on(served::many_watchers());
    }
    if asked_for("access") {
        runtime.block_on(access::asked_by_users_beside_anybody());
    }
    if asked_for("statistics") {
        runtime.block_on(statistics::answers_of_many_beside_few());
    }
    if asked_for("record") {
        runtime.block_on(controller::recording_beside_bare_patches());
    }
    if asked_for("latency") {
        runtime.block_on(controller::latency_from_finish_to_receipt());
    }
    if asked_for("memory") {
        runtime.block_on(controller::memory_with_many_live());
    }
}

/// The value below which this share of them lies.
fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the slice")]
    let index = ((values.len() as f64 * share) as usize).min(values.len() - 1);
    values[index]
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn heading(what: &str) {
    println!("\n## {what}");
}
