//! Logs against what was promised of them elsewhere, by databases and by servers.

use std::{collections::BTreeSet, sync::Arc};

use dualaudit_record::{
    checkpoint::{Checkpoint, SigningKey, VerifierKey},
    proof,
};

use super::*;
use crate::{
    proof::Bundler,
    store::{
        Head, LogReader as _, SharedStore, Which,
        conformance::{
            sample,
            tampered::{Tampered, on_both},
        },
    },
};

const ORIGIN: &str = "dualaudit.dev/test";

fn key(seed: u8) -> SigningKey {
    SigningKey::secret_text(ORIGIN, [seed; 32]).unwrap().parse().unwrap()
}

fn public(seed: u8) -> Vec<VerifierKey> {
    vec![key(seed).public().clone()]
}

impl Audit {
    /// A checkpoint of the log as it is.
    async fn checkpoint(&self, seed: u8) -> SignedCheckpoint {
        checkpoint(&self.store, seed).await
    }

    async fn publish(&self, seed: u8) {
        publish(&self.store, self.checkpoint(seed).await).await;
    }

    async fn against(&self, keys: &[VerifierKey], copies: &[SignedCheckpoint]) -> Report {
        against(&self.store, keys, copies).await
    }
}

async fn head(store: &dyn Store) -> Head {
    store.logs().await.unwrap().into_iter().find(|head| head.log == LOG).unwrap()
}

async fn checkpoint(store: &dyn Store, seed: u8) -> SignedCheckpoint {
    let Head { size, root, .. } = head(store).await;
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
    SignedCheckpoint::sign(checkpoint, &[key(seed)]).unwrap()
}

async fn publish(store: &dyn Store, checkpoint: SignedCheckpoint) {
    let batch = Batch { checkpoint: Some(checkpoint), ..Batch::default() };
    store.append(LOG, batch.into(), now()).await.unwrap();
}

async fn against(store: &dyn Store, keys: &[VerifierKey], copies: &[SignedCheckpoint]) -> Report {
    let copies = |origin: &str| {
        let kept = copies.iter().filter(|copy| copy.head().origin == origin).cloned();
        let kept: Vec<_> = kept.map(|checkpoint| Ok(Kept { at: Some(now()), checkpoint })).collect();
        vec![Copy { place: "file:copies".to_owned(), kept: Box::new(kept.into_iter()) }]
    };
    let against = Against { keys, copies: &copies, ..Against::default() };
    verify_against(store, Some(LOG), against, |_| {}).await.unwrap()
}

fn whats(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.what).collect()
}

/// A log with a copy of it after each step, and the database as it was after the second.
async fn stepped() -> (Audit, Vec<SignedCheckpoint>, Audit) {
    let audit = Audit::with(3).await;
    let mut copies = vec![audit.checkpoint(1).await];
    audit.publish(1).await;
    audit.record(10..300).await;
    copies.push(audit.checkpoint(1).await);
    let older = audit.copy().await;
    audit.record(300..310).await;
    copies.push(audit.checkpoint(1).await);
    (audit, copies, older)
}

#[tokio::test]
async fn a_log_that_keeps_what_it_promised_agrees_with_every_copy() {
    let (audit, copies, _) = stepped().await;
    audit.publish(1).await;
    let report = audit.against(&public(1), &copies).await;
    assert_eq!(report.findings, []);
    let log = report.logs.iter().find(|log| log.log == LOG).unwrap();
    assert_eq!(log.copies, 3);
    let checkpoint = log.checkpoint.as_ref().unwrap();
    assert_eq!((checkpoint.size, &checkpoint.signed_by[..]), (log.size, &[ORIGIN.to_owned()][..]));
}

#[tokio::test]
async fn a_log_that_was_rolled_back_is_told_from_one_that_was_forked_or_cut_off() {
    let (audit, copies, older) = stepped().await;
    let report = older.against(&public(1), &copies).await;
    assert_eq!(whats(&report), ["rolled-back log"]);
    assert!(report.findings[0].found.contains("the first 296 are as they were"), "{report:?}");

    older.record(400..420).await;
    let report = older.against(&public(1), &copies).await;
    assert_eq!(whats(&report), ["forked log"]);
    assert!(report.findings[0].found.contains("somewhere from entry 296 on"), "{report:?}");
    assert!(report.findings[0].found.contains("a trusted key signed"), "{report:?}");

    let cut = audit.copy().await;
    cut.tamper("DELETE FROM log_entry WHERE log = 'test' AND idx >= 300");
    let report = cut.against(&public(1), &copies).await;
    assert!(whats(&report).contains(&"size"), "{report:?}");
    assert!(report.findings.iter().any(|finding| finding.found.contains("its end was cut off")));
    // Without copies, a rolled-back log agrees with itself.
    assert_eq!(older.verify().await.findings, []);
}

