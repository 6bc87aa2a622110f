//! Reviews: those that an append goes by and adds, and those that are shown.

use std::collections::HashMap;

use dualaudit_record::entry::{Review, Verdict};
use tokio_postgres::{Row, types::ToSql};

use super::{
    error::{Error, Result},
    known::EntriesOf,
    session::Session,
    values::{Micros, at_most, small},
};
use crate::store::{
    Batch, Disagreement, Disagreements, DraftContent, MAX_REVIEWS, Receipt, ReceiptResult, ReviewDraft,
    ReviewRow, WantedDisagreements,
    append::NewestReview,
    reviews::LOOKED_AT,
    rows::{self, Cells as _, review_columns},
    rules::{self, REVIEW},
    statistics::refold,
};

/// See [`crate::store::Store::verdicts`].
pub(super) async fn verdicts(
    session: &Session,
    log: &str,
    of: &[(String, u32)],
) -> Result<HashMap<(String, u32), Verdict>> {
    const VERDICTS: &str = "
        -- newest verdicts on attempts
        SELECT wanted.of_id, wanted.of_attempt, newest.verdict
        FROM unnest($2::text[], $3::integer[]) AS wanted (of_id, of_attempt)
        CROSS JOIN LATERAL (
            SELECT verdict
            FROM review
            WHERE log = $1 AND id = wanted.of_id AND attempt = wanted.of_attempt
            ORDER BY idx DESC
            LIMIT 1
        ) AS newest";
    let (ids, attempts): (Vec<&str>, Vec<i32>) =
        of.iter().map(|(id, attempt)| (id.as_str(), small(*attempt))).unzip();
    let rows = session.rows(VERDICTS, &[&log, &ids, &attempts]).await?;
    rows.iter().map(|row| Ok(((row.string(0)?, row.number(1)?), row.name(2)?))).collect()
}

/// The reviews that a batch is decided by.
#[derive(Default)]
pub(super) struct Reviews {
    /// The newest of each attempt of the executions that it concerns.
    newest: HashMap<(String, u32), NewestReview>,
    /// The newest of those that say what a draft says that stands.
    like: Vec<(Review, Receipt)>,
}

impl Reviews {
    /// Reads them: `known` is what is known of these executions.
    pub(super) async fn of(
        session: &Session,
        log: &str,
        batch: &Batch,
        known: &HashMap<String, EntriesOf>,
    ) -> Result<Self> {
        const NEWEST: &str = concat!(
            "
            -- append: newest reviews of executions
            SELECT newest.*
            FROM unnest($2::text[]) AS wanted (of_id)
            CROSS JOIN LATERAL (
                SELECT DISTINCT ON (attempt) ",
            review_columns!(),
            "
                FROM review
                WHERE log = $1 AND id = wanted.of_id
                ORDER BY attempt, idx DESC
            ) AS newest"
        );
        let ids = reviewed(known);
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let mut newest = HashMap::new();
        for row in &session.rows(NEWEST, &[&log, &ids]).await? {
            let ReviewRow { index, review, .. } = rows::review(row, 0)?;
            let mut entries = known.get(&review.execution_id).into_iter().flat_map(|of| of.others.values());
            let receipt = entries.find(|receipt| receipt.index == index).cloned();
            let receipt = receipt.ok_or_else(|| Error::damaged(format!("review {index} has no entry")))?;
            let attempt = (review.execution_id.clone(), review.attempt);
            newest.insert(attempt, NewestReview { receipt, review });
        }
        Ok(Self { newest, like: like(session, log, batch, known).await? })
    }

    /// The newest review of an attempt.
    pub(super) fn newest(&self, id: &str, attempt: u32) -> Option<NewestReview> {
        self.newest.get(&(id.to_owned(), attempt)).cloned()
    }

    /// The newest review that says the same, as the receipt of a duplicate.
    pub(super) fn like(&self, review: &Review) -> Option<Receipt> {
        self.like.iter().rev().find(|(like, _)| like == review).map(|(_, receipt)| receipt.clone())
    }

    /// Takes the next.
    pub(super) fn added(&mut self, receipt: &Receipt, review: &Review) {
        let receipt = Receipt { result: ReceiptResult::Duplicate, ..receipt.clone() };
        self.like.push((review.clone(), receipt.clone()));
        let attempt = (review.execution_id.clone(), review.attempt);
        self.newest.insert(attempt, NewestReview { receipt, review: review.clone() });
    }
}

/// The newest reviews that say what drafts of a batch say that stand.
async fn like(
    session: &Session,
    log: &str,
    batch: &Batch,
    known: &HashMap<String, EntriesOf>,
) -> Result<Vec<(Review, Receipt)>> {
    const LIKE: &str = "
        -- append: newest review of an attempt that says the same
        SELECT idx
        FROM review
        WHERE log = $1 AND id = $2 AND attempt = $3 AND verdict = $4 AND note = $5 AND actor = $6
        ORDER BY idx DESC
        LIMIT 1";
    let mut found = Vec::new();
    for draft in &batch.drafts {
        let DraftContent::Review(ReviewDraft { execution_id, attempt, verdict, note, actor, stands: true }) =
            &draft.content
        else {
            continue;
        };
        let Some(of) = known.get(execution_id) else { continue };
        let Ok(attempt) = rules::reviewed(&of.revisions, *attempt).map(|latest| latest.attempt) else {
            continue;
        };
        let values: [&(dyn ToSql + Sync); 6] =
            [&log, execution_id, &small(attempt), &verdict.as_str(), note, actor];
        let Some(row) = session.row(LIKE, &values).await? else { continue };
        let index: u64 = row.number(0)?;
        let receipt = of.others.values().find(|receipt| receipt.index == index).cloned();
        let receipt = receipt.ok_or_else(|| Error::damaged(format!("review {index} has no entry")))?;
        let (execution_id, note, actor) = (execution_id.clone(), note.clone(), actor.clone());
        found.push((Review { execution_id, attempt, verdict: *verdict, note, actor }, receipt));
    }
    Ok(found)
}

