//! The life of one resource: `decide` what to do, `execute` it, `run` it for all of them.

use crate::ingest::{Receipt, ReceiptResult};

pub mod decide;
mod execute;
mod ledger;
mod live;
mod notice;
mod release;
mod run;
mod said;
mod show;
mod vanished;
mod visit;
mod vouch;

pub use decide::{Cleanup, Policy};
pub use ledger::{Ledger, Released};
pub use release::release_unrecorded;
pub use run::{Controller, Options};
pub use said::said;
pub use show::Cluster;

/// The text of the receipt annotation. It says how the revision came to be and not how often it
/// was sent, so that writing it again changes nothing.
fn receipt_annotation(receipt: &Receipt) -> String {
    let result = match receipt.revision {
        Some(1) | None => ReceiptResult::Created,
        Some(_) => ReceiptResult::Amended,
    };
    serde_json::to_string(&Receipt { result, ..receipt.clone() }).expect("a receipt is JSON")
}
