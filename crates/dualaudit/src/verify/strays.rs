//! The other direction: that no row was put beside the log.
//!
//! That each entry has its rows, and what they say, is shown by its body and what stands beside it.

use super::{Finding, Report, is_damage};
use crate::store::{RowKey, Store, StoreError, Table};

/// Rows looked at at a time: few enough to be read from a slow disk within the time a question has.
const ROWS: u32 = 250;

/// Names every row, of one log or of all, that nothing vouches for.
pub(super) async fn check(
    store: &dyn Store,
    log: Option<&str>,
    report: &mut Report,
) -> Result<(), StoreError> {
    for table in Table::ALL {
        match check_table(store, table, log, report).await {
            Ok(()) => {}
            // The rest of this table cannot be read; the other tables can still be looked at.
            Err(error) if is_damage(&error) => report.add(Finding {
                log: log.unwrap_or("*").to_owned(),
                index: None,
                what: "database",
                expected: "readable".to_owned(),
                found: error.to_string(),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn check_table(
    store: &dyn Store,
    table: Table,
    log: Option<&str>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = store.strays(table, log, after.as_ref(), ROWS).await?;
        for row in &page.rows {
            // Of a log that is still being copied here not everything is there.
            if !report.arriving.iter().any(|log| log == row.log()) {
                report.add(stray(table, row));
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn stray(table: Table, row: &RowKey) -> Finding {
    let (what, expected) = match table {
        Table::Entry => ("size", "no entry that the head of its log does not count"),
        Table::Execution => ("executions", "the newest entry of an attempt for each row"),
        Table::Revision => ("revisions", "an entry for each row, and a newer one of its attempt"),
        Table::SourceObject => ("source objects", "an entry for each row"),
        Table::Quarantine => ("quarantine", "an entry for each row"),
        Table::Hold => ("holds", "an entry for each row"),
        Table::Review => ("reviews", "an entry for each row"),
        Table::Tile => ("tile", "no tile that the head of its log has no leaves for"),
        Table::Purged => ("purged", "an entry of a purge for each row"),
        Table::Erased => ("erased", "an entry of an erasure for each row"),
        Table::PurgePending => ("purged", "a purge of all its entries for each row"),
        Table::Succession => ("succession", "a log and the first entry of its successor for each row"),
        Table::Checkpoint => ("checkpoint", "one of its log, of the size that its note says, for each row"),
    };
    Finding {
        log: row.log().to_owned(),
        // Only an entry is one: the entry that another row names knows nothing of it.
        index: row.index().filter(|_| table == Table::Entry),
        what,
        expected: expected.to_owned(),
        found: format!("a row of {} with {row}", table.name()),
    }
}
