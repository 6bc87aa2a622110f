//! Reviews: what is taken, what of it counts, and what becomes of it.

use dualaudit_record::{
    Entry, EntryKind, WorkflowExecutionAudit,
    entry::{Review, Verdict},
    execution::Outcome,
    statistics::{Cell, Counts, Hour, Key, Scope, View},
    time::{MAX, ZERO},
};

use super::{
    check::check_log,
    erase::erase,
    purge::{part, weigh},
    sample::{LOG, append, at, detail, from_producer, from_resource, open, record, review, stored},
};
use crate::store::{
    Answer, Disagreement, Disagreements, DraftContent, Filter, Receipt, ReceiptResult, Refusal, ReviewDraft,
    Reviews, Store, WantedCells, WantedDisagreements,
};

/// The contents of [`review`], by what they say.
const EFFECTIVE: u8 = 0;
const INEFFECTIVE: u8 = 1;
const HARMFUL: u8 = 2;

fn attempt(id: &str, attempt: u32) -> WorkflowExecutionAudit {
    WorkflowExecutionAudit { attempt, started_at: Some(at(i64::from(attempt) * 600)), ..record(id) }
}

async fn indexes(store: &dyn Store, id: &str) -> Vec<u64> {
    detail(store, id).await.reviews.iter().map(|row| row.index).collect()
}

pub(crate) async fn a_verdict_is_recorded_once_while_it_is_the_newest(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_resource(record("a"))]).await;
    let first = stored(store, review("a", None, HARMFUL)).await;
    assert_eq!((first.id.as_str(), first.index, first.result), ("a", 1, ReceiptResult::Created));
    let again = Receipt { result: ReceiptResult::Duplicate, ..first.clone() };
    assert_eq!(stored(store, review("a", Some(1), HARMFUL)).await, again);
    // Two that differ in a batch, and the second of them again; then what was said first, anew.
    let answers =
        append(store, [EFFECTIVE, INEFFECTIVE, INEFFECTIVE].map(|content| review("a", None, content))).await;
    let places: Vec<u64> = answers.into_iter().map(|answer| super::sample::receipt(answer).index).collect();
    assert_eq!(places, [2, 3, 3]);
    assert_eq!(stored(store, review("a", None, HARMFUL)).await.index, 4);
    let DraftContent::Review(draft) = review("a", None, HARMFUL) else { unreachable!() };
    let other = ReviewDraft { actor: "another".to_owned(), ..draft };
    assert_eq!(stored(store, DraftContent::Review(other)).await.index, 5);
    assert_eq!(indexes(store, "a").await, [5, 4, 3, 2, 1]);
    let newest = detail(store, "a").await.reviews.remove(0);
    assert_eq!((newest.review.verdict, newest.review.actor.as_str()), (Verdict::Harmful, "another"));
    let entries = check_log(store, LOG).await;
    assert_eq!(entries[5].body.entry(), Some(&Entry::Review(newest.review)));
    assert!(entries[1..].iter().all(|entry| entry.kind == EntryKind::Review && entry.attempt.is_none()));
}

pub(crate) async fn a_verdict_that_stands_is_recorded_once_whatever_is_said_since(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_producer(attempt("a", 1), None), from_producer(attempt("a", 2), None)]).await;
    let standing = |attempt, content| match review("a", attempt, content) {
        DraftContent::Review(draft) => DraftContent::Review(ReviewDraft { stands: true, ..draft }),
        _ => unreachable!("it is a review"),
    };
    let first = stored(store, standing(Some(2), HARMFUL)).await;
    append(store, [review("a", None, EFFECTIVE)]).await;
    let again = Receipt { result: ReceiptResult::Duplicate, ..first };
    // Alone, and twice in a batch; another, or of another attempt, is another.
    assert_eq!(stored(store, standing(None, HARMFUL)).await, again);
    let drafts = [standing(None, HARMFUL), standing(None, INEFFECTIVE), standing(Some(1), HARMFUL)];
    let drafts = drafts.into_iter().chain([standing(Some(1), HARMFUL), standing(None, INEFFECTIVE)]);
    let answers = append(store, drafts.collect::<Vec<_>>()).await;
    let places: Vec<u64> = answers.into_iter().map(|answer| super::sample::receipt(answer).index).collect();
    assert_eq!(places, [2, 4, 5, 5, 4]);
    // Somebody who says it says it anew.
    assert_eq!(stored(store, review("a", None, HARMFUL)).await.index, 6);
    check_log(store, LOG).await;
}

