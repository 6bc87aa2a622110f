//! Every statement of ours, and how the server carries it out.

use std::{fs, path::Path};

use tokio_postgres::types::ToSql;

use dualaudit_record::{
    Time,
    entry::Verdict,
    execution::{Outcome, Status},
};

use super::fresh;
use crate::store::{
    Cursor, Filter, InFlightFilter, LabelRequirement, Reviews, Table, TrackingChange,
    conformance::sample::{LOG, append, at, from_producer, from_resource, open, record, tracked, tracking},
    postgres::{Options, PostgresStore, known, list, session::Session, strays, weigh},
};

/// Statements that name no log, and why.
const OF_NO_LOG: [&str; 16] = [
    // Of the table of logs itself, each of which is a row.
    "logs",
    // Of the server and the schema.
    "what a commit promises",
    "whether the schema is ours",
    "version of the schema",
    "a migration is applied",
    "where migrations look names up",
    "partitions ahead",
    "remove: logs",
    "remove: whether there is anything",
    "remove: purged months",
    "remove: whole months",
    "grant",
    // Of what is granted to whom.
    "grant a log",
    "whether the log is granted",
    "what may be written",
    // Of the session.
    "arrive: say so to the triggers",
];

#[test]
fn every_statement_names_its_log() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/postgres");
    let mut named = Vec::new();
    for file in fs::read_dir(sources).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() || path.ends_with("tests.rs") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for statement in source.split("&str =").skip(1).filter_map(|rest| rest.split(";\n").next()) {
            if !["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE ", "COPY "]
                .iter()
                .any(|verb| statement.contains(verb))
            {
                continue;
            }
            // A lock is of no table, and neither the server's catalog nor a privilege is of a log.
            let of_the_server = ["pg_advisory_xact_lock", "FROM pg_", "JOIN pg_", "has_table_privilege("];
            if of_the_server.iter().any(|part| statement.contains(part)) {
                continue;
            }
            let (_, after) = statement.split_once("-- ").unwrap_or_else(|| panic!("unnamed: {statement}"));
            let name = after.lines().next().unwrap().trim_end_matches(['"', ')']).to_owned();
            let of_a_log =
                ["log = $1", "name = $1", "log, ", "execution_columns!()", "(name, ", "log = log.name"]
                    .iter()
                    .any(|part| statement.contains(part));
            assert!(of_a_log || OF_NO_LOG.contains(&name.as_str()), "{name}: {statement}");
            named.push(name);
        }
    }
    assert!(named.len() > 30, "the statements were found: {named:?}");
    for name in OF_NO_LOG {
        assert!(named.iter().any(|found| found == name), "{name} is gone: take it off the list");
    }
}

/// The plan of a statement, as a reader's session makes it.
async fn plan(session: &Session, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Vec<String> {
    let rows = session.query(&format!("EXPLAIN (VERBOSE, COSTS off) {sql}"), values).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// All that a list can be narrowed by, each alone, and some together.
fn filters() -> Vec<(&'static str, Filter)> {
    let text = || Some("x".to_owned());
    let none = Filter::default;
    vec![
        ("nothing", none()),
        ("log", Filter { log: text(), ..none() }),
        ("workflow", Filter { workflow: text(), ..none() }),
        ("version", Filter { version: text(), ..none() }),
        ("outcome", Filter { outcome: Some(Outcome::Failed), ..none() }),
        ("the usual outcome", Filter { outcome: Some(Outcome::Success), ..none() }),
        ("status", Filter { status: Some(Status::TimedOut), ..none() }),
        ("the usual status", Filter { status: Some(Status::Completed), ..none() }),
        ("cluster", Filter { cluster: text(), ..none() }),
        ("namespace", Filter { namespace: text(), ..none() }),
        ("remediation_id", Filter { remediation_id: text(), ..none() }),
        ("incident_type", Filter { incident_type: text(), ..none() }),
        ("target", Filter { target: text(), ..none() }),
        ("target with its kind", Filter { target: Some("Pod/x".to_owned()), ..none() }),
        ("target kind", Filter { target_kind: text(), ..none() }),
        ("no target kind", Filter { target_kind: Some(String::new()), ..none() }),
        ("labels", Filter { labels: vec![LabelRequirement::Exists("x".to_owned())], ..none() }),
        ("completed since", Filter { completed_since: Time::from_micros(0), ..none() }),
        ("completed until", Filter { completed_until: Time::from_micros(0), ..none() }),
        ("since", Filter { since: Time::from_micros(0), ..none() }),
        ("until", Filter { until: Time::from_micros(9), ..none() }),
        ("min_duration", Filter { min_duration: Some(1), ..none() }),
        ("max_duration", Filter { max_duration: Some(u64::MAX), ..none() }),
        ("min_score", Filter { min_score: Some(0.5), ..none() }),
        ("max_score", Filter { max_score: Some(0.5), ..none() }),
        ("counted", Filter { counted: true, ..none() }),
        ("counted of a workflow", Filter { counted: true, workflow: text(), log: text(), ..none() }),
        ("name", Filter { name: text(), namespace: text(), ..none() }),
        ("not reviewed", Filter { review: Some(Reviews::None), ..none() }),
        ("found harmful", Filter { review: Some(Reviews::Said(Verdict::Harmful)), ..none() }),
        ("workflow of a log", Filter { workflow: text(), log: text(), ..none() }),
        ("workflow and remediation_id", Filter { remediation_id: text(), workflow: text(), ..none() }),
        (
            "outcome and since",
            Filter { outcome: Some(Outcome::Failed), since: Time::from_micros(0), ..none() },
        ),
    ]
}

#[tokio::test]
async fn every_list_seeks_in_an_index_and_touches_no_step() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, (0..300).map(|n| from_producer(record(&n.to_string()), None))).await;
    let session = Session::new(&store.store.pools.readers).await.unwrap();
    let after = Cursor { created_at: at(3), log: "l".to_owned(), id: "i".to_owned(), attempt: 1 };
    for (what, filter) in filters() {
        for query in [
            list::statement(&filter, 9, |_| {}),
            list::statement(&filter, 9, |query| query.rest_of_instant(&after)),
            list::statement(&filter, 9, |query| query.before_instant(Some(at(3)))),
            list::statement(&filter, 9, |query| query.since_instant(at(1))),
        ] {
            let values: Vec<&(dyn ToSql + Sync)> =
                query.values.iter().map(|value| value.as_ref() as _).collect();
            let plan = plan(&session, &query.sql, &values).await;
            let whole = plan.join("\n");
            let scans =
                plan.iter().filter(|step| step.contains("Scan") && step.contains("workflow_execution_audit"));
            for scan in scans {
                assert!(scan.contains("Index Scan using"), "{what}: {whole}");
            }
            for scan in plan.iter().filter(|step| step.contains("Scan") && step.contains("log_entry")) {
                assert!(scan.contains("Index Only Scan using log_entry_execution"), "{what}: {whole}");
            }
            // One index gives a log's page in its order; only those of several logs are sorted together.
            let impossible = whole.contains("One-Time Filter: false");
            let sorts = plan.iter().filter(|step| step.trim_end().ends_with("Sort")).count();
            assert!(sorts <= 1 || impossible, "{what}: {whole}");
            assert!(
                !whole.contains("step_executions") && !whole.contains("Seq Scan on public.workflow"),
                "{what}: {whole}"
            );
        }
    }
    session.end(Ok(())).await.unwrap();
}

