//! A verifier of proof bundles, by this crate alone: no server, no database, no network.
//!
//!     cargo run -p dualaudit-record --example verify -- PUBLIC_KEY… < BUNDLE.json
//!
//! Reads bundles one after the other, as `GET /api/v1/executions/{id}/proof` answers them and
//! `dualaudit export` writes them, one to a line. Exits with 3 at the first that proves nothing.

use std::{error::Error, io, process::ExitCode};

use dualaudit_record::{checkpoint::VerifierKey, proof::Bundle};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let keys = std::env::args().skip(1).map(|key| key.parse()).collect::<Result<Vec<VerifierKey>, _>>()?;
    if keys.is_empty() {
        eprintln!("usage: verify PUBLIC_KEY… < BUNDLE.json");
        return Ok(ExitCode::from(2));
    }
    for bundle in serde_json::Deserializer::from_reader(io::stdin()).into_iter::<Bundle>() {
        let bundle = bundle?;
        let leaf = &bundle.leaf;
        let name = format!(
            "log {}, entry {}, {} {}",
            leaf.log,
            leaf.index,
            leaf.kind,
            leaf.execution_id.as_deref().unwrap_or("-")
        );
        match bundle.verify(&keys) {
            Ok(proved) => {
                let head = proved.proof.checkpoint.head();
                let body =
                    if proved.entry.is_some() { "with its body" } else { "without its body, which is gone" };
                println!("{name}, {body}: in {} at size {}", head.origin, head.size);
                for (witness, at) in proved.vouched.iter().flat_map(|vouched| &vouched.by_witnesses) {
                    println!("  cosigned by {witness} at {at} seconds since 1970");
                }
            }
            Err(error) => {
                eprintln!("{name}: {error}");
                return Ok(ExitCode::from(3));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
