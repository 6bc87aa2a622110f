//! What `dualaudit verify` says of its reports to people.

use std::{fmt::Write as _, path::Path};

use dualaudit_record::{
    checkpoint::VerifierKey,
    export::{ExportFormat, Scope},
};

use crate::{
    command::output::{Columns, shown},
    verify::{BundleReport, CheckpointReport, ExportReport, Finding, LogReport, ProvedIn, Report},
};

/// A report for people.
pub(super) fn page(report: &Report, keys: &[VerifierKey]) -> String {
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
    for log in &report.logs {
        said_of(&mut page, log, keys);
    }
    if report.is_clean() {
        page.push_str("\nEverything that was checked agrees.\n");
    } else {
        list_findings(&mut page, &report.findings, report.findings_total);
    }
    page
}

/// What vouches for a log besides itself.
fn said_of(page: &mut String, log: &LogReport, keys: &[VerifierKey]) {
    let name = shown(&log.log);
    if log.from > 0 {
        let _ = writeln!(page, "\n{name} extends the {} entries that were verified before.", log.from);
    }
    if let Some(CheckpointReport { size, signed_by, cosigned_by, .. }) = &log.checkpoint {
        let by = match (signed_by.as_slice(), keys) {
            ([], []) => "whose signatures were not checked (--key)".to_owned(),
            ([], _) => "which nobody who is trusted signed".to_owned(),
            (signed, _) => format!("signed by {}", shown(&signed.join(", "))),
        };
        let witnesses = match cosigned_by.as_slice() {
            [] => String::new(),
            witnesses => format!(", cosigned by {}", shown(&witnesses.join(", "))),
        };
        let _ = writeln!(page, "\n{name} agrees with its checkpoint of {size} entries, {by}{witnesses}.");
    }
    if let Some(successor) = &log.successor {
        let (lost, successor) = (log.size, shown(successor));
        let _ = writeln!(
            page,
            "{name} was rolled back and lost what it had from entry {lost} on: {successor} goes on in its place, and says \
             so in its first entry."
        );
    }
    if log.copies > 0 {
        let _ = writeln!(page, "{name} agrees with {} checkpoints that were kept elsewhere.", log.copies);
    }
}

fn list_findings(page: &mut String, findings: &[Finding], total: u64) {
    let _ = writeln!(page, "\n{total} findings:");
    for finding in findings {
        let _ = writeln!(page, "  {}", shown(&finding.to_string()));
    }
    let hidden = total - findings.len() as u64;
    if hidden > 0 {
        let _ = writeln!(page, "  and {hidden} more");
    }
}

/// A report on a file of bundles for people.
pub(super) fn bundles_page(path: &Path, report: &BundleReport, keys: &[VerifierKey]) -> String {
    let mut page = format!("{}: {} entries are proved", path.display(), report.proved);
    if report.without_body > 0 {
        let _ = write!(page, ", of which {} have no body any more", report.without_body);
    }
    page.push('\n');
    proved_in(&mut page, &report.checkpoints, keys);
    if !report.is_clean() {
        list_findings(&mut page, &report.findings, report.findings_total);
    }
    page
}

/// The checkpoints that entries are proved in.
fn proved_in(page: &mut String, checkpoints: &[ProvedIn], keys: &[VerifierKey]) {
    for ProvedIn { origin, size, signed_by, cosigned_by, bundles } in checkpoints {
        let by = match (signed_by.as_slice(), keys) {
            ([], []) => "signatures were not checked (--key)".to_owned(),
            (signed, _) => format!("signed by {}", shown(&signed.join(", "))),
        };
        let witnesses = match cosigned_by.as_slice() {
            [] => String::new(),
            witnesses => format!(", cosigned by {}", shown(&witnesses.join(", "))),
        };
        let _ = writeln!(page, "  {bundles} in {} at {size} entries, {by}{witnesses}", shown(origin));
    }
}

/// A report on an export for people.
pub(super) fn export_page(path: &Path, report: &ExportReport, keys: &[VerifierKey]) -> String {
    let export = &report.export;
    let lines = match export.format {
        ExportFormat::Jsonl => format!("{} entries are proved", report.lines),
        ExportFormat::Csv => format!("{} rows", report.lines),
        ExportFormat::Parquet => format!("{} rows, by its digest", export.lines()),
    };
    let mut page = format!("{}: {lines}\n", path.display());
    let _ = writeln!(
        page,
        "  exported by {} as {}, {}",
        shown(&export.actor),
        shown(&export.export),
        if report.is_vouched_for {
            "as the log says"
        } else {
            "as the manifest says; no proof of the entry came with it"
        }
    );
    proved_in(&mut page, &report.checkpoints, keys);
    if report.is_clean() {
        for log in &export.logs {
            let _ = match export.scope {
                Scope::Entries => {
                    writeln!(page, "  {} is whole: each of its {} entries", shown(&log.log), log.size)
                }
                Scope::Latest | Scope::Revisions => {
                    let missing = match report.is_vouched_for {
                        true => "none missing of what was exported",
                        false => "as many as the manifest says: nobody vouches that none is missing",
                    };
                    writeln!(page, "  {} of {}, {missing}", log.lines(), shown(&log.log))
                }
            };
        }
    } else {
        list_findings(&mut page, &report.findings, report.findings_total);
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dualaudit_record::{
        EntryKind,
        digest::Digest,
        export::{Export, ExportedLog},
    };

    use super::*;
    use crate::{
        http::tests::{Served, record},
        verify::verify,
    };

    #[tokio::test]
    async fn a_report_is_a_page_for_people() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let mut report = verify(served.store.inner.as_ref(), None, |_| {}).await.unwrap();
        let root = report.logs[0].root.to_string();
        insta::assert_snapshot!(page(&report, &[]).replace(&root, "ROOT"), @r"
        LOG   ENTRIES  ROOT                                                              UP TO
        http  1        ROOT  0, 2026-05-01T12:00:00.000002Z

        Everything that was checked agrees.
        ");
        report.findings_total = 102;
        report.findings.push(crate::verify::Finding {
            log: "http".into(),
            index: Some(3),
            what: "body digest",
            expected: "a".into(),
            found: "b\u{7}".into(),
        });
        let (_, findings) =
            page(&report, &[]).split_once("\n\n").map(|(a, b)| (a.len(), b.to_owned())).unwrap();
        insta::assert_snapshot!(findings, @r#"
        102 findings:
          log http, entry 3, body digest: expected a, found b\u{7}
          and 101 more
        "#);
    }

    #[test]
    fn that_none_is_missing_is_only_said_where_the_log_vouches_for_it() {
        let exported = ExportedLog {
            log: "http".to_owned(),
            size: 3,
            root: Digest([7; 32]),
            entries: [(EntryKind::Execution, 2)].into(),
            without_body: 0,
            later: 0,
        };
        let export = Export {
            export: "e".to_owned(),
            actor: "me".to_owned(),
            format: ExportFormat::Jsonl,
            scope: Scope::Latest,
            filter: BTreeMap::new(),
            logs: vec![exported],
            bytes: 1,
            sha256: Digest([8; 32]),
            whole: true,
        };
        for (is_vouched_for, said) in
            [(true, "2 of http, none missing"), (false, "nobody vouches that none is missing")]
        {
            let report = ExportReport {
                file: "e.jsonl".to_owned(),
                export: export.clone(),
                is_vouched_for,
                lines: 2,
                checkpoints: Vec::new(),
                findings: Vec::new(),
                findings_total: 0,
            };
            let page = export_page(Path::new("e.jsonl"), &report, &[]);
            assert!(page.contains(said), "{page}");
        }
    }
}
