//! What people write on a resource: holds, verdicts and windows, as entries of the log, under the name of who wrote them where
//! something vouches for it.

use dualaudit_record::{
    Time,
    entry::{Covers, Hold},
};

use super::{Next, Trouble, UNVERIFIED, Visitor};
use crate::{
    controller::notice::Notice,
    ingest::{Answer, DraftContent, Refusal, ReviewDraft, WindowDraft},
    source::{self, Judged, Observed, State, annotation},
};

impl Visitor<'_> {
    /// Says what of its annotations cannot be read, where it matters: what has not ended has time.
    pub(super) fn complain_about_annotations(&self) {
        let Observed { state, window, review, .. } = &self.observed;
        if matches!(state, State::Running) {
            return;
        }
        for reason in [window.as_ref().err(), review.as_ref().err()].into_iter().flatten() {
            self.executor.notices.publish(&self.target(), Notice::InvalidAnnotation, reason, None);
        }
    }

    pub(super) async fn place_hold(&mut self, reason: String) -> Result<Option<Next>, Trouble> {
        let covers = Covers::ExecutionId(self.observed.id.clone());
        let hold = Hold { covers, reason, actor: self.actor(annotation::HOLD).await? };
        self.executor.ingest.submit(DraftContent::Hold(hold)).await?;
        self.known.get_or_insert_default().held = true;
        Ok(None)
    }

    /// Appends the verdict of its annotation: once, whatever others say of it. One from before its attempt began was on
    /// an earlier one.
    pub(super) async fn review(&mut self, judged: Judged) -> Result<Option<Next>, Trouble> {
        let Some(recorded) = self.recorded() else { return self.consult().await };
        let attempt = recorded.receipt.attempt;
        let Judged { verdict, note } = judged;
        let actor = self.reviewer(attempt).await?;
        if let Some(actor) = actor {
            let draft = ReviewDraft {
                execution_id: self.observed.id.clone(),
                attempt,
                verdict,
                note: note.clone(),
                actor,
                stands: true,
            };
            // What is refused (of what was purged) is so for good.
            self.executor.ingest.submit(DraftContent::Review(draft)).await?;
        }
        self.known.get_or_insert_default().judged = Some((verdict, note));
        Ok(None)
    }

    /// Who said what its annotation says of this attempt; `None` where it was said of another.
    async fn reviewer(&self, attempt: Option<u32>) -> Result<Option<String>, Trouble> {
        let metadata = &self.object.metadata;
        let began = self.observed.started_at;
        if let Some(actor) = self.vouched(annotation::REVIEW).await? {
            match source::stamped_start(metadata) {
                Some(start) => return Ok((start.parse().ok() == began).then_some(actor)),
                None if attempt == Some(1) => return Ok(Some(actor)),
                // Somebody took that stamp off, which nobody is refused.
                None => {}
            }
        }
        let set_at = source::set_by(metadata, annotation::REVIEW).and_then(|(_, at)| at);
        let is_older = set_at.zip(began).is_some_and(|(set_at, began)| set_at < began);
        Ok((!is_older).then(|| self.unverified(annotation::REVIEW)))
    }

    /// Appends how long its annotation keeps it, so that whoever asks the log knows, and it stays when the annotation
    /// goes.
    pub(super) async fn extend(&mut self, until: Time) -> Result<Option<Next>, Trouble> {
        let Some(recorded) = self.recorded() else { return self.consult().await };
        let receipt = recorded.receipt.clone();
        let draft = WindowDraft {
            execution_id: self.observed.id.clone(),
            attempt: receipt.attempt,
            until,
            reason: format!("annotation {}", annotation::WINDOW),
            actor: self.actor(annotation::WINDOW).await?,
        };
        let until = match self.executor.ingest.submit(DraftContent::Window(draft)).await? {
            Answer::Refused(Refusal::WindowIsLonger { until }) => until,
            _ => until,
        };
        let known = self.known.get_or_insert_default();
        let mut attempts = known.recorded.iter_mut();
        if let Some(recorded) = attempts.find(|recorded| recorded.receipt.attempt == receipt.attempt) {
            recorded.extended_until = recorded.extended_until.max(Some(until));
        }
        Ok(None)
    }

    /// Who set an annotation: whom the API server stamped, where its stamps can be believed.
    pub(super) async fn actor(&self, annotation: &str) -> Result<String, Trouble> {
        Ok(self.vouched(annotation).await?.unwrap_or_else(|| self.unverified(annotation)))
    }

    async fn vouched(&self, annotation: &str) -> Result<Option<String>, Trouble> {
        let Some(stamp) = source::stamp(&self.object.metadata, annotation) else { return Ok(None) };
        Ok(self.executor.vouching.vouches_for(self.observed.created_at).await?.then_some(stamp))
    }

    /// The actor where nothing vouches for one: clients name themselves as they like.
    fn unverified(&self, annotation: &str) -> String {
        let manager = source::set_by(&self.object.metadata, annotation);
        manager.map_or_else(|| UNVERIFIED.to_owned(), |(by, _)| format!("{UNVERIFIED} (field manager {by})"))
    }
}
