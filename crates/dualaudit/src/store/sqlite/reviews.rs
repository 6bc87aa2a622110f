//! Reviews: those that an append goes by, and those that are shown.

use std::collections::HashMap;

use dualaudit_record::entry::{Review, Verdict};
use rusqlite::{Connection, Row, params};

use super::{
    error::Result,
    known::{collect, duplicate, first},
    read::beyond,
};
use crate::store::{
    Disagreement, Disagreements, MAX_REVIEWS, Receipt, ReviewRow, WantedDisagreements,
    append::NewestReview,
    reviews::LOOKED_AT,
    rows::{self, Cells as _, receipt_columns, review_columns},
};

/// The newest review of an attempt.
pub(super) fn newest_review(
    connection: &Connection,
    log: &str,
    id: &str,
    attempt: u32,
) -> Result<Option<NewestReview>> {
    let Some(newest) = reviews(connection, log, id, attempt, 1)?.pop() else { return Ok(None) };
    let receipt = entry(connection, log, newest.index)?;
    Ok(receipt.map(|receipt| NewestReview { receipt, review: newest.review }))
}

/// The newest review that says the same, as the receipt of a duplicate.
pub(super) fn review_like(connection: &Connection, log: &str, review: &Review) -> Result<Option<Receipt>> {
    const LIKE: &str = "
        -- newest review that says the same
        SELECT idx
        FROM review INDEXED BY review_execution
        WHERE log = ?1 AND id = ?2 AND attempt = ?3 AND verdict = ?4 AND note = ?5 AND actor = ?6
        ORDER BY idx DESC
        LIMIT 1";
    let Review { execution_id, attempt, verdict, note, actor } = review;
    let of = params![log, execution_id, attempt, verdict.as_str(), note, actor];
    match first(connection, LIKE, of, |row| row.number(0))? {
        Some(index) => entry(connection, log, index),
        None => Ok(None),
    }
}

fn entry(connection: &Connection, log: &str, index: u64) -> Result<Option<Receipt>> {
    const ENTRY: &str = concat!(
        "
        -- entry of a review
        SELECT ",
        receipt_columns!(),
        "
        FROM log_entry
        WHERE log = ?1 AND idx = ?2"
    );
    first(connection, ENTRY, params![log, index], duplicate)
}

/// See [`crate::store::Store::verdicts`].
pub(super) fn verdicts(
    connection: &Connection,
    log: &str,
    of: Vec<(String, u32)>,
) -> Result<HashMap<(String, u32), Verdict>> {
    const VERDICT: &str = "
        -- newest verdict on an attempt
        SELECT verdict
        FROM review INDEXED BY review_execution
        WHERE log = ?1 AND id = ?2 AND attempt = ?3
        ORDER BY idx DESC
        LIMIT 1";
    let mut verdicts = HashMap::new();
    for (id, attempt) in of {
        if let Some(verdict) = first(connection, VERDICT, params![log, id, attempt], |row| row.name(0))? {
            verdicts.insert((id, attempt), verdict);
        }
    }
    Ok(verdicts)
}

/// The reviews of an attempt, newest first, as many as one answer has.
pub(super) fn latest_reviews(
    connection: &Connection,
    log: &str,
    id: &str,
    attempt: u32,
) -> Result<Vec<ReviewRow>> {
    reviews(connection, log, id, attempt, MAX_REVIEWS)
}

fn reviews(connection: &Connection, log: &str, id: &str, attempt: u32, most: u32) -> Result<Vec<ReviewRow>> {
    const REVIEWS: &str = concat!(
        "
        -- newest reviews of an attempt
        SELECT ",
        review_columns!(),
        "
        FROM review INDEXED BY review_execution
        WHERE log = ?1 AND id = ?2 AND attempt = ?3
        ORDER BY idx DESC
        LIMIT ?4"
    );
    collect(connection, REVIEWS, params![log, id, attempt, most], |row| rows::review(row, 0))
}

/// See [`crate::store::Statistics::disagreements`].
pub(super) fn disagreements(connection: &Connection, wanted: &WantedDisagreements) -> Result<Disagreements> {
    const FOUND: &str = concat!(
        "
        -- verdicts that disagree
        SELECT newest.*, execution.workflow_name, execution.workflow_version, execution.outcome,
            execution.status, execution.completed_at
        FROM (
            SELECT ",
        review_columns!(),
        "
            FROM review
            WHERE log = ?1 AND idx < ?2
            ORDER BY idx DESC
            LIMIT ?3
        ) AS newest
        CROSS JOIN workflow_execution_audit AS execution
            ON execution.log = ?1 AND execution.id = newest.id AND execution.attempt = newest.attempt
        WHERE (newest.verdict = 'effective') <> (execution.outcome = 'success')
            AND (?4 IS NULL OR execution.workflow_name = ?4)
            AND NOT EXISTS (
                SELECT 1 FROM review AS later
                WHERE later.log = ?1 AND later.id = newest.id AND later.attempt = newest.attempt
                    AND later.idx > newest.idx)
            AND NOT EXISTS (
                SELECT 1 FROM log_entry AS later
                WHERE later.log = ?1 AND later.execution_id = newest.id AND later.attempt > newest.attempt)
            AND NOT EXISTS (
                SELECT 1 FROM purge_pending AS pending
                WHERE pending.log = ?1 AND pending.id = newest.id AND pending.attempt = newest.attempt)
        ORDER BY newest.idx DESC
        LIMIT ?5"
    );
    const LAST: &str = "
        -- the last review that is looked at
        SELECT idx
        FROM review
        WHERE log = ?1 AND idx < ?2
        ORDER BY idx DESC
        LIMIT 1 OFFSET ?3";
    let WantedDisagreements { log, workflow, before, limit } = wanted;
    let before = beyond(before.unwrap_or(u64::MAX));
    let of = params![log, before, LOOKED_AT, workflow, limit];
    let found = collect(connection, FOUND, of, disagreement)?;
    let last = first(connection, LAST, params![log, before, LOOKED_AT - 1], |row| Ok(row.get(0)?))?;
    Ok(Disagreements::of(found, wanted, last))
}

fn disagreement(row: &Row<'_>) -> Result<Disagreement> {
    let at = rows::REVIEW;
    Ok(Disagreement {
        review: rows::review(row, 0)?,
        workflow: row.string(at)?,
        version: row.string(at + 1)?,
        outcome: row.name(at + 2)?,
        status: row.name(at + 3)?,
        completed_at: row.time(at + 4)?,
    })
}