#[tokio::test]
async fn every_page_of_strays_and_every_voucher_is_sought_by_a_key() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, (0..300).map(|n| from_producer(record(&n.to_string()), None))).await;
    let session = Session::new(&store.store.pools.readers).await.unwrap();
    for table in Table::ALL {
        for sql in strays::pages(table) {
            let generic = explain_generic(&session, &sql).await;
            assert!(!generic.contains("Seq Scan"), "{table:?}: {generic}");
            assert!(
                !generic.contains("->  Sort") && !generic.contains("Incremental"),
                "{table:?}: {generic}"
            );
        }
    }
    session.end(Ok(())).await.unwrap();
}

#[tokio::test]
async fn what_is_in_flight_is_read_from_its_index_alone_in_its_order() {
    let store = fresh();
    open(&*store, LOG).await;
    let runs = |n: i64| TrackingChange::Seen(tracked(&format!("{n:03}"), Some(at(n))));
    store.append(LOG, tracking((0..300).map(runs)), at(1)).await.unwrap();
    let session = Session::new(&store.store.pools.readers).await.unwrap();
    let text = || Some("x".to_owned());
    for filter in [
        InFlightFilter::default(),
        InFlightFilter { workflow: text(), ..InFlightFilter::default() },
        InFlightFilter { namespace: text(), target_kind: text(), ..InFlightFilter::default() },
        InFlightFilter {
            workflow: text(),
            version: text(),
            incident_type: text(),
            ..InFlightFilter::default()
        },
    ] {
        let plan = explain_generic(&session, &filter.statement('$')).await;
        assert!(plan.contains("Index Only Scan using tracked_running"), "{filter:?}: {plan}");
        assert!(!plan.contains("Sort"), "{filter:?}: {plan}");
    }
    session.end(Ok(())).await.unwrap();
}

#[tokio::test]
async fn executions_are_weighed_by_an_index_in_its_order() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, (0..300).map(|n| from_producer(record(&n.to_string()), None))).await;
    let session = Session::new(&store.store.pools.readers).await.unwrap();
    for sql in [weigh::LAST, &weigh::EXECUTIONS, &weigh::EARLIER, known::HOLDS_ON] {
        let plan = explain_generic(&session, sql).await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        // The holds are few, and from two indexes.
        assert!(sql == known::HOLDS_ON || !plan.contains("Sort\n"), "{plan}");
    }
    session.end(Ok(())).await.unwrap();
}

#[tokio::test]
async fn an_append_reads_no_more_of_a_log_that_has_grown() {
    const READ: &str = "
        SELECT (
            (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)
            + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)
        )::bigint";
    const ROWS: usize = 100;
    let fresh = fresh();
    open(&*fresh, LOG).await;
    let mut before = 0;
    for round in 0..10 {
        // What a session has read is counted when it ends.
        let store = PostgresStore::with(&fresh.location(), Options::default(), true).unwrap();
        append(&store, (0..ROWS).map(|n| from_resource(record(&format!("{round}-{n}"))))).await;
        fresh.close();
        let session = Session::new(&store.pools.readers).await.unwrap();
        let read: i64 = session.query_one(READ, &[]).await.unwrap().get(0);
        session.end(Ok(())).await.unwrap();
        // Its entry is looked for by a row and by its object.
        assert!(read - before < 4 * ROWS as i64, "append {round} read {} rows", read - before);
        before = read;
        fresh.close();
    }
}

/// The plan of a statement without values for its parameters.
async fn explain_generic(session: &Session, sql: &str) -> String {
    let statement = session.prepare(sql).await.unwrap();
    let nulls = vec!["NULL"; statement.params().len()].join(", ");
    let prepare = format!("SET plan_cache_mode = force_generic_plan; PREPARE page AS {sql}");
    session.batch_execute(&prepare).await.unwrap();
    let rows = session.query(&format!("EXPLAIN (COSTS off) EXECUTE page ({nulls})"), &[]).await.unwrap();
    session.batch_execute("DEALLOCATE page; SET plan_cache_mode = force_custom_plan").await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}
