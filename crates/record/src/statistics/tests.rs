use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    Entry, Time, WorkflowExecutionAudit,
    entry::Verdict,
    erase::rest,
    execution::{
        AdjustmentType, Outcome, ScoreSource, Status, StepExecutionAudit, StepStatus, StoredExecution,
    },
    submitted::{MAX_COUNT, MAX_DURATION},
    testing::{self, now, plain_record},
};

fn at(text: &str) -> Time {
    text.parse().unwrap()
}

fn sums(records: &[WorkflowExecutionAudit], as_of: Time) -> Sums {
    let mut sums = Sums::default();
    records.iter().for_each(|record| give(&mut sums, &Contribution::of(record), 1, as_of));
    sums
}

/// Gives to the shortest bucket that is kept.
fn give(sums: &mut Sums, contribution: &Contribution, times: i64, as_of: Time) {
    sums.give_to(Kept::by(as_of).shortest(contribution.hour), contribution, times);
}

/// The one cell of a view whose key begins so.
fn cell(sums: &Sums, view: View, begins: &Key) -> Cell {
    let end = begins.end().unwrap();
    let mut found = sums.iter().filter(|((of, _, key), _)| *of == view && key >= begins && *key < end);
    let (_, cell) = found.next().unwrap();
    assert_eq!(found.next(), None);
    cell.clone()
}

#[test]
fn a_record_contributes_what_it_says() {
    let contribution = Contribution::of(&plain_record());
    assert_eq!(contribution.of.workflow, "restart-and-scale");
    assert_eq!(contribution.of.version, "v2");
    assert_eq!(contribution.hour.start(), at("2025-06-01T10:00:00Z"));
    let run = contribution.run.unwrap();
    assert_eq!((run.outcome, run.status), (Outcome::Partial, Status::Failed));
    assert_eq!((run.score, run.score_source), (400_000, ScoreSource::Reported));
    assert_eq!((run.duration, run.queued), (90_000_000, None));
    let step = |number, action: &str, status, retries, duration| StepRun {
        number,
        action: action.to_owned(),
        status,
        reached: true,
        retries,
        duration,
    };
    assert_eq!(
        run.steps,
        [
            step(1, "restart", StepStatus::Completed, 1, 30_000_000),
            step(2, "scale", StepStatus::Failed, 0, 60_000_000),
        ]
    );
    let kind = AdjustmentType::Timeout;
    assert_eq!(run.adjustments, [Adjusted { number: 1, action: "restart".to_owned(), kind }]);
    let text = |number, action: &str, about, pattern: &str| Text {
        number,
        action: action.to_owned(),
        about,
        pattern: pattern.to_owned(),
    };
    assert_eq!(
        contribution.texts,
        [
            text(0, "", About::Error, "step <number> failed"),
            text(1, "restart", About::Reason(kind), "slow node"),
            text(2, "scale", About::Error, "quota"),
        ]
    );
}

#[test]
fn a_step_that_is_there_twice_counts_once_and_one_that_was_not_begun_was_not_reached() {
    let mut record = plain_record();
    let second = record.step_executions[1].clone();
    let step = |step_number, status, retries_attempted| StepExecutionAudit {
        step_number,
        status,
        retries_attempted,
        ..second.clone()
    };
    record.step_executions.push(step(2, StepStatus::Completed, 2));
    record.step_executions.push(step(3, StepStatus::Skipped, 0));
    let run = Contribution::of(&record).run.unwrap();
    let seen: Vec<_> =
        run.steps.iter().map(|step| (step.number, step.status, step.retries, step.reached)).collect();
    assert_eq!(
        seen,
        [
            (1, StepStatus::Completed, 1, true),
            (2, StepStatus::Completed, 2, true),
            (3, StepStatus::Skipped, 0, false),
        ]
    );
    assert_eq!(run.steps[1].duration, 120_000_000);
}

