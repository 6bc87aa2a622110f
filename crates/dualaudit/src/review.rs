//! Reviews: what somebody who looked at an execution says of it, and until when its resource is to stay for them, as
//! entries of its log.

use dualaudit_record::{
    Time,
    entry::{Verdict, unfit_note, unfit_text},
};
use jiff::SignedDuration;

use crate::{
    export::{ExportError, Recorder},
    query::{self, GetError, Wanted},
    source::parse_window,
    store::{Answer, DraftContent, Owner, Receipt, Refusal, ReviewDraft, StoreError, WindowDraft},
};

/// What is seen of a resource is in the database for as long as it exists: before its record, or so long after it.
const TRACKED_MICROS: i64 = 60_000_000;

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

/// Until when a resource is to stay for review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until then.
    Time(Time),
    /// For so long since its attempt was first recorded, as the annotation `dualaudit.dev/window` says it.
    Window(SignedDuration),
}

impl Until {
    /// Reads the length of a window, such as `48h`.
    ///
    /// # Errors
    /// A sentence that says what was found and what is expected.
    pub fn window(text: &str) -> Result<Self, String> {
        parse_window(text).map(Self::Window)
    }
}

/// A longer window, and who wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Longer {
    /// When it ends.
    pub until: Until,
    /// Why.
    pub reason: String,
    /// Who says so; `unverified` when nothing vouches for the name.
    pub actor: String,
}

/// Why a review, or a longer window, was not recorded.
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
    /// What producers send has no resource, and so no window.
    #[error("the log {0} is of what producers sent: there is no resource that could stay for longer")]
    NoResource(String),
    /// Its resource is gone.
    #[error("the resource of {0} is gone: there is nothing that could stay for longer")]
    Gone(String),
    /// It ends in the past.
    #[error("the window would be over: {0} is in the past")]
    Past(Time),
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
    let draft = ReviewDraft { execution_id, attempt, verdict, note, actor, stands: false };
    submit(recorder, &found.log, DraftContent::Review(draft)).await
}

/// Records until when the resource of an attempt is to stay for review: of the latest, unless another is named. It only ever
/// becomes longer; said already, it answers with its first receipt. What else keeps it (its first window, a hold) does so
/// all the same.
///
/// # Errors
/// See [`ReviewError`].
pub async fn extend(
    recorder: &Recorder,
    wanted: &Wanted,
    longer: Longer,
    now: Time,
) -> Result<Receipt, ReviewError> {
    let Longer { until, reason, actor } = longer;
    for (what, rule) in [("reason", unfit_text(&reason)), ("actor", unfit_text(&actor))] {
        if let Some(rule) = rule {
            return Err(ReviewError::Text { what, rule });
        }
    }
    let store = recorder.store();
    let found = query::detail(store.as_ref(), wanted).await?;
    let owner = store.logs().await?.into_iter().find(|head| head.log == found.log).map(|head| head.owner);
    if owner == Some(Owner::Producers) {
        return Err(ReviewError::NoResource(found.log));
    }
    let attempt = found.revisions.first().map(|(record, _)| record.record.attempt);
    let execution_id = wanted.id.clone();
    let known = store.known(&found.log, std::slice::from_ref(&execution_id)).await?;
    let recorded_at = found.revisions.first().map(|(_, receipt)| receipt.recorded_at);
    let is_settled = recorded_at.is_none_or(|at| now.micros_since(at) > TRACKED_MICROS);
    if is_settled && known.iter().all(|known| known.tracked.is_none()) {
        return Err(ReviewError::Gone(execution_id));
    }
    let until = match until {
        Until::Time(until) => until,
        Until::Window(window) => {
            let recorded = known.iter().flat_map(|known| &known.recorded);
            let mut began = recorded.filter(|recorded| recorded.receipt.attempt == attempt);
            let began = began.next().map(|recorded| recorded.first_recorded_at);
            let began = began.ok_or(ReviewError::Refused(Refusal::NothingRecorded))?;
            began.saturating_add_micros(i64::try_from(window.as_micros()).unwrap_or(i64::MAX))
        }
    };
    if until <= now {
        return Err(ReviewError::Past(until));
    }
    let draft = WindowDraft { execution_id, attempt, until, reason, actor };
    submit(recorder, &found.log, DraftContent::Window(draft)).await
}

async fn submit(recorder: &Recorder, log: &str, content: DraftContent) -> Result<Receipt, ReviewError> {
    match recorder.submit(log, content).await {
        Ok(Answer::Stored(receipt)) => Ok(receipt),
        Ok(Answer::Refused(refusal)) => Err(ReviewError::Refused(refusal)),
        Ok(Answer::Accounted) => Err(StoreError::Corrupt("the database answered nothing".to_owned()).into()),
        Err(ExportError::Store(error)) => Err(error.into()),
        Err(ExportError::Closed(why)) => Err(ReviewError::Closed(why)),
        Err(error) => Err(ReviewError::Closed(error.to_string())),
    }
}
