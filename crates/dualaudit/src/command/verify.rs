//! `dualaudit verify`: does the audit agree with itself?

use std::{fmt::Write as _, process::ExitCode};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    database::DatabaseArgs,
    output::{self, Columns, Form, shown},
};
use crate::{
    store::StoreError,
    verify::{Report, VerifyError, verify},
};

const EXAMPLES: &str = "\
Exit status: 0 everything agrees, 1 it could not be checked, 3 something is wrong.

Examples:
  dualaudit verify
  dualaudit verify --database sqlite:/var/lib/dualaudit/dualaudit.db --log prod -o json";

/// Recompute every body, every leaf and the tree, compare them with what is stored, and find what no
/// entry vouches for.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Check this log only.
    #[arg(long)]
    log: Option<String>,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Checks, and exits with 3 where something is wrong.
///
/// # Errors
/// What could not be opened or read, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let store = match args.database.open_existing().await {
        Ok(store) => store,
        Err(error) => return damaged(error),
    };
    let bar = progress_bar();
    let checked = verify(store.as_ref(), args.log.as_deref(), |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        bar.set_message(shown(progress.log));
    });
    let report = checked.await;
    bar.finish_and_clear();
    let report = match report {
        Ok(report) => report,
        Err(error) => return damaged(error.into()),
    };
    output::document(&mut output::stdout(), args.output, &report, || page(&report))?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// A database that is damaged before there is anything to compare was checked all the same, and found
/// wrong.
fn damaged(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let found = error.chain().any(|cause| {
        let by_store = matches!(cause.downcast_ref(), Some(StoreError::Corrupt(_)));
        by_store || matches!(cause.downcast_ref(), Some(VerifyError::Store(StoreError::Corrupt(_))))
    });
    if !found {
        return Err(error);
    }
    eprintln!("dualaudit: {error:#}");
    Ok(ExitCode::from(3))
}

/// To stderr; shows nothing unless that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} entries, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A report for people.
fn page(report: &Report) -> String {
    if report.logs.is_empty() && report.is_clean() {
        return "There is no log yet.\n".to_owned();
    }
    let rows = report.logs.iter().map(|log| {
        let upto = match (log.size.checked_sub(1), log.recorded_at) {
            (Some(index), Some(time)) => format!("{index}, {time}"),
            _ => "empty".to_owned(),
        };
        vec![log.log.clone(), log.entries.to_string(), log.root.to_string(), upto]
    });
    let rows: Vec<_> = rows.collect();
    let mut page = match rows.as_slice() {
        [] => "There is no log any more.\n".to_owned(),
        rows => Columns::default().lay_out(Some(&["LOG", "ENTRIES", "ROOT", "UP TO"]), rows),
    };
    for log in &report.arriving {
        let _ = writeln!(page, "\nThe log {} is still being copied here, and was not checked.", shown(log));
    }
    if report.is_clean() {
        page.push_str("\nEvery body, every leaf, every row and the tree agree.\n");
        return page;
    }
    let _ = writeln!(page, "\n{} findings:", report.findings_total);
    for finding in &report.findings {
        let _ = writeln!(page, "  {}", shown(&finding.to_string()));
    }
    let hidden = report.findings_total - report.findings.len() as u64;
    if hidden > 0 {
        let _ = writeln!(page, "  and {hidden} more");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::{Served, record};

    #[tokio::test]
    async fn a_report_is_a_page_for_people() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let mut report = verify(served.store.inner.as_ref(), None, |_| {}).await.unwrap();
        let root = report.logs[0].root.to_string();
        insta::assert_snapshot!(page(&report).replace(&root, "ROOT"), @r"
        LOG   ENTRIES  ROOT                                                              UP TO
        http  1        ROOT  0, 2026-05-01T12:00:00.000002Z

        Every body, every leaf, every row and the tree agree.
        ");
        report.findings_total = 102;
        report.findings.push(crate::verify::Finding {
            log: "http".into(),
            index: Some(3),
            what: "body digest",
            expected: "a".into(),
            found: "b\u{7}".into(),
        });
        let (_, findings) = page(&report).split_once("\n\n").map(|(a, b)| (a.len(), b.to_owned())).unwrap();
        insta::assert_snapshot!(findings, @r#"
        102 findings:
          log http, entry 3, body digest: expected a, found b\u{7}
          and 101 more
        "#);
    }
}