pub(crate) async fn only_what_is_recorded_is_reviewed(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_producer(attempt("a", 2), None), from_producer(attempt("a", 1), None)]).await;
    for (id, attempt, refusal) in
        [("b", None, Refusal::NothingRecorded), ("a", Some(3), Refusal::NoAttempt { latest: 2 })]
    {
        assert_eq!(append(store, [review(id, attempt, HARMFUL)]).await, [Answer::Refused(refusal)]);
    }
    append(store, [review("a", None, EFFECTIVE), review("a", Some(1), HARMFUL)]).await;
    // The latest unless another is named; each has reviews of its own.
    assert_eq!(indexes(store, "a").await, [2]);
    let weighed = weigh(store, at(5000), 100).await;
    stored(store, part(1, weighed)).await;
    let answers = append(store, [review("a", None, HARMFUL), review("a", Some(1), HARMFUL)]).await;
    assert_eq!(answers, [Answer::Refused(Refusal::Purged), Answer::Refused(Refusal::Purged)]);
    check_log(store, LOG).await;
}

pub(crate) async fn lists_go_by_the_newest_verdict_on_each_attempt(store: &dyn Store) {
    open(store, LOG).await;
    let unsaid = attempt("unsaid", 1);
    let drafts =
        [attempt("a", 1), attempt("a", 2), attempt("b", 1), unsaid].map(|it| from_producer(it, None));
    append(store, drafts).await;
    let said = [("a", 1, HARMFUL), ("a", 1, EFFECTIVE), ("b", 1, HARMFUL)];
    append(store, said.map(|(id, attempt, content)| review(id, Some(attempt), content))).await;
    for (review, expected) in [
        (Reviews::None, vec![("a", 2), ("unsaid", 1)]),
        (Reviews::Any, vec![("a", 1), ("b", 1)]),
        (Reviews::Said(Verdict::Effective), vec![("a", 1)]),
        (Reviews::Said(Verdict::Harmful), vec![("b", 1)]),
        (Reviews::Said(Verdict::Ineffective), vec![]),
    ] {
        let filter = Filter { review: Some(review), ..Filter::default() };
        let found = store.list(&filter, None, 10).await.unwrap().rows;
        let mut found: Vec<_> = found
            .iter()
            .map(|row| (row.execution.record.id.as_str(), row.execution.record.attempt))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{review:?}");
        assert_eq!(store.count(&filter, 10).await.unwrap(), expected.len() as u64);
    }
    let of = [("a", 1), ("a", 2), ("b", 1), ("c", 1)].map(|(id, attempt)| (id.to_owned(), attempt));
    let verdicts = store.verdicts(LOG, &of).await.unwrap();
    let expected = [(of[0].clone(), Verdict::Effective), (of[2].clone(), Verdict::Harmful)];
    assert_eq!(verdicts, expected.into());
    assert_eq!(store.verdicts("other", &of).await.unwrap(), [].into());
}

/// How those that were judged turned out, in all the log.
async fn verdicts(store: &dyn Store) -> Counts<(Verdict, Outcome)> {
    let begins = Key::scope(Scope::All, &[]);
    let wanted = WantedCells::all(View::Runs, begins, Hour::of(ZERO), Hour::of(MAX));
    let mut verdicts = Counts::new();
    for (_, _, cell) in store.cells(LOG, &[wanted]).await.unwrap().cells.remove(0) {
        let Cell::Runs(cell) = cell else { panic!("{cell:?}") };
        verdicts.merge(&cell.verdicts, |all, count| *all += count);
    }
    verdicts
}

pub(crate) async fn statistics_count_the_newest_verdict_on_the_last_attempt(store: &dyn Store) {
    use Outcome::{Failed, Success};
    use Verdict::{Effective, Harmful, Ineffective};
    open(store, LOG).await;
    let of = |id: &str, outcome| WorkflowExecutionAudit { outcome, ..attempt(id, 1) };
    append(store, [from_producer(of("a", Success), None), from_producer(of("b", Success), None)]).await;
    append(store, [review("a", None, INEFFECTIVE), review("a", None, HARMFUL)]).await;
    append(store, [review("b", None, EFFECTIVE)]).await;
    assert_eq!(verdicts(store).await, [((Effective, Success), 1), ((Harmful, Success), 1)].into());
    check_log(store, LOG).await;
    // A revision keeps the verdict of its attempt, whatever it changes.
    append(store, [from_producer(of("a", Failed), Some(1)), review("b", None, INEFFECTIVE)]).await;
    assert_eq!(verdicts(store).await, [((Ineffective, Success), 1), ((Harmful, Failed), 1)].into());
    // A later attempt takes it back, and no verdict on an earlier one counts.
    append(store, [from_producer(attempt("a", 2), None), review("a", Some(1), EFFECTIVE)]).await;
    assert_eq!(verdicts(store).await, [((Ineffective, Success), 1)].into());
    check_log(store, LOG).await;
    // What is purged keeps it.
    let weighed = weigh(store, at(5000), 100).await;
    let purge = stored(store, part(1, weighed)).await;
    assert_eq!(verdicts(store).await, [((Ineffective, Success), 1)].into());
    let entries = check_log(store, LOG).await;
    let Some(Entry::Purge(purge)) = entries[purge.index as usize].body.entry() else { panic!("a purge") };
    let contributed = purge.contributed.as_ref().unwrap().unpack().unwrap();
    let mut kept: Vec<_> = contributed.iter().map(|(_, contribution)| contribution.verdict()).collect();
    kept.sort();
    assert_eq!(kept, [None, Some(Ineffective)]);
}