#[test]
fn an_execution_is_in_one_cell_of_each_scope_and_in_its_steps() {
    let record = plain_record();
    let sums = sums(std::slice::from_ref(&record), now());
    for view in [View::Workflows, View::Runs] {
        let cells = sums.iter().filter(|((of, ..), _)| *of == view);
        assert_eq!(cells.count(), Scope::ALL.len());
    }
    let Cell::Runs(runs) = cell(&sums, View::Runs, &Key::scope(Scope::All, &[])) else { unreachable!() };
    assert_eq!(runs.ended[&Ended { outcome: Outcome::Partial, status: Status::Failed }], 1);
    assert_eq!(runs.scores[&ScoreSource::Reported], Scores { count: 1, sum: 400_000, squares: 160_000 });
    assert_eq!(runs.durations[&Outcome::Partial].sum, 90_000_000);
    assert_eq!((runs.retries, runs.retried), (1, 1));
    let step = Key::version("restart-and-scale", "v2").number(2);
    let Cell::Step(step) = cell(&sums, View::Steps, &step) else { unreachable!() };
    assert_eq!((step.broke, step.reached[&Outcome::Partial]), (1, 1));
    assert_eq!(step.ended[&(StepStatus::Failed, 0)], 1);
    let Cell::Stratum(stratum) = cell(&sums, View::Strata, &Key::workflow("restart-and-scale")) else {
        unreachable!()
    };
    assert_eq!(stratum.steps.len(), 2);
    let adjusted = (1, "restart".to_owned(), AdjustmentType::Timeout);
    assert_eq!(stratum.adjusted[&adjusted][&Outcome::Partial], 1);
}

#[test]
fn no_sum_of_four_billion_executions_overflows_whatever_they_say() {
    let mut record = WorkflowExecutionAudit {
        effectiveness_score: 1.0,
        rollbacks_performed: MAX_COUNT,
        total_duration: MAX_DURATION,
        queued_duration: Some(MAX_DURATION),
        ..plain_record()
    };
    let step = &mut record.step_executions[0];
    (step.retries_attempted, step.duration) = (MAX_COUNT, MAX_DURATION);
    let step = step.clone();
    record.step_executions.extend(std::iter::repeat_n(step, 1000));
    let contribution = Contribution::of(&record);
    let most = i64::from(MAX_COUNT) << 32;

    let mut sums = Sums::default();
    give(&mut sums, &contribution, 1 << 31, now());
    let other = sums.clone();
    sums.merge(&other, 1);
    let Cell::Runs(runs) = cell(&sums, View::Runs, &Key::scope(Scope::All, &[])) else { unreachable!() };
    assert_eq!((runs.rollbacks, runs.retries, runs.retried), (most, most, 1 << 32));
    let micros = i128::from(MAX_DURATION / 1000) << 32;
    assert_eq!((runs.durations[&Outcome::Partial].sum, runs.queued.sum), (micros, micros));
    let step = Key::version("restart-and-scale", "v2").number(1);
    let Cell::Step(step) = cell(&sums, View::Steps, &step) else { unreachable!() };
    assert_eq!((step.retries, step.time), (most, 1001 * micros));
    // And all of it can be taken back.
    give(&mut sums, &contribution, -(1 << 32), now());
    assert!(sums.is_zero());
}

#[test]
fn whoever_was_cancelled_is_counted_and_no_more() {
    let record = WorkflowExecutionAudit { status: Status::Cancelled, ..plain_record() };
    let sums = sums(&[record], now());
    let Cell::Runs(runs) = cell(&sums, View::Runs, &Key::scope(Scope::All, &[])) else { unreachable!() };
    assert_eq!(runs.ended[&Ended { outcome: Outcome::Partial, status: Status::Cancelled }], 1);
    assert_eq!(RunsCell { ended: runs.ended.clone(), ..RunsCell::default() }, runs);
    assert!(sums.iter().all(|((view, ..), _)| *view != View::Steps));
}

