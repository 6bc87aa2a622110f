//! Days on both databases, with a clock that stands where it is put.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use dualaudit_record::{
    Entry, EntryKind, Time,
    checkpoint::{Checkpoint, SignedCheckpoint},
    day::{Counts, Day},
    digest::Digest,
    entry::{DailyDigest, GapCause, Succession},
    execution::QUARANTINE_LABEL,
};
use serde_json::{Value, json};

use super::{digester::Step, *};
use crate::{
    clock::{Clock, SharedClock},
    ingest::{Answer, DraftContent, Ingest, TrackingChange},
    metrics::Metrics,
    store::{
        Batch, Draft, LogOpening, Owner, SharedStore, Which,
        conformance::{
            erase::erase,
            sample::{
                self, detail, from_quarantine, from_resource, gap, hold, quarantine, record, started, tracked,
            },
            tampered::{Tampered, on_both},
        },
        postgres, sqlite,
    },
    verify::verify,
};

const LOG: &str = "default";

struct Standing(AtomicI64);

impl Clock for Standing {
    fn now(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// A log whose days are digested.
struct Days {
    digester: Digester,
    store: SharedStore,
    clock: Arc<Standing>,
}

impl Days {
    async fn new(store: SharedStore) -> Self {
        let clock = Arc::new(Standing(AtomicI64::new(0)));
        let shared: SharedClock = clock.clone();
        let opening = LogOpening {
            log: LOG.to_owned(),
            owner: Owner::Cluster("5f0c".to_owned()),
            origin: "audit.example/default".to_owned(),
            secret: [7; 32],
            now: time("2026-01-01T00:00:00Z"),
        };
        let ingest =
            Ingest::open(store.clone(), shared.clone(), opening, Arc::new(Metrics::new())).await.unwrap();
        Self { digester: Digester { store: store.clone(), ingest, clock: shared }, store, clock }
    }

    fn at(&self, text: &str) {
        self.clock.0.store(time(text).as_micros(), Ordering::SeqCst);
    }

    async fn submit(&self, content: DraftContent) -> Answer {
        self.digester.ingest.submit(content).await.unwrap()
    }

    /// Makes all digests that are due, by a process that has just started.
    async fn digest(&self) {
        let mut next = None;
        for _ in 0..100 {
            if self.digester.step(&mut next).await.unwrap() == Step::Done {
                return;
            }
        }
        panic!("it comes to no end");
    }

    async fn digests(&self) -> Vec<DailyDigest> {
        let page = self.store.entries(LOG, Which::Kind(EntryKind::Digest), 0, 100).await.unwrap();
        let digest = |entry: crate::store::StoredEntry| match entry.body.entry() {
            Some(Entry::Digest(digest)) => (**digest).clone(),
            other => panic!("no digest: {other:?}"),
        };
        page.into_iter().map(digest).collect()
    }

    async fn summary(&self, since: &str, until: &str) -> LogSummary {
        let asked = Asked { since: since.parse().ok(), until: until.parse().ok() };
        summary(self.store.as_ref(), Some(LOG), asked, self.clock.now()).await.unwrap().logs.remove(0)
    }

    async fn verified(&self) {
        assert_eq!(verify(self.store.as_ref(), None, |_| {}).await.unwrap().findings, []);
    }
}

async fn on_both(test: impl AsyncFn(SharedStore)) {
    let file = sqlite::tests::fresh();
    test(Arc::new(file.store.clone())).await;
    let database = postgres::tests::fresh();
    test(Arc::new(database.store.clone())).await;
}

fn counts(recorded: u64) -> Counts {
    Counts { seen: recorded, recorded, ..Counts::default() }
}

#[tokio::test]
async fn what_was_lost_is_not_passed_over_on_the_day_another_log_went_on() {
    on_both(async |store| {
        let days = Days::new(store).await;
        days.at("2026-05-01T10:00:00Z");
        let kept = Checkpoint { origin: "audit.example/old".to_owned(), size: 7, root: Digest([1; 32]) };
        days.submit(DraftContent::Note(Box::new(Entry::Succession(Succession {
            predecessor: "old".to_owned(),
            size: 5,
            root: Digest([2; 32]),
            checkpoint: SignedCheckpoint::sign(kept, &[]).unwrap().as_str().to_owned(),
            reason: "restored".to_owned(),
            actor: "me".to_owned(),
        }))))
        .await;
        days.submit(from_resource(record("a"))).await;
        days.at("2026-05-02T10:00:00Z");
        days.digest().await;
        let summary = days.summary("2026-05-01", "2026-05-01").await;
        let lost = Lost { log: "old".to_owned(), from: 5, entries: 2 };
        assert_eq!((summary.missing_total, summary.lost.as_ref()), (0, Some(&lost)));
        assert!(!summary.is_complete());
        let after = days.summary("2026-05-02", "2026-05-02").await;
        assert!(after.is_complete() && after.lost.is_none(), "{after:?}");
    })
    .await;
}

#[tokio::test]
async fn a_day_is_digested_once_it_is_over_and_exactly() {
    on_both(async |store| {
        let days = Days::new(store).await;
        days.at("2026-05-01T10:00:00Z");
        days.digest().await;
        assert_eq!(days.digests().await, [], "an empty log has no days");
        days.submit(from_resource(record("a"))).await;
        days.submit(from_resource(record("b"))).await;
        days.submit(from_resource({
            let mut changed = record("b");
            changed.effectiveness_score = 0.5;
            changed
        }))
        .await;
        days.submit(hold("a", "audit")).await;
        let vanished = |id| DraftContent::Gap(gap(id, None, GapCause::Vanished));
        days.submit(vanished("lost")).await;
        days.submit(quarantine("odd", "{}")).await;
        days.at("2026-05-01T23:59:59.999999Z");
        days.digest().await;
        assert_eq!(days.digests().await, [], "the day is not over");

        days.at("2026-05-02T00:00:00Z");
        days.digest().await;
        let expected = DailyDigest {
            since: day("2026-05-01"),
            until: day("2026-05-01"),
            first: 0,
            end: 6,
            counts: Counts {
                seen: 4,
                recorded: 2,
                revisions: 1,
                gaps: 1,
                gap_causes: dualaudit_record::day::GapCauses { vanished: 1, ..Default::default() },
                quarantined: 1,
                holds: 1,
                ..Counts::default()
            },
            in_flight: Some(0),
        };
        assert_eq!(days.digests().await, [expected]);
        let entries = days.store.entries(LOG, Which::All, 6, 10).await.unwrap();
        let kinds: Vec<_> = entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [EntryKind::Heartbeat, EntryKind::Digest], "a heartbeat says that the day is over");
        days.digest().await;
        assert_eq!(days.digests().await.len(), 1, "once");
        days.verified().await;
    })
    .await;
}

#[tokio::test]
async fn days_on_which_nobody_looked_are_made_up_for_and_nothing_is_counted_twice() {
    on_both(async |store| {
        let days = Days::new(store).await;
        for (at, id) in [
            ("2026-05-01T10:00:00Z", "a"),
            ("2026-05-02T00:00:00Z", "b"),
            ("2026-05-02T23:59:59Z", "c"),
            ("2026-05-06T12:00:00Z", "d"),
        ] {
            days.at(at);
            days.submit(from_resource(record(id))).await;
        }
        days.at("2026-05-09T08:00:00Z");
        days.digest().await;
        let of = |since, until, first, end, recorded| DailyDigest {
            since: day(since),
            until: day(until),
            first,
            end,
            counts: counts(recorded),
            in_flight: None,
        };
        let mut expected = vec![
            of("2026-05-01", "2026-05-01", 0, 1, 1),
            of("2026-05-02", "2026-05-02", 1, 3, 2),
            of("2026-05-03", "2026-05-05", 3, 3, 0),
            of("2026-05-06", "2026-05-06", 3, 4, 1),
            of("2026-05-07", "2026-05-08", 4, 4, 0),
        ];
        expected[4].in_flight = Some(0);
        assert_eq!(days.digests().await, expected);

        // Of the day on which the digests were made.
        days.at("2026-05-10T08:00:00Z");
        days.digest().await;
        let last = days.digests().await.pop().unwrap();
        assert_eq!((last.since, last.first, last.counts), (day("2026-05-09"), 4, Counts::default()));
        days.verified().await;

        let summary = days.summary("2026-05-02", "2026-05-06").await;
        assert_eq!((summary.executions, summary.digests, summary.is_complete()), (3, 3, true));
        let all = days.summary("", "").await;
        assert_eq!((all.executions, all.digests), (4, 6));
        assert_eq!(all.days, Some(missing::Days { since: day("2026-05-01"), until: day("2026-05-10") }));
        assert_eq!((all.not_over, all.is_complete()), (Some(day("2026-05-10")), true));
    })
    .await;
}

#[tokio::test]
async fn two_who_digest_the_same_days_make_one_digest_of_each() {
    on_both(async |store| {
        let days = Days::new(store).await;
        days.at("2026-05-01T10:00:00Z");
        days.submit(from_resource(record("a"))).await;
        days.at("2026-05-04T10:00:00Z");
        tokio::join!(days.digest(), days.digest(), days.digest());
        let since: Vec<_> = days.digests().await.iter().map(|digest| digest.since.to_string()).collect();
        assert_eq!(since, ["2026-05-01", "2026-05-02"]);
        days.verified().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_missing_is_named_until_it_is_recorded() {
    on_both(async |store| {
        let days = Days::new(store).await;
        days.at("2026-05-01T10:00:00Z");
        days.submit(from_resource(record("a"))).await;
        let began = time("2026-05-01T09:00:00Z");
        days.submit(DraftContent::Gap(gap("lost", Some(began), GapCause::Overtaken))).await;
        days.submit(quarantine("odd", r#"{"n":1}"#)).await;
        days.submit(quarantine("odd", r#"{"n":2}"#)).await;
        let running = crate::store::Tracked { last_seen_at: days.clock.now(), ..tracked("running", None) };
        days.digester.ingest.track(TrackingChange::Seen(running));
        // It is recorded, and noted as it was seen before that.
        let ended = crate::store::Tracked { last_seen_at: days.clock.now(), ..tracked("a", None) };
        days.digester.ingest.track(TrackingChange::Seen(ended));
        assert!(days.digester.ingest.flush_tracking().await);
        days.at("2026-05-03T10:00:00Z");

        let summary = days.summary("", "").await;
        assert!(!summary.is_complete());
        let named: Vec<_> =
            summary.missing.iter().map(|it| (it.index, it.execution_id.as_str(), it.why.as_str())).collect();
        let reason = "status.steps[2].number: must be an integer";
        assert_eq!(named, [(1, "lost", "overtaken"), (3, "odd", reason)]);
        assert_eq!((summary.missing_total, summary.executions), (2, 3));
        assert_eq!(summary.in_flight_total, Some(1));
        assert_eq!(summary.in_flight[0].execution_id, "running");
        let without = missing::Days { since: day("2026-05-01"), until: day("2026-05-02") };
        assert_eq!(summary.without_digest, [without]);

        days.digest().await;
        assert_eq!(days.digests().await.last().unwrap().in_flight, Some(1));
        days.submit(from_resource(started("lost", began))).await;
        days.submit(from_resource(record("odd"))).await;
        let summary = days.summary("", "").await;
        assert!(summary.is_complete(), "{summary:?}");
        assert_eq!((summary.executions, summary.counts.seen), (3, 6));
        let past = days.summary("", "2026-05-02").await;
        assert_eq!((past.executions, past.in_flight_total, past.not_over), (1, Some(1), None));
        days.verified().await;
    })
    .await;
}

#[tokio::test]
async fn what_was_erased_in_quarantine_is_not_missing_any_more_and_a_gap_is() {
    on_both(async |store| {
        let days = Days::new(store).await;
        days.at("2026-05-01T10:00:00Z");
        days.submit(DraftContent::Gap(gap("lost", None, GapCause::Vanished))).await;
        days.submit(quarantine("odd", r#"{"n":1}"#)).await;
        days.submit(quarantine("other", r#"{"n":2}"#)).await;
        days.at("2026-05-02T10:00:00Z");
        days.digest().await;
        let named = async || -> Vec<String> {
            days.summary("", "").await.missing.into_iter().map(|it| it.execution_id).collect()
        };
        assert_eq!(named().await, ["lost", "odd", "other"]);
        for id in ["odd", "lost"] {
            assert!(matches!(days.submit(erase(id)).await, Answer::Stored(_)));
        }
        assert_eq!(named().await, ["lost", "other"]);
        days.verified().await;
    })
    .await;
}

#[tokio::test]
async fn days_with_too_many_entries_are_not_counted_without_a_digest() {
    on_both(async |store| {
        let days = Days::new(store.clone()).await;
        days.at("2026-05-01T10:00:00Z");
        days.submit(from_resource(record("a"))).await;
        days.at("2026-05-02T10:00:00Z");
        days.digest().await;
        for id in ["b", "c"] {
            days.submit(from_resource(record(id))).await;
        }
        days.submit(DraftContent::Gap(gap("lost", None, GapCause::Vanished))).await;
        // The second day has all but the first entry.
        let size = store.logs().await.unwrap().remove(0).size;
        let within = async |most| {
            let now = days.clock.now();
            missing::summary_within(store.as_ref(), None, Asked::default(), now, most)
                .await
                .unwrap()
                .logs
                .remove(0)
        };
        let today = missing::Days { since: day("2026-05-02"), until: day("2026-05-02") };
        for (most, recorded, not_counted) in [(size - 1, 3, vec![]), (size - 2, 1, vec![today])] {
            let summary = within(most).await;
            assert_eq!((summary.counts.recorded, &summary.not_counted), (recorded, &not_counted));
            assert_eq!((summary.missing_total, summary.not_over), (1, Some(today.since)));
        }
    })
    .await;
}

/// A resource as it was kept.
fn object(id: &str, phase: &str, completion: &Value) -> Value {
    json!({
        "apiVersion": "dualaudit.dev/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {
            "name": format!("run-{id}"), "namespace": "shop", "uid": id,
            "creationTimestamp": "2026-05-01T09:00:00Z",
            "labels": {"team": "a", QUARANTINE_LABEL: "99"},
        },
        "spec": {"workflow": {"name": "restart", "version": "v1"}, "steps": []},
        "status": {"phase": phase, "startTime": "2026-05-01T09:00:00Z", "completionTime": completion},
    })
}

async fn put(days: &Days, id: &str, phase: &str, completion: &Value) -> u64 {
    let reason = "the mapping of an earlier version could not read it";
    let draft = days.digester.ingest.quarantine(
        id,
        "shop",
        &format!("run-{id}"),
        reason,
        object(id, phase, completion),
    );
    match days.submit(draft).await {
        Answer::Stored(receipt) => receipt.index,
        other => panic!("{other:?}"),
    }
}

async fn again(days: &Days, ids: &[&str]) -> Result<Vec<Retried>, RetryError> {
    let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
    let mut all = Vec::new();
    let clock: &dyn Clock = days.clock.as_ref();
    let each = |retried| {
        all.push(retried);
        Ok::<(), RetryError>(())
    };
    retry(days.store.as_ref(), &days.digester.ingest, clock, &ids, each).await?;
    Ok(all)
}

#[tokio::test]
async fn what_can_be_mapped_by_now_is_recorded_once_and_refers_to_its_quarantine() {
    on_both(async |store| {
        let days = Days::new(store).await;
        days.at("2026-05-01T10:00:00Z");
        let ended = json!("2026-05-01T09:30:00Z");
        let fixed = put(&days, "fixed", "Completed", &ended).await;
        let running = put(&days, "running", "Executing", &Value::Null).await;
        let broken = put(&days, "broken", "Completed", &Value::Null).await;
        assert_eq!(days.summary("", "").await.missing_total, 3);

        let fates = again(&days, &[]).await.unwrap();
        let indexes: Vec<u64> = fates.iter().map(|retried| retried.index).collect();
        assert_eq!(indexes, [broken, running, fixed], "newest first");
        assert!(
            matches!(&fates[0].fate, Fate::Stays { reason } if reason.starts_with("status.completionTime")),
            "{fates:?}"
        );
        assert_eq!(fates[1].fate, Fate::NotEnded { phase: "Executing".to_owned() });
        let Fate::Recorded { receipt } = &fates[2].fate else { panic!("{fates:?}") };
        assert_eq!((receipt.index, receipt.attempt, receipt.revision), (3, Some(1), Some(1)));

        let (stored, _) = detail(days.store.as_ref(), "fixed").await.revisions.remove(0);
        assert_eq!(stored.record.labels[QUARANTINE_LABEL], fixed.to_string());
        assert_eq!((stored.record.cluster.as_deref(), &stored.record.labels["team"][..]), (Some(LOG), "a"));
        let kept = days.store.object(LOG, fixed).await.unwrap().unwrap();
        assert_eq!(days.store.object(LOG, receipt.index).await.unwrap().unwrap(), kept);
        assert_eq!(days.summary("", "").await.missing_total, 2);

        let left = again(&days, &[]).await.unwrap();
        assert_eq!(left.iter().map(|retried| retried.index).collect::<Vec<_>>(), [broken, running]);
        assert_eq!(again(&days, &["fixed"]).await.unwrap(), []);
        assert!(matches!(again(&days, &["fixed", "other"]).await, Err(RetryError::NotThere { id, .. }) if id == "other"));

        // The resource as it is now says the same: the label makes no difference.
        let record = match crate::source::observe(
            &serde_json::from_value(object("fixed", "Completed", &ended)).unwrap(),
            LOG,
            days.clock.now(),
        )
        .state
        {
            crate::source::State::Ended(record) => *record,
            other => panic!("{other:?}"),
        };
        let draft = days.digester.ingest.from_resource(record, object("fixed", "Completed", &ended));
        assert!(!days.submit(draft).await.is_new());
        days.verified().await;
    })
    .await;
}

#[tokio::test]
async fn an_object_in_quarantine_takes_the_place_of_what_is_older_only() {
    on_both(async |store| {
        let days = Days::new(store).await;
        days.at("2026-05-01T10:00:00Z");
        let (early, late) = (json!("2026-05-01T09:30:00Z"), json!("2026-05-01T09:40:00Z"));
        put(&days, "a", "Completed", &early).await;
        let newest = put(&days, "a", "Failed", &late).await;
        let fates = again(&days, &["a"]).await.unwrap();
        assert_eq!(fates.len(), 1, "the state before the newest one is none to record: {fates:?}");
        assert_eq!(fates[0].index, newest);
        assert!(days.summary("", "").await.is_complete());

        // What is recorded, and put in quarantine later, becomes a revision.
        let later = put(&days, "a", "Cancelled", &late).await;
        assert_eq!(days.summary("", "").await.missing_total, 1);
        let fates = again(&days, &[]).await.unwrap();
        let Fate::Recorded { receipt } = &fates[0].fate else { panic!("{fates:?}") };
        assert_eq!((fates[0].index, receipt.revision, fates.len()), (later, Some(2), 1));
        assert_eq!(again(&days, &[]).await.unwrap(), []);
        assert!(days.summary("", "").await.is_complete());
        days.verified().await;
    })
    .await;
}

#[tokio::test]
async fn a_log_that_takes_nothing_gets_no_digest_and_owes_none_of_its_last_day() {
    let file = sqlite::tests::fresh();
    let days = Days::new(Arc::new(file.store.clone())).await;
    days.at("2026-05-01T10:00:00Z");
    days.submit(from_resource(record("a"))).await;
    let locked = file.store.lock().await.unwrap();
    locked.close(LOG, "postgres://db/audit", time("2026-05-01T11:00:00Z")).await.unwrap();
    days.at("2026-05-04T10:00:00Z");
    days.digest().await;
    assert_eq!(days.digests().await, []);
    let summary = days.summary("", "").await;
    assert_eq!((summary.executions, summary.is_complete(), summary.not_over), (1, true, None));
}

#[tokio::test]
async fn a_digest_of_what_the_log_does_not_have_is_found() {
    on_both(async |store| {
        let base = async |digest: DailyDigest| {
            let draft = Draft::new(
                dualaudit_record::log::Nonce([3; 16]),
                DraftContent::Note(Box::new(Entry::Digest(Box::new(digest)))),
            );
            let batch = Batch { drafts: vec![draft], ..Batch::default() };
            store.append(LOG, batch.into(), time("2026-05-03T10:00:00Z")).await.unwrap();
        };
        let days = Days::new(store.clone()).await;
        days.at("2026-05-01T10:00:00Z");
        days.submit(from_resource(record("a"))).await;
        days.at("2026-05-03T09:00:00Z");
        days.submit(from_resource(record("b"))).await;
        let right = DailyDigest {
            since: day("2026-05-02"),
            until: day("2026-05-02"),
            first: 1,
            end: 1,
            counts: Counts::default(),
            in_flight: Some(7),
        };
        // Entry 2, without the day before it.
        base(right).await;
        // Entry 3: more than there is, of a day that is not over.
        let wrong = DailyDigest {
            since: day("2026-05-03"),
            until: day("2026-05-03"),
            end: 3,
            counts: counts(2),
            ..right_at(1)
        };
        base(wrong).await;
        let findings = verify(store.as_ref(), None, |_| {}).await.unwrap().findings;
        let found: Vec<_> =
            findings.iter().map(|it| (it.index.unwrap(), it.what, it.expected.as_str())).collect();
        assert_eq!(
            found,
            [
                (2, "digest", "one that begins on 2026-05-01, at entry 0"),
                (3, "digest", "one of days that were over"),
                (3, "digest", "the entries from 1 up to 4"),
            ],
            "{findings:#?}"
        );
    })
    .await;
}

fn right_at(first: u64) -> DailyDigest {
    let day = day("2026-05-02");
    DailyDigest { since: day, until: day, first, end: first, counts: Counts::default(), in_flight: None }
}

#[tokio::test]
async fn a_record_that_refers_to_what_did_not_put_its_object_in_quarantine_is_found() {
    on_both(async |store| {
        let days = Days::new(store.clone()).await;
        days.at("2026-05-01T10:00:00Z");
        days.submit(quarantine("a", "{}")).await;
        days.submit(quarantine("b", r#"{"other":1}"#)).await;
        days.submit(hold("c", "audit")).await;
        for (id, entry) in [("a", 0), ("b", 1), ("c", 0), ("d", 2), ("e", 99)] {
            days.submit(from_quarantine(record(id), entry)).await;
        }
        let findings = verify(store.as_ref(), None, |_| {}).await.unwrap().findings;
        let found: Vec<_> = findings.iter().map(|it| (it.index.unwrap(), it.what)).collect();
        // That of `a` is right; of `b` the object is another, of `c` the execution, of `d` and `e` the entry.
        assert_eq!(found, [4, 5, 6, 7].map(|index| (index, "quarantine")), "{findings:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_digest_that_was_changed_is_found_by_its_digest_and_by_what_it_says() {
    let file = sqlite::tests::fresh();
    let days = Days::new(Arc::new(file.store.clone())).await;
    days.at("2026-05-01T10:00:00Z");
    days.submit(from_resource(record("a"))).await;
    days.submit(DraftContent::Gap(gap("lost", None, GapCause::Vanished))).await;
    days.at("2026-05-02T00:00:00Z");
    days.digest().await;
    days.verified().await;
    let shell = rusqlite::Connection::open(file.file()).unwrap();
    let (trigger, again): (String, String) = shell
        .query_row(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'log_entry' AND sql LIKE '%BEFORE UPDATE%'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let change = format!(
        "DROP TRIGGER {trigger};
         UPDATE log_entry SET body = replace(body, '\"recorded\":1', '\"recorded\":2') WHERE kind = 'digest';
         {again}"
    );
    shell.execute_batch(&change).unwrap();
    let findings = verify(days.store.as_ref(), None, |_| {}).await.unwrap().findings;
    let found: Vec<_> = findings.iter().map(|it| (it.index.unwrap(), it.what)).collect();
    assert_eq!(found, [(3, "body digest"), (3, "digest")], "{findings:#?}");
}

async fn a_log_that_does_not_agree_with_its_digests_is_not_called_complete(store: &impl Tampered) {
    let inner = &**store;
    sample::open(inner, LOG).await;
    sample::append(inner, [DraftContent::Gap(gap("lost", None, GapCause::Vanished))]).await;
    let now = sample::at(200);
    let found = summary(inner, None, Asked::default(), now).await.unwrap();
    assert_eq!((found.is_complete(), found.logs[0].missing_total), (false, 1));
    store.tamper("UPDATE log_entry SET execution_id = 'another'");
    let refused = summary(inner, None, Asked::default(), now).await.unwrap_err();
    assert!(refused.to_string().contains("entry 0 is not what was appended"), "{refused}");
}

on_both! {
    a_log_that_does_not_agree_with_its_digests_is_not_called_complete,
}