pub(crate) async fn an_erasure_takes_the_note_and_leaves_the_verdict(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_resource(record("a"))]).await;
    append(store, [review("a", None, HARMFUL)]).await;
    let before = detail(store, "a").await.reviews.remove(0).review;
    assert_ne!(before.note, "");
    stored(store, erase("a")).await;
    let left = detail(store, "a").await.reviews.remove(0).review;
    assert_eq!(left, Review { note: String::new(), ..before });
    check_log(store, LOG).await;
    // The same is no duplicate any more, and goes with the next erasure, even once the record is purged.
    assert_eq!(stored(store, review("a", None, HARMFUL)).await.result, ReceiptResult::Created);
    let weighed = weigh(store, at(5000), 100).await;
    stored(store, part(1, weighed)).await;
    assert_eq!(stored(store, erase("a")).await.result, ReceiptResult::Created);
    let entries = check_log(store, LOG).await;
    assert!(!format!("{entries:?}").contains("locked out"), "{entries:?}");
}

async fn disagreements(
    store: &dyn Store,
    workflow: Option<&str>,
    before: Option<u64>,
    limit: u32,
) -> Disagreements {
    let (log, workflow) = (LOG.to_owned(), workflow.map(str::to_owned));
    store.disagreements(&WantedDisagreements { log, workflow, before, limit }).await.unwrap()
}

pub(crate) async fn verdicts_that_disagree_are_found_newest_first(store: &dyn Store) {
    open(store, LOG).await;
    let of = |id: &str, outcome, workflow: &str| {
        let workflow_name = workflow.to_owned();
        from_producer(WorkflowExecutionAudit { outcome, workflow_name, ..attempt(id, 1) }, None)
    };
    append(
        store,
        [
            of("a", Outcome::Success, "one"),
            of("b", Outcome::Failed, "one"),
            of("c", Outcome::Partial, "two"),
            of("d", Outcome::Success, "two"),
            of("e", Outcome::Success, "two"),
            of("f", Outcome::Success, "one"),
        ],
    )
    .await;
    let reviews = [
        ("a", HARMFUL),
        ("b", EFFECTIVE),
        ("c", EFFECTIVE),
        ("d", EFFECTIVE),
        // Another verdict since, and another attempt since.
        ("e", INEFFECTIVE),
        ("e", EFFECTIVE),
        ("f", HARMFUL),
    ];
    append(store, reviews.map(|(id, content)| review(id, None, content))).await;
    append(store, [from_producer(attempt("f", 2), None)]).await;
    let ids = |of: &Disagreements| {
        let id = |it: &Disagreement| it.review.review.execution_id.clone();
        of.found.iter().map(id).collect::<Vec<_>>()
    };
    let all = disagreements(store, None, None, 10).await;
    assert_eq!((ids(&all), all.next), (["c", "b", "a"].map(str::to_owned).to_vec(), None));
    let first = &all.found[0];
    assert_eq!((first.workflow.as_str(), first.outcome, first.review.index), ("two", Outcome::Partial, 8));
    assert_eq!(ids(&disagreements(store, Some("one"), None, 10).await), ["b", "a"]);
    let page = disagreements(store, None, None, 2).await;
    assert_eq!((ids(&page), page.next), (["c", "b"].map(str::to_owned).to_vec(), Some(7)));
    let rest = disagreements(store, None, page.next, 2).await;
    assert_eq!((ids(&rest), rest.next), (vec!["a".to_owned()], None));
    // A revision settles one, and what is purged is none any more.
    let amended = WorkflowExecutionAudit {
        workflow_name: "one".to_owned(),
        outcome: Outcome::Success,
        ..attempt("b", 1)
    };
    append(store, [from_producer(amended, Some(1))]).await;
    assert_eq!(ids(&disagreements(store, None, None, 10).await), ["c", "a"]);
    let weighed = weigh(store, at(5000), 100).await;
    let one = weighed.into_iter().filter(|execution| execution.id == "c").collect();
    stored(store, part(1, one)).await;
    assert_eq!(ids(&disagreements(store, None, None, 10).await), ["a"]);
    assert_eq!(disagreements(store, Some("three"), None, 10).await, Disagreements::default());
}
