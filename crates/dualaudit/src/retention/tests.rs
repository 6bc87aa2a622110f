//! Plans and purges on every store.

use std::collections::BTreeSet;

use dualaudit_record::{
    Entry, EntryKind, Time, WorkflowExecutionAudit,
    digest::{Digest, content_digest},
    entry::{Covers, Hold},
    execution::{Outcome, Status},
    log::Nonce,
    proof::Head,
    selector::Selector,
};

use super::*;
use crate::{
    clock::Clock,
    query::{self, EntriesRequest, Listing},
    store::{
        Answer, Batch, Draft, DraftContent, ExecutionDraft, Filter, LogOpening, MAX_PURGED, Origin, Owner,
        Store, Tracked, TrackedState, TrackingChange, Which, postgres, sqlite,
    },
    verify::verify,
};

const SECRET: [u8; 32] = [1; 32];

/// Makes a test on each store of functions over a store.
macro_rules! on_every_store {
    ($($name:ident,)+) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&*super::sqlite::tests::fresh()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&*super::postgres::tests::fresh()).await;
            })+
        }
    };
}

on_every_store! {
    a_plan_says_what_goes_and_what_keeps_the_rest,
    a_plan_is_done_exactly_or_not_at_all,
    a_purge_that_ended_on_its_way_goes_on_where_it_ended,
    a_purge_tells_when_the_world_changes_on_its_way,
    holds_are_placed_where_they_belong_and_listed,
    an_execution_is_erased_in_the_log_that_has_it,
    a_log_that_was_rolled_back_takes_none_of_them,
}

struct At(Time);

impl Clock for At {
    fn now(&self) -> Time {
        self.0
    }
}