#[test]
fn a_verdict_is_counted_by_how_the_execution_turned_out_and_changes_nothing_else() {
    for status in [Status::Failed, Status::Cancelled] {
        let record = WorkflowExecutionAudit { status, ..plain_record() };
        let mut reviewed = Sums::default();
        let contribution = Contribution::of(&record).reviewed(Some(Verdict::Harmful));
        let hour = Bucket::of(contribution.hour, Level::Hour);
        reviewed.give_to(hour, &contribution, 1);
        let all = Key::scope(Scope::All, &[]);
        let Cell::Runs(runs) = cell(&reviewed, View::Runs, &all) else { unreachable!() };
        assert_eq!(runs.verdicts, [((Verdict::Harmful, Outcome::Partial), 1)].into());
        let Cell::Runs(before) = cell(&sums(&[record], now()), View::Runs, &all) else { unreachable!() };
        assert_eq!(RunsCell { verdicts: Counts::new(), ..runs }, before);
        reviewed.give_to(hour, &contribution, -1);
        assert!(reviewed.is_zero());
    }
}

#[test]
fn the_keys_of_a_prefix_are_those_between_it_and_its_end() {
    let key = Key::workflow("a");
    let end = key.end().unwrap();
    for (workflow, is_within) in [("a", true), ("a ", false), ("ab", false), ("A", false), ("", false)] {
        let other = Key::version(workflow, "v1").number(u32::MAX);
        assert_eq!(other >= key && other < end, is_within, "{workflow:?}");
    }
    assert_eq!(Key::from_bytes(vec![u8::MAX]).end(), None);
}

#[test]
fn the_parts_of_a_key_can_be_read() {
    let of = Contribution::of(&plain_record()).of;
    let about = About::Reason(AdjustmentType::Other);
    let key = Key::stratum(&of).number(7).text("scale").about(about).text("é");
    let mut parts = key.parts();
    for expected in [&of.workflow, &of.version, &of.namespace, &of.incident_type, &of.target_kind] {
        assert_eq!(parts.text(View::Texts).unwrap(), expected);
    }
    assert_eq!(parts.number(View::Texts).unwrap(), 7);
    assert_eq!(parts.text(View::Texts).unwrap(), "scale");
    assert_eq!(parts.about().unwrap(), about);
    assert_eq!(parts.text(View::Texts).unwrap(), "é");
    assert!(parts.text(View::Texts).is_err() && parts.number(View::Texts).is_err() && parts.about().is_err());
    let others = Key::stratum(&of).number(7).text("scale").about(about).text("");
    assert_eq!(key.other_patterns().unwrap(), others);
    assert!(Key::stratum(&of).other_patterns().is_err());
    let key = Key::scoped(Scope::IncidentType, &of);
    for (key, version) in [(key.clone(), None), (key.text("v2"), Some("v2"))] {
        let mut parts = key.parts();
        assert_eq!(parts.scope().unwrap(), Scope::IncidentType);
        assert_eq!(parts.text(View::Runs).unwrap(), of.incident_type);
        assert_eq!(parts.text(View::Runs).unwrap(), of.workflow);
        assert_eq!(parts.last_text(View::Runs).unwrap(), version);
        assert_eq!(parts.last_text(View::Runs).unwrap(), None);
    }
}

#[test]
fn keys_are_those_that_have_what_is_asked_for() {
    let key = |parts: &[&str]| parts.iter().fold(Key::default(), |key, part| key.text(part));
    let all =
        [key(&["a", "b", "c"]), key(&["a", "", "c"]), key(&["a", "b"]), key(&["aa", "b", "c"]), key(&["b"])];
    let asked = |parts: &[Option<&str>]| -> Vec<usize> {
        let keys = Keys::of(Key::default(), parts);
        let has = |place: &usize| keys.has(all[*place].as_bytes());
        (0..all.len()).filter(has).collect()
    };
    assert_eq!(asked(&[]), [0, 1, 2, 3, 4]);
    assert_eq!(asked(&[None, None]), [0, 1, 2, 3, 4]);
    assert_eq!(asked(&[Some("a")]), [0, 1, 2]);
    assert_eq!(asked(&[Some("a"), Some("b")]), [0, 2]);
    assert_eq!(asked(&[Some("a"), None, Some("c")]), [0, 1]);
    assert_eq!(asked(&[None, Some("b")]), [0, 2, 3]);
    assert_eq!(asked(&[None, Some("")]), [1]);
    assert_eq!(Keys::of(Key::default(), &[Some("a"), None, Some("c")]).begins(), &key(&["a"]));
}

