//! The schema: what a database refuses is only refused while it is as it was made.

use super::{Finding, Report, is_damage};
use crate::store::{Store, StoreError};

/// Alterations that are named; the others are counted, so that they crowd out nothing that was changed meanwhile.
const NAMED: usize = 20;

/// Names what of the schema is missing, was changed, is disabled, or was added.
pub(super) async fn check(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let altered = match store.alterations().await {
        Err(error) if is_damage(&error) => vec![error.to_string()],
        altered => altered?,
    };
    report.findings_total += altered.len().saturating_sub(NAMED) as u64;
    for found in altered.into_iter().take(NAMED) {
        let (log, expected) = ("*".to_owned(), "as dualaudit made it".to_owned());
        report.add(Finding { log, index: None, what: "schema", expected, found });
    }
    Ok(())
}
