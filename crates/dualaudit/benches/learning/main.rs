//! `make learning-report`: what learning makes of fleets whose truth is known, over many seeds. It writes the measured
//! part of docs/learning.md anew, and the plots beside it.
//!
//! `DUALAUDIT_LEARNING_SEEDS` says how many seeds (200 unless set).
#![expect(clippy::unwrap_used, reason = "what is tried may panic")]

#[path = "../../tests/trials/mod.rs"]
mod trials;

mod plot;
mod report;

use std::{fs, path::Path};

use anyhow::Context;

use report::Report;

const SEEDS: u64 = 200;
const BEGINS: &str = "<!-- measured: `make learning-report` writes from here -->\n";
const ENDS: &str = "<!-- measured: to here -->\n";

fn main() -> anyhow::Result<()> {
    let seeds = match std::env::var("DUALAUDIT_LEARNING_SEEDS") {
        Ok(given) => {
            given.parse().with_context(|| format!("DUALAUDIT_LEARNING_SEEDS is no number: {given}"))?
        }
        Err(_) => SEEDS,
    };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let plots = docs.join("learning");
    fs::create_dir_all(&plots)?;
    let report = Report { seeds, plots }.write()?;

    let page = docs.join("learning.md");
    let text = fs::read_to_string(&page)?;
    let marked = text.split_once(BEGINS).and_then(|(before, rest)| Some((before, rest.split_once(ENDS)?.1)));
    let (before, after) = marked.with_context(|| format!("{} has no {BEGINS} … {ENDS}", page.display()))?;
    fs::write(&page, format!("{before}{BEGINS}\n{report}\n{ENDS}{after}"))?;
    Ok(())
}