proptest! {
    #[test]
    fn an_erasure_takes_the_texts_back_and_nothing_else(record in testing::record()) {
        let (revision, recorded_at) = (1, now());
        let stored = StoredExecution { record: record.clone(), revision, recorded_at, source_digest: None };
        let Some(Entry::Execution(left)) = rest(&Entry::Execution(Box::new(stored))) else { unreachable!() };
        let (before, after) = (Contribution::of(&record), Contribution::of(&left.record));
        prop_assert_eq!(&after.texts, &[]);
        prop_assert_eq!(&after, &Contribution { texts: Vec::new(), ..before.clone() });
        let mut sums = sums(&[record], now());
        if let Some(texts) = before.of_texts() {
            give(&mut sums, &texts, -1, now());
        }
        give(&mut sums, &after, -1, now());
        prop_assert!(sums.is_zero());
    }

    #[test]
    fn what_was_given_can_be_taken_back_in_any_order(
        records in vec(testing::record(), 1..8),
        first in any::<prop::sample::Index>(),
    ) {
        let mut sums = sums(&records, now());
        let (before, after) = records.split_at(first.index(records.len()));
        for record in after.iter().chain(before) {
            give(&mut sums, &Contribution::of(record), -1, now());
        }
        prop_assert!(sums.is_zero());
    }

    #[test]
    fn what_is_put_together_is_what_had_been_given_later(
        records in vec(testing::record(), 1..8),
        then in 0..200_i64,
        later in 0..200_i64,
    ) {
        let then = now().saturating_add_micros(then * 86_400_000_000);
        let later = then.saturating_add_micros(later * 86_400_000_000);
        let mut rolled = Sums::default();
        for ((view, bucket, key), cell) in sums(&records, then).iter() {
            rolled.add(*view, Kept::by(later).shortest(bucket.start), key.clone(), cell, 1);
        }
        prop_assert_eq!(rolled, sums(&records, later));
    }
}

/// The row of executions that a cell of all of them makes.
fn row_of(cell: &RunsCell) -> WorkflowDay {
    let of_all = |which: &dyn Fn(Ended) -> bool| {
        let ended = cell.ended.iter().filter(|(ended, _)| which(**ended));
        ended.map(|(_, count)| i128::from(*count)).sum::<i128>()
    };
    let turned_out = |outcome| of_all(&|ended| ended.counts() && ended.outcome == outcome);
    let ended_by = |status| of_all(&|ended| ended.status == status);
    let said = |verdict| {
        let said = cell.verdicts.iter().filter(|((said, _), _)| *said == verdict);
        said.map(|(_, count)| i128::from(*count)).sum::<i128>()
    };
    WorkflowDay {
        executions: of_all(&|_| true),
        success: turned_out(Outcome::Success),
        partial: turned_out(Outcome::Partial),
        failed: turned_out(Outcome::Failed),
        timed_out: ended_by(Status::TimedOut),
        cancelled: ended_by(Status::Cancelled),
        deleted: ended_by(Status::Deleted),
        retried: cell.retried.into(),
        retries: cell.retries.into(),
        rolled_back: cell.rolled_back.into(),
        rollbacks: cell.rollbacks.into(),
        score_count: cell.scores.values().map(|scores| i128::from(scores.count)).sum(),
        score_sum: cell.scores.values().map(|scores| i128::from(scores.sum)).sum(),
        duration_sum: cell.durations.values().map(|timed| timed.sum).sum(),
        successful_duration_sum: cell.durations.get(&Outcome::Success).map_or(0, |timed| timed.sum),
        queued_count: cell.queued.sketch.count().into(),
        queued_sum: cell.queued.sum,
        effective: said(Verdict::Effective),
        ineffective: said(Verdict::Ineffective),
        harmful: said(Verdict::Harmful),
    }
}