/// The executions that have any review.
fn reviewed(known: &HashMap<String, EntriesOf>) -> Vec<&String> {
    let is_reviewed = |of: &EntriesOf| of.others.keys().any(|key| key.starts_with(REVIEW));
    known.iter().filter(|(_, of)| is_reviewed(of)).map(|(id, _)| id).collect()
}

/// What the entries of reviews of these executions say, by their ids, in the order of the log.
pub(super) async fn said(
    session: &Session,
    log: &str,
    known: &HashMap<String, EntriesOf>,
) -> Result<HashMap<String, Vec<(u64, Review)>>> {
    const SAID: &str = "
        -- statistics: reviews of executions
        SELECT entry.idx, entry.body
        FROM unnest($2::text[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT idx, body
            FROM log_entry
            WHERE log = $1 AND execution_id = wanted.id AND attempt IS NULL AND kind = 'review'
        ) AS entry
        ORDER BY entry.idx";
    let ids = reviewed(known);
    let mut said: HashMap<String, Vec<(u64, Review)>> = HashMap::new();
    if ids.is_empty() {
        return Ok(said);
    }
    for row in &session.rows(SAID, &[&log, &ids]).await? {
        let index = row.number(0)?;
        if let Some(review) = refold::review(row.text(1)?) {
            said.entry(review.execution_id.clone()).or_default().push((index, review));
        }
    }
    Ok(said)
}

/// The reviews of an attempt, newest first, as many as one answer has.
pub(super) async fn latest(session: &Session, log: &str, id: &str, attempt: u32) -> Result<Vec<ReviewRow>> {
    const LATEST: &str = concat!(
        "
        -- newest reviews of an attempt
        SELECT ",
        review_columns!(),
        "
        FROM review
        WHERE log = $1 AND id = $2 AND attempt = $3
        ORDER BY idx DESC
        LIMIT $4"
    );
    let of: [&(dyn ToSql + Sync); 4] = [&log, &id, &small(attempt), &i64::from(MAX_REVIEWS)];
    session.rows(LATEST, &of).await?.iter().map(|row| rows::review(row, 0)).collect()
}

/// See [`crate::store::Statistics::disagreements`].
pub(super) async fn disagreements(session: &Session, wanted: &WantedDisagreements) -> Result<Disagreements> {
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
            WHERE log = $1 AND idx < $2
            ORDER BY idx DESC
            LIMIT $3
        ) AS newest
        CROSS JOIN LATERAL (
            SELECT created_at
            FROM log_entry
            WHERE log = $1 AND execution_id = newest.id AND attempt = newest.attempt
            ORDER BY revision
            LIMIT 1
        ) AS entry
        CROSS JOIN LATERAL (
            SELECT workflow_name, workflow_version, outcome, status, completed_at
            FROM workflow_execution_audit
            WHERE log = $1 AND created_at = entry.created_at AND id = newest.id AND attempt = newest.attempt
            LIMIT 1
        ) AS execution
        WHERE (newest.verdict = 'effective') <> (execution.outcome = 'success')
            AND ($4::text IS NULL OR execution.workflow_name = $4)
            AND NOT EXISTS (
                SELECT 1 FROM review
                WHERE log = $1 AND id = newest.id AND attempt = newest.attempt AND idx > newest.idx)
            AND NOT EXISTS (
                SELECT 1 FROM log_entry
                WHERE log = $1 AND execution_id = newest.id AND attempt > newest.attempt)
            AND NOT EXISTS (
                SELECT 1 FROM purge_pending
                WHERE log = $1 AND id = newest.id AND attempt = newest.attempt)
        ORDER BY newest.idx DESC
        LIMIT $5"
    );
    const LAST: &str = "
        -- the last review that is looked at
        SELECT idx
        FROM review
        WHERE log = $1 AND idx < $2
        ORDER BY idx DESC
        OFFSET $3
        LIMIT 1";
    let WantedDisagreements { log, workflow, before, limit } = wanted;
    let (before, looked_at) = (at_most(before.unwrap_or(u64::MAX)), i64::from(LOOKED_AT));
    let found = session.rows(FOUND, &[log, &before, &looked_at, workflow, &i64::from(*limit)]).await?;
    let found = found.iter().map(disagreement).collect::<Result<_>>()?;
    let last = session.row(LAST, &[log, &before, &(looked_at - 1)]).await?;
    let last = last.map(|row| row.number(0)).transpose()?;
    Ok(Disagreements::of(found, wanted, last))
}

fn disagreement(row: &Row) -> Result<Disagreement> {
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

/// Writes the row of a review.
pub(super) async fn write(session: &Session, log: &str, receipt: &Receipt, review: &Review) -> Result<()> {
    const REVIEW: &str = concat!(
        "
        -- append: review
        INSERT INTO review (log, ",
        review_columns!(),
        ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    );
    let statement = session.prepare_cached(REVIEW).await?;
    let Review { execution_id, attempt, verdict, note, actor } = review;
    let (index, attempt, verdict) = (at_most(receipt.index), small(*attempt), verdict.as_str());
    let recorded_at = Micros::from(receipt.recorded_at);
    let of: [&(dyn ToSql + Sync); 8] =
        [&log, &index, execution_id, &attempt, &verdict, note, actor, &recorded_at];
    session.execute(&statement, &of).await?;
    Ok(())
}