#[tokio::test]
async fn a_checkpoint_that_was_replaced_or_signed_by_another_key_is_found() {
    let (audit, ..) = stepped().await;
    audit.publish(1).await;
    assert_eq!(audit.against(&public(1), &[]).await.findings, []);
    let by_other = audit.checkpoint(2).await;
    let lying = SignedCheckpoint::sign(
        Checkpoint { origin: ORIGIN.to_owned(), size: 5, root: Digest([9; 32]) },
        &[key(1)],
    )
    .unwrap();
    let other_log = SignedCheckpoint::sign(
        Checkpoint { origin: "other.example".to_owned(), ..by_other.head().clone() },
        &[key(1)],
    )
    .unwrap();
    for (note, size) in [
        (by_other.as_str(), by_other.head().size),
        (lying.as_str(), 5),
        (other_log.as_str(), 5),
        ("no checkpoint", 5),
    ] {
        let changed = audit.copy().await;
        changed.tamper(&format!("UPDATE checkpoint SET size = {size}, note = '{note}'"));
        let report = changed.against(&public(1), &[]).await;
        let found = whats(&report);
        assert!(!found.is_empty() && found.iter().all(|what| *what == "checkpoint"), "{note}: {report:?}");
    }
}

/// Restored, cut off and signed anew by whoever owns the database.
async fn a_log_that_is_not_what_it_was_is_told_apart(store: &impl Tampered) {
    let inner = &**store;
    let opening = LogOpening { log: LOG.into(), origin: ORIGIN.into(), ..sample::opening(LOG) };
    inner.open_log(opening).await.unwrap();
    let record = async |ids: std::ops::Range<u32>| {
        let drafts = ids.map(|n| sample::from_producer(sample::record(&format!("r{n}")), None));
        let answers = inner.append(LOG, sample::batch(drafts), now()).await.unwrap();
        assert!(answers.iter().all(crate::store::Answer::is_new));
    };
    record(0..260).await;
    let mut copies = vec![checkpoint(inner, 1).await];
    publish(inner, copies[0].clone()).await;
    let tables: BTreeSet<String> = store.columns().into_iter().map(|column| column.table).collect();
    for table in &tables {
        store.tamper(&format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}"));
    }
    let restore = || {
        for table in &tables {
            store.tamper(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}"));
        }
    };
    record(260..270).await;
    copies.push(checkpoint(inner, 1).await);
    assert_eq!(against(inner, &public(1), &copies).await.findings, []);

    store.tamper("DELETE FROM log_entry WHERE idx >= 265");
    assert!(whats(&against(inner, &public(1), &copies).await).contains(&"size"));
    restore();
    assert_eq!(
        verify(inner, None, |_| {}).await.unwrap().findings,
        [],
        "what is restored agrees with itself"
    );
    assert_eq!(whats(&against(inner, &public(1), &copies).await), ["rolled-back log"]);
    record(300..320).await;
    assert_eq!(whats(&against(inner, &public(1), &copies).await), ["forked log"]);
    restore();
    let resigned = checkpoint(inner, 2).await;
    store.tamper(&format!("UPDATE checkpoint SET note = '{}'", resigned.as_str()));
    assert_eq!(whats(&against(inner, &public(1), &copies[..1]).await), ["checkpoint"]);
}

on_both! {
    a_log_that_is_not_what_it_was_is_told_apart,
}

#[tokio::test]
async fn a_check_goes_on_from_what_was_verified_before() {
    let (audit, copies, older) = stepped().await;
    let resumed = async |audit: &Audit, from: &SignedCheckpoint| {
        let known = proof::Head { size: from.head().size, root: from.head().root };
        let verified = |origin: &str| (origin == ORIGIN).then_some(known);
        let against = Against { verified: &verified, ..Against::default() };
        verify_against(&audit.store, Some(LOG), against, |_| {}).await.unwrap()
    };
    let report = resumed(&audit, &copies[1]).await;
    assert_eq!(report.findings, []);
    let log = &report.logs[0];
    assert_eq!((log.from, log.entries), (296, 10));
    // What comes after is still looked at, and what is before no more.
    let changed = audit.copy().await;
    changed.tamper("UPDATE log_entry SET body_digest = zeroblob(32) WHERE log = 'test' AND idx IN (5, 300)");
    let found = resumed(&changed, &copies[1]).await.findings;
    assert!(found.iter().any(|finding| finding.index == Some(300)), "{found:?}");
    assert!(found.iter().all(|finding| finding.index != Some(5)), "{found:?}");

    older.record(400..420).await;
    let report = resumed(&older, &copies[2]).await;
    assert_eq!(whats(&report), ["forked log"]);
    assert_eq!(report.logs[0].from, 0, "all of it is checked anew");
}

/// The store as a server gives it.
struct Direct(SharedStore, SignedCheckpoint);

#[async_trait::async_trait]
impl Served for Direct {
    async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let Some(tile) = path.strip_prefix("tile/") else { return Ok(self.1.as_str().into()) };
        let tile: dualaudit_record::log::TilePath = tile.parse().map_err(|error| format!("{error}"))?;
        let bytes = self.0.tiles(LOG, &[tile.id]).await.unwrap().remove(0);
        bytes.ok_or_else(|| format!("no {path}"))
    }
}

