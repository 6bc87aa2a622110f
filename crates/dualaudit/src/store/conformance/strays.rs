//! Rows that nothing vouches for: none that the store wrote itself.

use dualaudit_record::{WorkflowExecutionAudit, entry::GapCause};

use super::{
    check::strays,
    sample::{LOG, append, at, batch, from_producer, from_resource, gap, hold, open, quarantine, record},
};
use crate::store::{DraftContent, Store, Table};

fn amended(id: &str, score: f64) -> WorkflowExecutionAudit {
    WorkflowExecutionAudit { effectiveness_score: score, ..record(id) }
}

/// Rows for every table.
fn contents(prefix: &str) -> Vec<DraftContent> {
    let id = |n: u32| format!("{prefix}-{n}");
    vec![
        from_resource(record(&id(1))),
        from_producer(record(&id(2)), None),
        from_resource(amended(&id(1), 0.25)),
        from_resource(amended(&id(1), 0.5)),
        quarantine(&id(3), "{}"),
        quarantine(&id(3), "[]"),
        hold(&id(1), "audit"),
        hold(&id(1), "dispute"),
        DraftContent::Gap(gap(&id(4), Some(at(0)), GapCause::Vanished)),
    ]
}

pub(crate) async fn whatever_was_appended_is_vouched_for_and_looked_at_once(store: &dyn Store) {
    let logs = ["one", "two"];
    for log in logs {
        open(store, log).await;
        for round in 0..40 {
            store.append(log, batch(contents(&round.to_string())), at(1)).await.unwrap();
        }
    }
    for (table, rows) in [
        (Table::Entry, 360),
        (Table::Execution, 80),
        (Table::Revision, 80),
        (Table::SourceObject, 120),
        (Table::Quarantine, 80),
        (Table::Hold, 80),
        // Two of leaves, and the beginning of one above.
        (Table::Tile, 3),
    ] {
        for limit in [1, 7, 1000] {
            for (log, rows) in [(Some("one"), rows), (Some("two"), rows), (Some("no"), 0), (None, 2 * rows)] {
                let (strays, pages) = strays(store, table, log, limit).await;
                assert_eq!(strays, [], "{table:?} {log:?}");
                // A full page says where to go on, though there may be nothing there.
                assert_eq!(pages, rows / limit + 1, "{table:?} {log:?} {limit}");
            }
        }
    }
}

pub(crate) async fn what_is_appended_meanwhile_is_no_stray(store: &dyn Store) {
    open(store, LOG).await;
    let appending = async {
        for round in 0..30 {
            append(store, contents(&round.to_string())).await;
            append(store, [from_resource(amended("amended", f64::from(round) / 64.0))]).await;
        }
    };
    let looking = async {
        for _ in 0..20 {
            for table in Table::ALL {
                assert_eq!(strays(store, table, None, 5).await.0, []);
            }
        }
    };
    tokio::join!(appending, looking);
}
