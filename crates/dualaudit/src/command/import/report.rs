//! What became of what was imported.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::Context as _;
use indicatif::{HumanCount, ProgressBar};
use serde_json::json;

use super::{
    destination::Fate,
    feed::{Other, Place},
};
use crate::{command::output::shown, import::Skipped};

/// How many refusals stand on standard error.
const SHOWN: u64 = 20;

/// Counts, and where what was refused is told.
pub(super) struct Report {
    counts: Counts,
    file: Option<BufWriter<File>>,
    bar: ProgressBar,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    new: u64,
    amended: u64,
    there: u64,
    refused: u64,
    not_ended: u64,
    other_entries: u64,
    without_body: u64,
}

impl Report {
    pub(super) fn new(file: Option<&Path>, bar: ProgressBar) -> anyhow::Result<Self> {
        let create = |path: &Path| {
            File::create(path).with_context(|| format!("--report {}: cannot be written", path.display()))
        };
        let file = file.map(create).transpose()?.map(BufWriter::new);
        Ok(Self { counts: Counts::default(), file, bar })
    }

    pub(super) fn record(&mut self, place: Place, fate: Fate) -> anyhow::Result<()> {
        match fate {
            Fate::New => self.counts.new += 1,
            Fate::Amended => self.counts.amended += 1,
            Fate::There => self.counts.there += 1,
            Fate::Refused(reason) => return self.refuse(&place, &reason),
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, other: &Other) -> anyhow::Result<()> {
        match other {
            Other::Skipped(Skipped::NotEnded) => self.counts.not_ended += 1,
            Other::Skipped(Skipped::OtherEntry) => self.counts.other_entries += 1,
            Other::Skipped(Skipped::NoBody) => self.counts.without_body += 1,
            Other::Refused(place, reason) => return self.refuse(place, reason),
        }
        Ok(())
    }

    fn refuse(&mut self, place: &Place, reason: &str) -> anyhow::Result<()> {
        self.counts.refused += 1;
        let Place { file, line, name } = place;
        if let Some(report) = &mut self.file {
            let refused = json!({"file": &**file, "line": line, "name": name, "reason": reason});
            writeln!(report, "{refused}").context("--report cannot be written")?;
        }
        if self.counts.refused <= SHOWN {
            let name = if name.is_empty() { String::new() } else { format!(" {}:", shown(name)) };
            let text = format!("{}:{line}:{name} {}", shown(file), shown(reason));
            self.bar.suspend(|| eprintln!("{text}"));
        }
        Ok(())
    }

    /// Shows how far it came.
    pub(super) fn advance(&self, bytes: u64) {
        self.bar.set_message(format!("{} records", HumanCount(self.counts.records())));
        self.bar.set_position(bytes);
    }

    /// All of the report is written.
    pub(super) fn end(&mut self, is_stopped: bool) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        if let Some(report) = &mut self.file {
            report.flush().context("--report cannot be written")?;
        }
        let more = self.counts.refused.saturating_sub(SHOWN);
        if more > 0 {
            let hint = if self.file.is_some() { "see the report" } else { "--report FILE writes all" };
            eprintln!("… and {more} more were refused; {hint}");
        }
        if is_stopped {
            eprintln!("stopped before the end; what is recorded stays: import again to go on");
        }
        Ok(())
    }

    pub(super) fn has_refused(&self) -> bool {
        self.counts.refused > 0
    }

    pub(super) fn summary(&self, is_dry: bool) -> String {
        self.counts.summary(is_dry)
    }
}

impl Counts {
    fn records(&self) -> u64 {
        self.new + self.amended + self.there + self.refused
    }

    fn summary(&self, is_dry: bool) -> String {
        let mut parts = match is_dry {
            true => vec![format!("nothing was recorded: {} could be", self.new)],
            false => vec![format!("{} new", self.new)],
        };
        if !is_dry {
            parts.push(format!("{} there already", self.there));
        }
        if self.amended > 0 {
            parts.push(format!("{} as later revisions", self.amended));
        }
        parts.push(format!("{} refused", self.refused));
        for (count, what) in [
            (self.not_ended, "WorkflowExecutions that have not ended"),
            (self.other_entries, "entries that are no executions"),
            (self.without_body, "entries whose content was purged or erased"),
        ] {
            if count > 0 {
                parts.push(format!("skipped {count} {what}"));
            }
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_what_was_recorded_refused_and_skipped() {
        let counts = Counts { new: 3, there: 2, refused: 1, ..Counts::default() };
        assert_eq!(counts.summary(false), "3 new, 2 there already, 1 refused");
        let counts = Counts { new: 3, amended: 4, not_ended: 5, other_entries: 6, without_body: 7, ..counts };
        assert_eq!(
            counts.summary(false),
            "3 new, 2 there already, 4 as later revisions, 1 refused, skipped 5 WorkflowExecutions that have not ended, \
             skipped 6 entries that are no executions, skipped 7 entries whose content was purged or erased"
        );
        let counts = Counts { new: 3, refused: 1, ..Counts::default() };
        assert_eq!(counts.summary(true), "nothing was recorded: 3 could be, 1 refused");
    }
}
