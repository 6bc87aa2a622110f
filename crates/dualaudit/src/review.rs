//! Reviews: what somebody who looked at an execution says of it, as an entry of its log.

use dualaudit_record::entry::{Verdict, unfit_note, unfit_text};

use crate::{
    export::{ExportError, Recorder},
    query::{self, GetError, Wanted},
    store::{Answer, DraftContent, Receipt, Refusal, ReviewDraft, StoreError},
};

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Of the execution.
    pub verdict: Verdict,
    /// Why; may be empty.
    pub note: String,
    /// By whom; `unverified` when nothing vouches for the name.
    pub actor: String,
}

/// Why a review was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// A text that cannot be used.
    #[error("the {what} {rule}")]
    Text {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// There is no one execution that is meant.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The log is written by another process only.
    #[error("{0}")]
    Closed(String),
    /// The log refuses it.
    #[error("{0}")]
    Refused(Refusal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records what is said of an attempt of an execution: the latest, unless another is named. Said already, and nothing else
/// since, it answers with its first receipt.
///
/// # Errors
/// See [`ReviewError`].
pub async fn review(recorder: &Recorder, wanted: &Wanted, said: Said) -> Result<Receipt, ReviewError> {
    let Said { verdict, note, actor } = said;
    for (what, rule) in [("note", unfit_note(&note)), ("actor", unfit_text(&actor))] {
        if let Some(rule) = rule {
            return Err(ReviewError::Text { what, rule });
        }
    }
    let found = query::detail(recorder.store().as_ref(), wanted).await?;
    let attempt = found.revisions.first().map(|(record, _)| record.record.attempt);
    let execution_id = wanted.id.clone();
    let draft = ReviewDraft { execution_id, attempt, verdict, note, actor };
    match recorder.submit(&found.log, DraftContent::Review(draft)).await {
        Ok(Answer::Stored(receipt)) => Ok(receipt),
        Ok(Answer::Refused(refusal)) => Err(ReviewError::Refused(refusal)),
        Ok(Answer::Accounted) => Err(StoreError::Corrupt("the database answered nothing".to_owned()).into()),
        Err(ExportError::Store(error)) => Err(error.into()),
        Err(ExportError::Closed(why)) => Err(ReviewError::Closed(why)),
        Err(error) => Err(ReviewError::Closed(error.to_string())),
    }
}