fn by<'a>(store: &'a dyn Store, clock: &'a dyn Clock) -> Appender<'a> {
    static NOTHING: Heads = Heads::new();
    Appender { store, clock, extends: &NOTHING }
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn clock() -> At {
    At(time("2026-11-25T12:00:00Z"))
}

async fn open(store: &dyn Store, log: &str) {
    let opening = LogOpening {
        log: log.to_owned(),
        owner: Owner::Producers,
        origin: format!("dualaudit.dev/{log}"),
        secret: SECRET,
        now: time("2015-01-01T00:00:00Z"),
    };
    store.open_log(opening).await.unwrap();
}

fn completed(id: &str, completed_at: Time) -> WorkflowExecutionAudit {
    serde_json::from_value(serde_json::json!({
        "id": id, "attempt": 1, "remediation_id": "rem", "workflow_name": "restart",
        "workflow_version": "v1", "total_steps": 0, "steps_completed": 0, "steps_failed": 0,
        "total_duration": 5, "outcome": "success", "effectiveness_score": 1.0,
        "score_source": "reported", "rollbacks_performed": 0, "step_executions": [],
        "adaptive_adjustments": [], "completed_at": completed_at, "status": "completed",
        "created_at": completed_at, "labels": {"team": "a"}, "namespace": "shop",
    }))
    .unwrap()
}

fn execution(record: WorkflowExecutionAudit) -> DraftContent {
    DraftContent::Execution(Box::new(ExecutionDraft {
        content_digest: content_digest(&record, &SECRET),
        record,
        origin: Origin::Producer { amend: None },
        source: None,
    }))
}

async fn append(store: &dyn Store, log: &str, contents: impl IntoIterator<Item = DraftContent>) {
    let draft = |content| Draft::new(Nonce([7; 16]), content);
    let drafts: Vec<Draft> = contents.into_iter().map(draft).collect();
    for drafts in drafts.chunks(500) {
        let batch = Batch { drafts: drafts.to_vec(), ..Batch::default() };
        let answers = store.append(log, batch.into(), clock().now()).await.unwrap();
        assert!(answers.iter().all(Answer::is_new), "{answers:?}");
    }
}

async fn ids(store: &dyn Store) -> BTreeSet<String> {
    let page = store.list(&Filter::default(), None, 1000).await.unwrap();
    page.rows.into_iter().map(|row| row.execution.record.id).collect()
}

fn policy() -> Policy {
    Policy::parse("keep: 7y\nrules: [{namespace: staging, keep: 90d}, {outcome: failed, keep: 10y}]").unwrap()
}

fn hold(covers: Covers) -> Hold {
    Hold { covers, reason: "case 7".to_owned(), actor: "counsel".to_owned() }
}

fn selecting(remediation_id: &str) -> Covers {
    let remediation_id = Some(remediation_id.to_owned());
    Covers::Selector(Selector { remediation_id, ..Selector::default() })
}

/// Two logs: what goes by [`policy`] is `old`, `older` and `staged`, and `foreign` of the other log.
async fn filled(store: &dyn Store) {
    open(store, "prod").await;
    open(store, "other").await;
    let old = time("2019-11-25T11:00:00Z");
    append(
        store,
        "prod",
        [
            execution(completed("old", old)),
            execution(completed("older", time("2016-01-01T00:00:00Z"))),
            execution(completed("young", time("2019-11-25T13:00:00Z"))),
            execution(WorkflowExecutionAudit {
                outcome: Outcome::Failed,
                status: Status::Failed,
                ..completed("failed", old)
            }),
            execution(WorkflowExecutionAudit {
                namespace: Some("staging".to_owned()),
                ..completed("staged", time("2026-08-01T00:00:00Z"))
            }),
            execution(completed("held", old)),
            execution(WorkflowExecutionAudit {
                remediation_id: "rem-9".to_owned(),
                ..completed("selected", old)
            }),
            execution(completed("live", old)),
        ],
    )
    .await;
    append(store, "other", [execution(completed("foreign", old))]).await;
    holds::add(&by(store, &clock()), &[], &hold(Covers::ExecutionId("held".to_owned()))).await.unwrap();
    holds::add(&by(store, &clock()), &[], &hold(selecting("rem-9"))).await.unwrap();
    let live = Tracked {
        id: "live".to_owned(),
        namespace: "shop".to_owned(),
        name: "live".to_owned(),
        phase: "Completed".to_owned(),
        started_at: None,
        last_state: "{}".to_owned(),
        last_seen_at: clock().now(),
        state: TrackedState::Closed,
        running: None,
    };
    let batch = Batch { tracking: vec![TrackingChange::Seen(live)], ..Batch::default() };
    store.append("prod", batch.into(), clock().now()).await.unwrap();
}

async fn a_plan_says_what_goes_and_what_keeps_the_rest(store: &dyn Store) {
    filled(store).await;
    let before = ids(store).await;
    let planned = plan(store, &policy(), clock().now(), |_| {}).await.unwrap();
    assert_eq!(ids(store).await, before, "a plan changes nothing");
    assert!(planned.id.starts_with("20261125T120000Z-"), "{}", planned.id);
    assert_eq!(planned.policy, "7y; namespace \"staging\" 90d; outcome failed 10y");
    let [other, prod] = &planned.logs[..] else { panic!("{planned:#?}") };
    assert_eq!((other.log.as_str(), other.executions), ("other", 1));
    assert_eq!((prod.executions, prod.entries, prod.held, prod.tracked), (3, 3, 2, 1));
    assert!(prod.bytes > 3 * 100, "{}", prod.bytes);
    assert_eq!(prod.statistics.iter().map(|count| count.executions).collect::<Vec<_>>(), [3]);
    let kept: Vec<(u64, u64)> = prod.kept.iter().map(|kept| (kept.hold, kept.executions)).collect();
    assert_eq!(kept, [(8, 1), (9, 1)]);
    assert_eq!(prod.kept[1].because, hold(selecting("rem-9")));
    let again = plan(store, &policy(), clock().now(), |_| {}).await.unwrap();
    assert_eq!(again, planned, "the same world gives the same plan");
    let nothing = plan(store, &Policy::parse("keep: forever").unwrap(), clock().now(), |_| {}).await.unwrap();
    assert!(nothing.logs.iter().all(|log| log.executions + log.held + log.tracked == 0), "{nothing:#?}");
}

async fn a_plan_is_done_exactly_or_not_at_all(store: &dyn Store) {
    filled(store).await;
    let run =
        async |id: &str, policy: &Policy| purge(&by(store, &clock()), policy, id, "me", |_, _| {}).await;
    let planned = plan(store, &policy(), clock().now(), |_| {}).await.unwrap();
    let all = ids(store).await;
    for (id, expected) in
        [("20261125T120000Z-0123456789abcdef", "the world has changed"), ("nonsense", "is no plan")]
    {
        let error = run(id, &policy()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = run(&planned.id, &Policy::default()).await.unwrap_err();
    assert!(matches!(error, PurgeError::Changed(_)), "another policy is another plan: {error}");
    // What comes, is held, or is amended after the plan was made changes it.
    append(store, "prod", [execution(completed("late", time("2018-01-01T00:00:00Z")))]).await;
    assert!(matches!(run(&planned.id, &policy()).await, Err(PurgeError::Changed(_))));
    let with_late = plan(store, &policy(), clock().now(), |_| {}).await.unwrap();
    let held =
        holds::add(&by(store, &clock()), &[], &hold(Covers::ExecutionId("old".to_owned()))).await.unwrap();
    assert!(matches!(run(&with_late.id, &policy()).await, Err(PurgeError::Changed(_))));
    assert_eq!(ids(store).await.len(), all.len() + 1, "nothing went so far");
    holds::release(&by(store, &clock()), "prod", held[0].index, "over", "me").await.unwrap();
    let purged = run(&with_late.id, &policy()).await.unwrap();
    let went: Vec<(&str, u64)> = purged.logs.iter().map(|log| (log.log.as_str(), log.executions)).collect();
    assert_eq!(went, [("other", 1), ("prod", 4)]);
    let left = ["failed", "held", "live", "selected", "young"].map(str::to_owned);
    assert_eq!(ids(store).await, BTreeSet::from(left));
    // Done again, there is nothing left to do.
    assert_eq!(run(&with_late.id, &policy()).await.unwrap().logs, []);
    let entry = store.entries("prod", Which::Kind(EntryKind::Purge), 0, 10).await.unwrap().remove(0);
    let Some(Entry::Purge(said)) = entry.body.entry() else { panic!("{entry:?}") };
    assert_eq!((said.plan.as_str(), said.actor.as_str()), (with_late.id.as_str(), "me"));
    assert_eq!((said.part, said.parts, said.executions), (1, 1, 4));
    assert_eq!(verify(store, None, |_| {}).await.unwrap().findings, []);
}

async fn a_purge_that_ended_on_its_way_goes_on_where_it_ended(store: &dyn Store) {
    open(store, "prod").await;
    let many = 2 * MAX_PURGED + 7;
    let old = time("2016-01-01T00:00:00Z").as_micros();
    let record = |n: usize| {
        let at = Time::from_micros(old + i64::try_from(n).unwrap() * 60_000_000).unwrap();
        execution(completed(&format!("r{n}"), at))
    };
    append(store, "prod", (0..many).map(record)).await;
    let planned = plan(store, &Policy::default(), clock().now(), |_| {}).await.unwrap();
    assert_eq!(planned.logs[0].executions, many as u64);
    // Its caller goes away when the first part is through, while the second may be under way.
    let one_is_through = tokio::sync::Notify::new();
    let (policy, clock) = (Policy::default(), clock());
    let appender = by(store, &clock);
    let ended = tokio::select! {
        biased;
        () = one_is_through.notified() => true,
        _ = purge(&appender, &policy, &planned.id, "me", |_, _| one_is_through.notify_one()) => false,
    };
    assert!(ended, "it was ended on its way");
    let went = store.entries("prod", Which::Kind(EntryKind::Purge), 0, 10).await.unwrap().len();
    assert!((1..3).contains(&went), "{went}");
    purge(&by(store, &clock), &policy, &planned.id, "you", |_, _| {}).await.unwrap();
    assert!(ids(store).await.is_empty());
    let purges = store.entries("prod", Which::Kind(EntryKind::Purge), 0, 10).await.unwrap();
    let said: Vec<(u32, u32, u64)> = purges
        .iter()
        .map(|entry| match entry.body.entry() {
            Some(Entry::Purge(said)) => (said.part, said.parts, said.executions),
            other => panic!("{other:?}"),
        })
        .collect();
    let full = MAX_PURGED as u64;
    assert_eq!(said, [(1, 3, full), (2, 3, full), (3, 3, 7)]);
    assert_eq!(verify(store, None, |_| {}).await.unwrap().findings, []);
}

async fn a_purge_tells_when_the_world_changes_on_its_way(store: &dyn Store) {
    open(store, "prod").await;
    let old = time("2016-01-01T00:00:00Z");
    append(store, "prod", (0..MAX_PURGED + 3).map(|n| execution(completed(&format!("r{n:05}"), old)))).await;
    let planned = plan(store, &Policy::default(), clock().now(), |_| {}).await.unwrap();
    // When the first part is through, the last record of the second is held.
    let last = format!("r{:05}", MAX_PURGED + 2);
    let held = hold(Covers::ExecutionId(last.clone()));
    let on_the_way = |_, _| {
        let clock = clock();
        let appender = by(store, &clock);
        let place = holds::add(&appender, &[], &held);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(place)).unwrap();
    };
    let error =
        purge(&by(store, &clock()), &Policy::default(), &planned.id, "me", on_the_way).await.unwrap_err();
    let PurgeError::ChangedMeanwhile { executions, what, .. } = &error else { panic!("{error}") };
    assert_eq!(*executions, MAX_PURGED as u64, "{error}");
    assert!(what.contains(&last) && what.contains("held"), "{error}");
    assert_eq!(ids(store).await.len(), 3, "the second part is there, all of it");
    let rest = plan(store, &Policy::default(), clock().now(), |_| {}).await.unwrap();
    assert_eq!((rest.logs[0].executions, rest.logs[0].held), (2, 1));
    purge(&by(store, &clock()), &Policy::default(), &rest.id, "me", |_, _| {}).await.unwrap();
    assert_eq!(ids(store).await, BTreeSet::from([last]));
    assert_eq!(verify(store, None, |_| {}).await.unwrap().findings, []);
}

async fn holds_are_placed_where_they_belong_and_listed(store: &dyn Store) {
    filled(store).await;
    append(store, "other", [execution(completed("old", time("2019-01-01T00:00:00Z")))]).await;
    let one = |id: &str| hold(Covers::ExecutionId(id.to_owned()));
    let both = holds::add(&by(store, &clock()), &[], &one("old")).await.unwrap();
    let logs: Vec<&str> = both.iter().map(|receipt| receipt.log.as_str()).collect();
    assert_eq!(logs, ["other", "prod"], "in every log that has it");
    let prod = ["prod".to_owned()];
    assert!(matches!(
        holds::add(&by(store, &clock()), &[], &one("to come")).await,
        Err(holds::HoldError::NowhereYet(_))
    ));
    let ahead = holds::add(&by(store, &clock()), &prod, &one("to come")).await.unwrap();
    append(store, "prod", [execution(completed("to come", time("2016-01-01T00:00:00Z")))]).await;
    let planned = plan(store, &Policy::default(), clock().now(), |_| {}).await.unwrap();
    assert!(planned.logs[1].kept.iter().any(|kept| kept.hold == ahead[0].index && kept.executions == 1));
    let nowhere = holds::add(&by(store, &clock()), &["nowhere".to_owned()], &one("old")).await;
    assert!(nowhere.unwrap_err().to_string().contains("there are: other, prod"));
    let everything = hold(Covers::Selector(Selector::default()));
    assert!(matches!(
        holds::add(&by(store, &clock()), &[], &everything).await,
        Err(holds::HoldError::CoversNothing)
    ));
    for reason in ["", "  ", "a\0b", &"x".repeat(5000)] {
        let wordless = Hold { reason: reason.to_owned(), ..one("old") };
        assert!(matches!(
            holds::add(&by(store, &clock()), &[], &wordless).await,
            Err(holds::HoldError::Text { .. })
        ));
    }
    holds::release(&by(store, &clock()), "prod", ahead[0].index, "over", "me").await.unwrap();
    let list = async |logs: &[String], all| {
        let mut asked = vec![("released".to_owned(), format!("{all}")), ("limit".to_owned(), "2".to_owned())];
        asked.extend(logs.iter().map(|log| ("log".to_owned(), log.clone())));
        let mut found = Vec::new();
        loop {
            let request = EntriesRequest::parse(Listing::Holds, &asked).unwrap();
            let page = query::entries(store, &request).await.unwrap();
            found.extend(page.items.into_iter().map(|hold| (hold.log, hold.index, hold.released.is_some())));
            asked.retain(|(name, _)| name != "cursor");
            let Some(next) = page.next_cursor else { return found };
            asked.push(("cursor".to_owned(), next));
        }
    };
    assert_eq!(list(&[], false).await.len(), 5);
    let all = list(&[], true).await;
    let released: Vec<_> = all.iter().filter(|(_, _, released)| *released).collect();
    assert_eq!((all.len(), released), (6, vec![&("prod".to_owned(), ahead[0].index, true)]));
    assert!(all.is_sorted(), "{all:?}");
    assert_eq!(list(&prod, false).await.len(), 3);
    let purged = plan(store, &Policy::default(), clock().now(), |_| {}).await.unwrap();
    purge(&by(store, &clock()), &Policy::default(), &purged.id, "me", |_, _| {}).await.unwrap();
    let refused = holds::add(&by(store, &clock()), &[], &one("older")).await.unwrap_err();
    assert!(refused.to_string().contains("was purged"), "{refused}");
}

async fn an_execution_is_erased_in_the_log_that_has_it(store: &dyn Store) {
    open(store, "prod").await;
    open(store, "http").await;
    for (log, id) in [("prod", "a"), ("http", "b"), ("prod", "both"), ("http", "both")] {
        append(store, log, [execution(completed(id, time("2026-01-01T00:00:00Z")))]).await;
    }
    assert_eq!(erase::log_of(store, "b").await.unwrap(), "http");
    let nowhere = erase::log_of(store, "c").await.unwrap_err();
    assert!(matches!(nowhere, erase::EraseError::Nowhere(_)), "{nowhere}");
    let both = erase::log_of(store, "both").await.unwrap_err();
    assert!(both.to_string().contains("name one of them by --log: http, prod"), "{both}");

    let erase = async |log: &str, id: &str, reason: &str| {
        erase::erase(&by(store, &clock()), log, id, reason, "me").await
    };
    for (log, id, reason, expected) in [
        ("prod", "a", " ", "the reason is empty"),
        ("prod", "", "x", "the execution's id is empty"),
        ("nowhere", "a", "x", "there is no log nowhere; there are: http, prod"),
        ("prod", "b", "x", "log prod: execution b was not erased: the log has nothing of this execution"),
    ] {
        let error = erase(log, id, reason).await.unwrap_err().to_string();
        assert_eq!(error, expected);
    }
    let receipts = erase("prod", "both", "request 42").await.unwrap();
    assert_eq!(receipts.len(), 1);
    let again = erase("prod", "both", "request 43").await.unwrap();
    assert_eq!((again.len(), again[0].index), (1, receipts[0].index), "once");
    assert_eq!(verify(store, None, |_| {}).await.unwrap().findings, []);
    let entries = store.entries("http", Which::Kind(EntryKind::Erasure), 0, 10).await.unwrap();
    assert!(entries.is_empty(), "what another log has under that id is another execution");
}

async fn a_log_that_was_rolled_back_takes_none_of_them(store: &dyn Store) {
    open(store, "prod").await;
    append(store, "prod", [execution(completed("a", time("2016-01-01T00:00:00Z")))]).await;
    let planned = plan(store, &Policy::default(), clock().now(), |_| {}).await.unwrap();
    let held = hold(Covers::ExecutionId("a".to_owned()));
    let other = Digest([7; 32]);
    for lost in [Head { size: 2, root: other }, Head { size: 1, root: other }] {
        let extends = Heads::from([("prod".to_owned(), lost)]);
        let clock = clock();
        let appender = Appender { store, clock: &clock, extends: &extends };
        let said = [
            holds::add(&appender, &[], &held).await.unwrap_err().to_string(),
            purge(&appender, &Policy::default(), &planned.id, "me", |_, _| {}).await.unwrap_err().to_string(),
            erase::erase(&appender, "prod", "a", "request", "me").await.unwrap_err().to_string(),
        ];
        for said in said {
            assert!(said.contains("rolled back"), "{said}");
        }
    }
    assert_eq!(store.logs().await.unwrap()[0].size, 1);
    let head = &store.logs().await.unwrap()[0];
    let extends = Heads::from([("prod".to_owned(), Head { size: head.size, root: head.root })]);
    let clock = clock();
    let appender = Appender { store, clock: &clock, extends: &extends };
    erase::erase(&appender, "prod", "a", "request", "me").await.unwrap();
}