#[tokio::test]
async fn a_log_is_verified_as_it_is_served() {
    let (audit, copies, older) = stepped().await;
    let served = async |audit: &Audit, note: &SignedCheckpoint, copies: &[SignedCheckpoint]| {
        let source = Direct(Arc::new(audit.store.clone()), note.clone());
        let copies = |_: &str| {
            let kept: Vec<_> =
                copies.iter().cloned().map(|checkpoint| Ok(Kept { at: None, checkpoint })).collect();
            vec![Copy { place: "file:copies".to_owned(), kept: Box::new(kept.into_iter()) }]
        };
        let keys = public(1);
        let against = Against { keys: &keys, copies: &copies, ..Against::default() };
        verify_served(&source, LOG, against, |_| {}).await.unwrap()
    };
    let report = served(&audit, &copies[2], &copies).await;
    assert_eq!(report.findings, []);
    assert_eq!((report.logs[0].entries, report.logs[0].copies), (306, 3));
    // The server goes back in time, and shows an old checkpoint.
    assert_eq!(whats(&served(&audit, &copies[1], &copies).await), ["rolled-back log"]);
    let by_other = audit.checkpoint(2).await;
    assert_eq!(whats(&served(&audit, &by_other, &[]).await), ["checkpoint"]);
    older.record(400..410).await;
    assert_eq!(whats(&served(&older, &copies[2], &copies[..2]).await), ["root"]);
    let changed = audit.copy().await;
    changed.tamper("UPDATE log_entry SET recorded_at = recorded_at - 1 WHERE log = 'test' AND idx = 7");
    let found = whats(&served(&changed, &copies[2], &[]).await);
    assert!(found.contains(&"root") && found.contains(&"recorded_at"), "{found:?}");
}

#[tokio::test]
async fn bundles_are_verified_by_themselves() {
    let (audit, ..) = stepped().await;
    audit.publish(1).await;
    let mut bundler = Bundler::published(Arc::new(audit.store.clone()), LOG).await.unwrap();
    let mut lines = Vec::new();
    for stored in audit.store.entries(LOG, Which::All, 0, 20).await.unwrap() {
        let bundle = bundler.bundle(&stored).await.unwrap();
        let in_text = bundler.proved(&stored).await.unwrap().to_json().unwrap();
        assert_eq!(serde_json::from_slice::<dualaudit_record::proof::Bundle>(&in_text).unwrap(), bundle);
        lines.push(serde_json::to_string(&bundle).unwrap());
    }
    let text = lines.join("\n");
    let report = verify_bundles(text.as_bytes(), &public(1), |_| {}).unwrap();
    assert_eq!((report.proved, report.findings_total), (20, 0));
    assert_eq!(report.checkpoints.len(), 1);
    assert_eq!(report.checkpoints[0].signed_by, [ORIGIN]);
    // One over several lines, and one alone without an end.
    let pretty: serde_json::Value = serde_json::from_str(&lines[3]).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    for text in [format!("{pretty}\n\n{}\n", lines[4]), pretty.clone()] {
        assert!(verify_bundles(text.as_bytes(), &public(1), |_| {}).unwrap().is_clean());
    }
    // Files one after the other, without an end of a line between them; and more than is looked at together.
    let wide = |line: &String| line.replacen('{', &format!("{{{}", " ".repeat(1 << 20)), 1);
    let many: String = lines[..10].iter().map(wide).collect();
    assert!(many.len() > 8 << 20 && !many.contains('\n'));
    for (text, proved) in [
        (lines[3..5].concat(), 2),
        (pretty.repeat(3), 3),
        (format!("{}{pretty}{}  {}\n{pretty}", lines[2], lines[3], lines[4]), 5),
        (many, 10),
    ] {
        let report = verify_bundles(text.as_bytes(), &public(1), |_| {}).unwrap();
        assert_eq!((report.proved, report.findings_total), (proved, 0), "{:?}", report.findings);
    }
    let by_other = verify_bundles(text.as_bytes(), &public(2), |_| {}).unwrap();
    assert_eq!((by_other.proved, by_other.findings_total), (0, 20));
    let changed = lines[3].replace("\"restart\"", "\"replace\"");
    assert_ne!(changed, lines[3]);
    for (text, proved) in [
        (format!("{}\n{changed}\n{}", lines[2], lines[4]), 2),
        (format!("{}\nnonsense\n{}", lines[2], lines[4]), 2),
        (lines[3][..lines[3].len() - 1].to_owned(), 0),
        (String::new(), 0),
        ("\n \n".to_owned(), 0),
    ] {
        let report = verify_bundles(text.as_bytes(), &public(1), |_| {}).unwrap();
        assert_eq!((report.proved, report.findings_total), (proved, 1), "{report:?}");
    }
}
