//! Statistics, counted plainly from the entries of a log: nothing that the store computed is believed.

use std::collections::{BTreeMap, HashMap};

use dualaudit_record::{
    Entry, WorkflowExecutionAudit,
    entry::Verdict,
    statistics::{
        Bucket, Cell, Contribution, Daily, Hour, Kept, Key, Keys, Level, Part, StepDay, Stratum, Sums, View,
        WorkflowDay,
    },
    time::{MAX, ZERO},
};

use super::{
    check::check_log,
    sample::{LOG, append, at, batch, from_producer, from_resource, open, record, review},
};
use crate::store::{Folding, Head, Store, StoreError, StoredEntry, WantedCells};

/// The same executions are counted in hours, days, weeks and months, whenever they come and whenever they are folded.
pub(crate) async fn what_is_over_is_counted_in_longer_buckets(store: &dyn Store) {
    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    open(store, LOG).await;
    for (visit, day) in [0, 1, 2, 3, 4, 9, 17, 41, 42, 131, 132, 163, 420].into_iter().enumerate() {
        let late = [0, HOUR, 5 * HOUR, DAY, 2 * DAY, 8 * DAY, 33 * DAY, 130 * DAY];
        let records = late.into_iter().map(|late| WorkflowExecutionAudit {
            completed_at: at(day * DAY - late),
            workflow_name: format!("workflow-{}", (day + late) % 5),
            ..record(&format!("{day} {late}"))
        });
        let records = batch(records.map(|record| from_producer(record, None)));
        store.append(LOG, records, at(day * DAY + HOUR)).await.unwrap();
        match visit % 4 {
            0 => drop(check_log(store, LOG).await),
            // Ended in the midst of it.
            1 => drop(store.fold(LOG).await.unwrap()),
            2 => while store.fold(LOG).await.unwrap() == Folding::More {},
            _ => {}
        }
    }
    check_log(store, LOG).await;
}

/// Of an execution that turns out to have ended on another day, or to be another, nothing is left where it was.
pub(crate) async fn what_is_amended_is_counted_on_its_day_alone(store: &dyn Store) {
    open(store, LOG).await;
    let day = |days: i64| WorkflowExecutionAudit {
        completed_at: at(-days * 86_400),
        workflow_version: format!("v{days}"),
        ..record("r1")
    };
    append(store, [from_resource(day(1)), from_resource(record("r2"))]).await;
    append(store, [review("r1", None, 2)]).await;
    check_log(store, LOG).await;
    append(store, [from_resource(day(2)), from_resource(day(3))]).await;
    check_log(store, LOG).await;
    let days = |table: &str| format!("SELECT DISTINCT day FROM {table} ORDER BY day");
    let expected = [at(-3 * 86_400), at(0)].map(|time| vec![Some(time.to_string()[..10].to_owned())]);
    for table in ["statistics_workflow_day", "statistics_step_day", "learn_workflow_day"] {
        assert_eq!(store.asked_in_sql(&days(table)).await, expected, "{table}");
    }
}