/// The row of a step that a cell makes.
fn row_of_step(cell: &StepCell) -> StepDay {
    let ended = |status| {
        let ended = cell.ended.iter().filter(|((ended, _), _)| *ended == status);
        ended.map(|(_, count)| i128::from(*count)).sum::<i128>()
    };
    StepDay {
        reached: cell.reached.values().map(|count| i128::from(*count)).sum(),
        completed: ended(StepStatus::Completed),
        failed: ended(StepStatus::Failed),
        timed_out: ended(StepStatus::TimedOut),
        broke: cell.broke.into(),
        retries: cell.retries.into(),
        duration_sum: cell.time,
    }
}

#[test]
fn a_day_has_the_numbers_of_its_executions() {
    let mut record = plain_record();
    let of = |record: &WorkflowExecutionAudit| Contribution::of(record).reviewed(Some(Verdict::Harmful));
    let mut daily = Daily::default();
    daily.give(&of(&record), 2);
    let ((day, stratum), row) = daily.workflows().first_key_value().unwrap();
    assert_eq!((day.to_string().as_str(), stratum.version.as_str()), ("2025-06-01", "v2"));
    let said = WorkflowDay::NAMES.iter().zip(row.values()).filter(|(_, number)| *number != 0);
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            (&"executions", 2),
            (&"partial", 2),
            (&"retried", 2),
            (&"retries", 2),
            (&"score_count", 2),
            (&"score_sum", 800_000),
            (&"duration_sum", 180_000_000),
            (&"harmful", 2),
        ]
    );
    let steps: Vec<_> = daily.steps().iter().map(|((_, of), row)| (of.number, row.values())).collect();
    assert_eq!(steps, [(1, vec![2, 2, 0, 0, 0, 2, 60_000_000]), (2, vec![2, 0, 2, 0, 2, 0, 120_000_000])]);
    record.status = Status::Deleted;
    let mut daily = Daily::default();
    daily.give(&of(&record), i64::MAX);
    let row = daily.workflows().first_key_value().unwrap().1.values();
    assert_eq!((row[0], row.iter().filter(|number| **number != 0).count()), (MOST, 3), "no more than that");
    assert!(daily.steps().is_empty());
}

proptest! {
    #[test]
    fn the_numbers_of_a_day_are_those_of_its_cells(
        records in vec((testing::record(), 0..4_usize), 1..8),
    ) {
        let (mut daily, mut sums) = (Daily::default(), Sums::default());
        for (record, verdict) in &records {
            let verdict = Verdict::ALL.get(*verdict).copied();
            let contribution = Contribution::of(record).reviewed(verdict);
            daily.give(&contribution, 1);
            sums.give_to(Bucket::of(contribution.hour, Level::Day), &contribution, 1);
        }
        let (mut rows, mut steps) = (0, 0);
        for ((day, of), row) in daily.workflows() {
            let key = Key::scoped(Scope::NamespaceIncidentTypeAndTargetKind, of).text(&of.version);
            let bucket = Bucket::of(Hour::of(day.start()), Level::Day);
            let cell = sums.iter().find(|((view, at, other), _)| (*view, *at, other) == (View::Runs, bucket, &key));
            let Some((_, Cell::Runs(cell))) = cell else { panic!("{of:?}") };
            prop_assert_eq!(*row, row_of(cell));
            rows += row.executions;
        }
        for ((day, of), row) in daily.steps() {
            let key = Key::version(&of.workflow, &of.version).number(of.number).text(&of.action);
            let bucket = Bucket::of(Hour::of(day.start()), Level::Day);
            let cell = sums.iter().find(|((view, at, other), _)| (*view, *at, other) == (View::Steps, bucket, &key));
            let Some((_, Cell::Step(cell))) = cell else { panic!("{of:?}") };
            prop_assert_eq!(*row, row_of_step(cell));
            steps += 1;
        }
        prop_assert_eq!(rows, records.len() as i128);
        let cells = sums.iter().filter(|((view, _, _), cell)| match cell {
            Cell::Step(cell) => *view == View::Steps && row_of_step(cell) != StepDay::default(),
            _ => false,
        });
        prop_assert_eq!(steps, cells.count());
        let mut taken = daily.clone();
        taken.merge(&daily, -1);
        prop_assert_eq!(taken, Daily::default());
    }
}