/// The examples of docs/learning.md, in their order.
pub(crate) fn documented() -> Vec<&'static str> {
    let text = include_str!("../../../../../docs/learning.md");
    text.split("```sql\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// What the documentation asks in SQL is answered, in the same way on both.
pub(crate) async fn the_documented_questions_are_answered_in_sql(store: &dyn Store) {
    open(store, LOG).await;
    let on = |id: &str, name: &str| WorkflowExecutionAudit {
        completed_at: "2026-11-28T12:00:00Z".parse().unwrap(),
        workflow_name: name.to_owned(),
        ..record(id)
    };
    let records =
        [on("r1", "one"), on("r2", "two"), on("r3", "two")].map(|record| from_producer(record, None));
    store.append(LOG, batch(records), "2026-11-28T13:00:00Z".parse().unwrap()).await.unwrap();
    check_log(store, LOG).await;
    let questions: Vec<_> = documented().into_iter().filter(|sql| !sql.contains("$__")).collect();
    assert_eq!(questions.len(), 2);
    let asked = async |question: &str, columns: &[usize]| {
        let rows = store.asked_in_sql(question).await.into_iter().take(2);
        rows.map(|row| {
            columns.iter().map(|&column| row[column].clone().unwrap()).collect::<Vec<_>>().join(" ")
        })
        .collect::<Vec<_>>()
    };
    let mut executions = asked(questions[0], &[0, 2]).await;
    executions.sort();
    assert_eq!(executions, ["one 1", "two 2"]);
    assert_eq!(asked(questions[1], &[0, 1, 3, 4]).await, ["two 3 2 2", "one 3 1 1"]);
    // Each writes its numbers in its own way.
    let seconds = asked(questions[1], &[5]).await;
    assert_eq!(seconds.iter().map(|it| it.parse().unwrap()).collect::<Vec<f64>>(), [3.0, 1.5]);
}

/// Checks the statistics of a log, as they are, and once they are folded.
pub(super) async fn check_statistics(store: &dyn Store, head: &Head, entries: &[StoredEntry]) {
    if head.recorded_at.is_none() {
        return;
    }
    let (expected, daily) = plainly(head, entries);
    let is_behind = store.cells(&head.log, &[]).await.unwrap().behind.is_some();
    if !is_behind {
        assert_eq!(statistics(store, head).await, expected, "not all of it folded");
    }
    loop {
        match store.fold(&head.log).await {
            Ok(Folding::More) => {}
            Ok(Folding::Done) => break,
            Ok(Folding::PassedOver(entries)) => panic!("{entries:?} cannot be read"),
            Err(StoreError::Unavailable(why)) if why.contains("for reading only") => return,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(statistics(store, head).await, expected, "folded");
    parts_and_periods(store, head, &expected).await;
    in_sql(store, head, &daily).await;
}

/// Checks what SQL reads.
async fn in_sql(store: &dyn Store, head: &Head, expected: &Daily) {
    const OF: [&str; 5] = ["workflow", "version", "namespace", "incident_type", "target_kind"];
    let check =
        async |view: &str, key: &[&str], numbers: &[&str], rates: &[&str], expected: Vec<Vec<String>>| {
            let (log, key) = (&head.log, key.join(", "));
            let columns = [key.as_str(), &numbers.join(", "), &rates.join(", ")].join(", ");
            let sql = format!("SELECT {columns} FROM {view} WHERE log = '{log}' ORDER BY {key}");
            let found = store.asked_in_sql(&sql).await;
            let shown = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
            let found: Vec<Vec<String>> =
                found.into_iter().map(|row| row.into_iter().map(shown).collect()).collect();
            assert_eq!(found, expected, "{view}: {columns}");
        };
    let rates = ["success_rate", "effectiveness", "mean_duration_seconds"];
    let workflow = |on: &str, of: &Stratum, row: &WorkflowDay| {
        let key = [on, &of.workflow, &of.version, &of.namespace, &of.incident_type, &of.target_kind];
        let counted = row.success + row.partial + row.failed;
        let rates = [
            rate(row.success, counted, 1.0),
            rate(row.score_sum, row.score_count, 1e6),
            rate(row.duration_sum, counted, 1e6),
        ];
        let numbers = row.values().into_iter().map(|number| number.to_string());
        key.map(str::to_owned).into_iter().chain(numbers).chain(rates).collect::<Vec<_>>()
    };
    let mut months: BTreeMap<(String, &Stratum), WorkflowDay> = BTreeMap::new();
    let mut days = Vec::new();
    for ((day, of), row) in expected.workflows() {
        days.push(workflow(&day.to_string(), of, row));
        months.entry((format!("{}-01", &day.to_string()[..7]), of)).or_default().merge(row, 1);
    }
    let months = months.iter().map(|((month, of), row)| workflow(month, of, row)).collect();
    let key = |first: &'static str| [&[first][..], &OF].concat();
    check("learn_workflow_day", &key("day"), WorkflowDay::NAMES, &rates, days).await;
    check("learn_workflow_month", &key("month"), WorkflowDay::NAMES, &rates, months).await;
    let steps = expected.steps().iter().map(|((day, of), row)| {
        let key = [day.to_string(), of.workflow.clone(), of.version.clone(), of.number.to_string()];
        let rates =
            [rate(row.failed + row.timed_out, row.reached, 1.0), rate(row.duration_sum, row.reached, 1e6)];
        let numbers = row.values().into_iter().map(|number| number.to_string());
        key.into_iter().chain([of.action.clone()]).chain(numbers).chain(rates).collect()
    });
    let (key, rates) = (["day", "workflow", "version", "step_number", "action"], ["failure_rate", rates[2]]);
    check("learn_step_day", &key, StepDay::NAMES, &rates, steps.collect()).await;
}

/// A quotient as the database shows it; of nothing there is none.
fn rate(sum: i128, of: i128, unit: f64) -> String {
    if of == 0 { "NULL".to_owned() } else { (sum as f64 / of as f64 / unit).to_string() }
}

/// Checks cells summed over periods, and parts of cells, of what is expected by buckets.
async fn parts_and_periods(store: &dyn Store, head: &Head, expected: &Sums) {
    let as_of = head.recorded_at.expect("it has entries");
    let last = Hour::of(as_of);
    let days = |days: i32| Hour::from_number(last.number() - days * 24).expect("an hour");
    let (first, end) = (Hour::of(ZERO), Bucket::of(Hour::of(MAX), Level::Hour).end());
    let periods = [(first, end), (days(28), end), (days(90), days(2)), (days(400), days(17))];
    let mut questions = Vec::new();
    for (&view, (from, until)) in View::ALL.iter().flat_map(|view| periods.map(|period| (view, period))) {
        let key = expected.iter().find(|((of, _, _), _)| *of == view).map(|((_, _, key), _)| key);
        let keys = some_keys(view, &key.cloned().unwrap_or_default());
        for by in [None, Some(Level::SixHours), Some(Level::Day)] {
            for part in [Part::Ended, Part::Counts, Part::Successful, Part::EndedAndSuccessful, Part::All] {
                // In turn, so that each comes with most of the others.
                let keys = keys[questions.len() % keys.len()].clone();
                questions.push(WantedCells { view, keys, from, until, by, part });
            }
        }
    }
    let mut found = Vec::new();
    // Fewer at a time than a busy machine answers within the limit of a question.
    for questions in questions.chunks(50) {
        found.extend(store.cells(&head.log, questions).await.unwrap().cells);
    }
    for (question, found) in questions.iter().zip(found) {
        let places: Vec<_> = found.iter().map(|(stretch, key, _)| (stretch, key)).collect();
        assert!(places.windows(2).all(|two| two[0] < two[1]), "{question:?}");
        let found: BTreeMap<_, _> = found
            .iter()
            .map(|(stretch, key, cell)| ((question.by.map(|_| stretch.from), key.clone()), cell.clone()))
            .collect();
        assert_eq!(found, plain_cells(expected, question), "{question:?}");
    }
}

/// All keys; those that have the texts of one but for its second; and those that begin with it.
fn some_keys(view: View, key: &Key) -> [Keys; 3] {
    let mut parts = key.parts();
    let first = match view {
        View::Workflows | View::Runs => parts.scope().map(|scope| Key::scope(scope, &[])).unwrap_or_default(),
        _ => Key::default(),
    };
    let mut texts = vec![parts.text(view).ok(), None];
    if view != View::Steps {
        let _ = parts.text(view);
        texts.push(parts.text(view).ok());
    }
    [Key::default().into(), Keys::of(first, &texts), key.clone().into()]
}

/// The cells that a question asks for, by the first hour of their stretches where they are told apart by days.
fn plain_cells(expected: &Sums, wanted: &WantedCells) -> BTreeMap<(Option<Hour>, Key), Cell> {
    let mut cells: BTreeMap<(Option<Hour>, Key), Cell> = BTreeMap::new();
    for ((view, bucket, key), cell) in expected.iter() {
        if *view != wanted.view
            || bucket.end() <= wanted.from
            || bucket.start >= wanted.until
            || !wanted.keys.has(key.as_bytes())
        {
            continue;
        }
        let start = wanted.by.map(|level| match bucket.level {
            Level::Hour => Bucket::of(bucket.start, level).start,
            _ => bucket.start,
        });
        cells.entry((start, key.clone())).or_insert_with(|| view.zero()).merge(cell, 1);
    }
    cells.values_mut().for_each(|cell| cell.keep(wanted.part));
    cells.retain(|_, cell| !cell.is_zero());
    cells
}

/// The statistics of a log by its shortest buckets.
async fn statistics(store: &dyn Store, head: &Head) -> Sums {
    let wanted: Vec<WantedCells> = View::ALL
        .iter()
        .map(|&view| {
            let until = Bucket::of(Hour::of(MAX), Level::Hour).end();
            WantedCells::all(view, Key::default(), Hour::of(ZERO), until)
        })
        .collect();
    let found = store.cells(&head.log, &wanted).await.unwrap();
    assert_eq!((found.behind, found.passed_over), (None, 0));
    let mut sums = Sums::default();
    for (wanted, cells) in wanted.iter().zip(found.cells) {
        for (stretch, key, cell) in cells {
            let bucket = Level::ALL.iter().map(|&level| Bucket::of(stretch.from, level));
            let bucket = bucket.into_iter().find(|&bucket| stretch == bucket.into()).expect("a bucket");
            sums.add(wanted.view, bucket, key, &cell, 1);
        }
    }
    sums
}

/// Of each execution the last attempt counts, in its latest revision and by the newest verdict on it; what was purged, as
/// its purge says.
fn plainly(head: &Head, entries: &[StoredEntry]) -> (Sums, Daily) {
    let mut counted: HashMap<&str, (u32, Option<Contribution>)> = HashMap::new();
    let mut verdicts: HashMap<(&str, u32), Verdict> = HashMap::new();
    let (mut sums, mut daily) = (Sums::default(), Daily::default());
    let kept = Kept::by(head.recorded_at.expect("it has entries"));
    for stored in entries {
        if let (Some(id), Some(attempt)) = (stored.execution_id.as_deref(), stored.attempt) {
            let contribution = match stored.body.left() {
                Some(Entry::Execution(execution)) => Some(Contribution::of(&execution.record)),
                _ => None,
            };
            if counted.get(id).is_none_or(|(last, _)| *last <= attempt) {
                counted.insert(id, (attempt, contribution));
            }
        }
        if let Some(Entry::Review(review)) = stored.body.left() {
            verdicts.insert((&review.execution_id, review.attempt), review.verdict);
        }
        if let Some(Entry::Purge(purge)) = stored.body.entry() {
            for (times, contribution) in purge.contributed.as_ref().unwrap().unpack().unwrap() {
                sums.give_to(kept.shortest(contribution.hour), &contribution, times);
                daily.give(&contribution, times);
            }
        }
    }
    for (id, (attempt, contribution)) in counted {
        if let Some(contribution) = contribution {
            let verdict = verdicts.get(&(id, attempt)).copied();
            let contribution = contribution.reviewed(verdict);
            sums.give_to(kept.shortest(contribution.hour), &contribution, 1);
            daily.give(&contribution, 1);
        }
    }
    (sums, daily)
}
