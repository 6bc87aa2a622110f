//! What one append does, in which order, apart from any database.
//!
//! Every store goes through here, so that on each the same batch meets the same decisions. A store
//! says what is known and takes what is to be written; see [`Tables`].

use std::{collections::HashMap, sync::Arc};

use dualaudit_record::{
    Entry, EntryKind, Time, WorkflowExecutionAudit,
    digest::Digest,
    entry::{Covers, Gap, GapCause, Hold, HoldRelease, Purge, Quarantine, Review, Window},
    log::{FORMAT, Leaf, Nonce, Tree, body},
    statistics::{Contribution, Packed},
};

use super::{
    Answer, Batch, Draft, DraftContent, EraseDraft, ExecutionDraft, Origin, PurgeDraft, Receipt,
    ReceiptResult, Refusal, ReviewDraft, SourceObject, Tracked, TrackingChange, Weighed, WindowDraft,
    ahead::{Becomes, Form, Prepared},
    erase::{self, Erasable, Erased},
    purge::{self, MAX_SELECTORS},
    rules::{self, Counted, Decision, Revision, TrackedAs},
    windows::{Windows, window_key},
};

/// A log inside the transaction of one append: what it knows, and where the append writes.
///
/// # Assumptions
/// What was written is known from then on, before the transaction commits.
pub(super) trait Tables {
    /// Why something could not be read or written.
    type Error;

    /// Every revision of an id, in the order of attempt and revision. All of them: only the sender
    /// of a record knows which one it repeats.
    fn revisions(&mut self, id: &str) -> Result<Vec<Revision>, Self::Error>;
    /// The same of the newest of the logs, in whose place this one goes on, that has any; and which it is.
    fn earlier(&mut self, id: &str) -> Result<Option<(String, Vec<Revision>)>, Self::Error>;
    /// The entry with this idempotency key, of an id if it is one's, as the receipt of a duplicate.
    fn by_key(&mut self, id: Option<&str>, key: &str) -> Result<Option<Receipt>, Self::Error>;
    /// When the newest quarantined object of an id was put there.
    fn quarantined(&mut self, id: &str) -> Result<Option<Time>, Self::Error>;
    /// The holds that cover the same as this one for the same reason.
    fn holds_like(&mut self, hold: &Hold) -> Result<HoldsLike, Self::Error>;
    /// How many open holds select.
    fn open_selectors(&mut self) -> Result<usize, Self::Error>;
    /// What the hold of an entry covers, if there is one.
    fn hold_at(&mut self, index: u64) -> Result<Option<Covers>, Self::Error>;
    /// The open holds on an execution.
    fn holds_on(&mut self, id: &str) -> Result<Vec<(u64, Hold)>, Self::Error>;
    /// The open holds that select.
    fn selecting_holds(&mut self) -> Result<Vec<(u64, Hold)>, Self::Error>;
    /// The open holds that cover an execution, by any of its revisions, oldest first.
    fn holds_covering(&mut self, id: &str) -> Result<Vec<(u64, Hold)>, Self::Error>;
    /// The entries of an execution that can lose something, in order, as many as one erasure takes.
    fn erasable(&mut self, id: &str) -> Result<Vec<Erasable>, Self::Error>;
    /// The newest erasure of an execution, as the receipt of a duplicate.
    fn erasure_of(&mut self, id: &str) -> Result<Option<Receipt>, Self::Error>;
    /// The newest review of an attempt.
    fn newest_review(&mut self, id: &str, attempt: u32) -> Result<Option<NewestReview>, Self::Error>;
    /// The newest review that says the same, as the receipt of a duplicate.
    fn review_like(&mut self, review: &Review) -> Result<Option<Receipt>, Self::Error>;
    /// The windows of the attempts of an id.
    fn windows(&mut self, id: &str) -> Result<Windows, Self::Error>;
    /// What decisions need of a tracked row.
    fn tracked_as(&mut self, id: &str) -> Result<Option<TrackedAs>, Self::Error>;
    /// A tracked row.
    fn tracked_row(&mut self, id: &str) -> Result<Option<Tracked>, Self::Error>;
    /// The latest revision of an attempt before this append, as its row has it.
    fn record(&mut self, id: &str, attempt: u32) -> Result<Option<WorkflowExecutionAudit>, Self::Error>;
    /// Whether the statistics do not yet have all that was appended before they were kept.
    fn is_behind(&mut self) -> Result<bool, Self::Error>;

    /// Takes an entry at the end of the log.
    fn entry(&mut self, entry: NewEntry<'_>) -> Result<(), Self::Error>;
    /// Takes the row of an execution whose entry came just before; an amended one takes the place
    /// of the row before it, which moves to the revisions.
    fn row(&mut self, row: NewRow<'_>) -> Result<(), Self::Error>;
    /// Takes the object that the revision of this entry was mapped from.
    fn source_object(
        &mut self,
        index: u64,
        of: &WorkflowExecutionAudit,
        object: &[u8],
    ) -> Result<(), Self::Error>;
    /// Takes an object that could not be mapped, of the entry with this receipt.
    fn quarantine(&mut self, receipt: &Receipt, digest: Digest, object: &[u8]) -> Result<(), Self::Error>;
    /// Takes a hold, of the entry with this receipt.
    fn hold(&mut self, receipt: &Receipt, hold: &Hold) -> Result<(), Self::Error>;
    /// Takes that the entry with this receipt released the hold of another.
    fn release(&mut self, receipt: &Receipt, hold: u64) -> Result<(), Self::Error>;
    /// Takes that the entry with this receipt purged executions, whose entries make these runs.
    fn purge(
        &mut self,
        receipt: &Receipt,
        runs: &[(u64, u64)],
        executions: &[Weighed],
    ) -> Result<(), Self::Error>;
    /// Takes that the entry with this receipt erased others: what is left of each takes its place, and its
    /// object and content digest go.
    fn erase(&mut self, receipt: &Receipt, erased: &[Erased]) -> Result<(), Self::Error>;
    /// Takes a review, of the entry with this receipt.
    fn review(&mut self, receipt: &Receipt, review: &Review) -> Result<(), Self::Error>;
    /// Takes a tracked execution as it was seen. An open attempt keeps its start while its resource
    /// shows none, and runs since then; and what was last seen of it while only its name is known.
    fn seen(&mut self, seen: &Tracked) -> Result<(), Self::Error>;
    /// Takes that the attempt of a tracked execution that began then is accounted for: it runs no more.
    fn accounted(&mut self, id: &str, started_at: Option<Time>) -> Result<(), Self::Error>;
    /// Takes that the resource of a tracked execution is gone.
    fn gone(&mut self, id: &str) -> Result<(), Self::Error>;
    /// Takes what this append, whose first entry has this index, gives to the statistics.
    fn contribute(&mut self, first: u64, contributions: &Packed) -> Result<(), Self::Error>;
}

/// The holds there have been on the same for one reason.
#[derive(Clone, Default)]
pub(super) struct HoldsLike {
    /// The open one, as the receipt of a duplicate.
    pub(super) open: Option<Receipt>,
    /// How many were released.
    pub(super) released: u64,
}

/// A review, as the newest of its attempt.
#[derive(Clone)]
pub(super) struct NewestReview {
    /// Its entry, as the receipt of a duplicate.
    pub(super) receipt: Receipt,
    pub(super) review: Review,
}

/// An entry to write.
pub(super) struct NewEntry<'a> {
    /// What it is identified by, and its digest.
    pub(super) leaf: &'a Leaf,
    pub(super) leaf_hash: Digest,
    /// What it says, of an execution.
    pub(super) execution: Option<NewRow<'a>>,
    /// Of any other kind: the same key is the same entry.
    pub(super) key: Option<&'a str>,
    /// Of any other kind. An execution's is put together from its row.
    pub(super) body: Option<&'a str>,
}

/// The row of an execution to write.
#[derive(Clone, Copy)]
pub(super) struct NewRow<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    pub(super) content_digest: Digest,
    pub(super) nonce: Nonce,
}

/// An append that is under way.
pub(super) struct Append<'a, T> {
    tables: T,
    log: &'a str,
    secret: [u8; 32],
    recorded_at: Time,
    tree: Tree,
    /// The execution that is being written.
    about: String,
    /// What is given to the statistics, and what is taken back.
    given: Vec<(i64, Arc<Contribution>)>,
    /// What executions contribute since this append, by their ids, and by which attempt.
    counted: HashMap<String, (u32, Arc<Contribution>)>,
}

impl<'a, T: Tables> Append<'a, T> {
    /// An append to the log that ends in `tree`, whose commitments are under `secret`.
    pub(super) fn new(tables: T, log: &'a str, secret: [u8; 32], recorded_at: Time, tree: Tree) -> Self {
        Self {
            tables,
            log,
            secret,
            recorded_at,
            tree,
            about: String::new(),
            given: Vec::new(),
            counted: HashMap::new(),
        }
    }

    /// What is being written, for whoever has to look at an error.
    pub(super) fn place(&self) -> String {
        format!("log {}, execution {}", self.log, self.about)
    }

    /// The tree with what was appended, and where it was written.
    pub(super) fn into_parts(self) -> (T, Tree) {
        (self.tables, self.tree)
    }

    /// Decides and writes a batch; answers in the order of its drafts.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<Vec<Answer>, T::Error> {
        let is_alone =
            |draft: &Draft| matches!(draft.content, DraftContent::Purge(_) | DraftContent::Erase(_));
        assert!(
            batch.drafts.len() == 1 || !batch.drafts.iter().any(is_alone),
            "a purge or an erasure is the only draft of its batch"
        );
        // What was seen first comes first: an attempt that a draft overtakes leaves its last state.
        for change in &batch.tracking {
            self.track(change)?;
        }
        let first = self.tree.size();
        let answers = batch.drafts.iter().map(|draft| self.draft(draft)).collect::<Result<_, _>>()?;
        if !self.given.is_empty() {
            let given = self.given.iter().map(|(times, contribution)| (*times, contribution.as_ref()));
            self.tables.contribute(first, &Packed::of(given))?;
        }
        Ok(answers)
    }

    fn draft(&mut self, draft: &Draft) -> Result<Answer, T::Error> {
        let Draft { nonce, content, form } = draft;
        content.execution_id().unwrap_or_default().clone_into(&mut self.about);
        match content {
            DraftContent::Execution(draft) => self.execution(draft, *nonce, form.as_ref()),
            DraftContent::Gap(gap) => self.gap(gap, |_| *nonce),
            DraftContent::Quarantine { entry, object } => self.quarantine(entry, object, *nonce),
            DraftContent::Hold(hold) => self.hold(hold, *nonce),
            DraftContent::HoldRelease { hold, reason, actor } => self.release(*hold, reason, actor, *nonce),
            DraftContent::Purge(purge) => self.purge(purge, *nonce),
            DraftContent::Erase(draft) => self.erase(draft, *nonce),
            DraftContent::Review(review) => self.review(review, *nonce),
            DraftContent::Window(window) => self.window(window, *nonce),
            DraftContent::Note(entry) => self.note(entry, *nonce),
        }
    }

    fn execution(
        &mut self,
        draft: &ExecutionDraft,
        nonce: Nonce,
        form: Option<&Form>,
    ) -> Result<Answer, T::Error> {
        let id = &draft.record.id;
        let known = self.tables.revisions(id)?;
        if known.is_empty()
            && let Some((log, earlier)) = self.tables.earlier(id)?
            && let Decision::Duplicate(first) = rules::execution(&earlier, draft)
        {
            self.close_recorded(draft)?;
            return Ok(Answer::Stored(duplicate(&log, id, first)));
        }
        let becomes = match rules::execution(&known, draft) {
            Decision::Duplicate(first) => {
                self.close_recorded(draft)?;
                return Ok(Answer::Stored(duplicate(self.log, id, first)));
            }
            Decision::Refuse(refusal) => return Ok(Answer::Refused(refusal)),
            Decision::New { attempt, revision, created_at } => Becomes { attempt, revision, created_at },
        };
        if draft.origin == Origin::Resource {
            self.close_overtaken(&known, draft, nonce)?;
        }
        let anew;
        let form = match form.filter(|form| form.is(becomes)) {
            Some(form) => form,
            None => {
                anew = Form::new(draft, nonce, becomes);
                &anew
            }
        };
        self.count(&known, id, becomes.attempt, form.contribution())?;
        let prepared = form.recorded(draft, self.recorded_at);
        let row = NewRow { prepared: &prepared, content_digest: draft.content_digest, nonce };
        let receipt = self.append(New {
            kind: EntryKind::Execution,
            execution_id: Some(&draft.record.id),
            execution: Some(row),
            key: None,
            body_digest: prepared.body_digest,
            body: None,
        })?;
        self.tables.row(row)?;
        if let Some(source) = &draft.source {
            self.tables.source_object(receipt.index, prepared.record, &source.compressed)?;
        }
        Ok(Answer::Stored(receipt))
    }

    /// Gives what a new revision of an execution contributes to the statistics, and takes back what it contributed
    /// before.
    fn count(
        &mut self,
        known: &[Revision],
        id: &str,
        attempt: u32,
        contribution: &Arc<Contribution>,
    ) -> Result<(), T::Error> {
        let mut contribution = Arc::clone(contribution);
        match rules::counted(known, attempt) {
            Counted::Not => return Ok(()),
            Counted::Also => {}
            Counted::InsteadOf(counted) => {
                let before = self.contribution(id, counted)?;
                // The verdict is on the attempt, whatever revision of it.
                if counted == attempt
                    && let Some(verdict) = before.as_ref().and_then(|before| before.verdict())
                {
                    contribution = Arc::new(Contribution::clone(&contribution).reviewed(Some(verdict)));
                }
                self.given.extend(before.map(|before| (-1, before)));
            }
        }
        self.given.push((1, Arc::clone(&contribution)));
        self.counted.insert(id.to_owned(), (attempt, contribution));
        Ok(())
    }

    /// What the latest revision of an attempt contributes, with the newest verdict on it.
    fn contribution(&mut self, id: &str, attempt: u32) -> Result<Option<Arc<Contribution>>, T::Error> {
        match self.counted.get(id) {
            Some((known, contribution)) if *known == attempt => Ok(Some(Arc::clone(contribution))),
            _ => {
                let Some(record) = self.tables.record(id, attempt)? else { return Ok(None) };
                let newest = self.tables.newest_review(id, attempt)?;
                let verdict = newest.map(|newest| newest.review.verdict);
                Ok(Some(Arc::new(Contribution::of(&record).reviewed(verdict))))
            }
        }
    }

    /// The tracked attempt that a resource's record is of runs no more, also where a batch is repeated.
    fn close_recorded(&mut self, draft: &ExecutionDraft) -> Result<(), T::Error> {
        if draft.origin != Origin::Resource {
            return Ok(());
        }
        self.close(&draft.record.id, |_| draft.record.started_at)
    }

    /// The tracked attempt that is accounted for by what began `at` runs no more.
    fn close(&mut self, id: &str, at: impl FnOnce(&TrackedAs) -> Option<Time>) -> Result<(), T::Error> {
        let Some(row) = self.tables.tracked_as(id)? else { return Ok(()) };
        let started_at = at(&row);
        if rules::runs_no_more(row, started_at) {
            self.tables.accounted(id, started_at)?;
        }
        Ok(())
    }

    /// The tracked attempt that the draft's has overtaken, if nothing accounts for it, is a gap; the one that the
    /// draft's is runs no more.
    fn close_overtaken(
        &mut self,
        known: &[Revision],
        draft: &ExecutionDraft,
        nonce: Nonce,
    ) -> Result<(), T::Error> {
        let id = &draft.record.id;
        let started_at = draft.record.started_at;
        let Some(row) = self.tables.tracked_as(id)? else { return Ok(()) };
        if !rules::is_overtaken(row, started_at, true) {
            return if rules::runs_no_more(row, started_at) {
                self.tables.accounted(id, started_at)
            } else {
                Ok(())
            };
        }
        let Some(tracked) = self.tables.tracked_row(id)? else { return Ok(()) };
        self.gap_unless_accounted(known, &overtaken(tracked), |key| rules::derived_nonce(&nonce.0, key))?;
        self.tables.accounted(id, started_at)
    }

    fn gap(&mut self, gap: &Gap, nonce: impl FnOnce(&str) -> Nonce) -> Result<Answer, T::Error> {
        let mut known = self.tables.revisions(&gap.execution_id)?;
        if known.is_empty() {
            known = self.tables.earlier(&gap.execution_id)?.map_or_else(Vec::new, |(_, earlier)| earlier);
        }
        let answer = self.gap_unless_accounted(&known, gap, nonce)?;
        self.close(&gap.execution_id, |row| gap.started_at.or(row.started_at))?;
        Ok(answer)
    }

    fn gap_unless_accounted(
        &mut self,
        known: &[Revision],
        gap: &Gap,
        nonce: impl FnOnce(&str) -> Nonce,
    ) -> Result<Answer, T::Error> {
        let id = &gap.execution_id;
        let key = rules::gap_key(gap);
        if let Some(receipt) = self.tables.by_key(Some(id), &key)? {
            return Ok(Answer::Stored(receipt));
        }
        let quarantined = self.tables.quarantined(id)?;
        let tracked = self.tables.tracked_as(id)?;
        if rules::is_accounted(known, quarantined, tracked, gap.started_at) {
            return Ok(Answer::Accounted);
        }
        let nonce = nonce(&key);
        self.entry(&Entry::Gap(gap.clone()), nonce, &key).map(Answer::Stored)
    }

    fn quarantine(
        &mut self,
        quarantine: &Quarantine,
        object: &SourceObject,
        nonce: Nonce,
    ) -> Result<Answer, T::Error> {
        let id = &quarantine.execution_id;
        let key = rules::quarantine_key(quarantine);
        self.close(id, |row| row.started_at)?;
        if let Some(receipt) = self.tables.by_key(Some(id), &key)? {
            return Ok(Answer::Stored(receipt));
        }
        let receipt = self.entry(&Entry::Quarantine(quarantine.clone()), nonce, &key)?;
        self.tables.quarantine(&receipt, quarantine.source_digest, &object.compressed)?;
        Ok(Answer::Stored(receipt))
    }

    fn hold(&mut self, hold: &Hold, nonce: Nonce) -> Result<Answer, T::Error> {
        let earlier = self.tables.holds_like(hold)?;
        if let Some(receipt) = earlier.open {
            return Ok(Answer::Stored(receipt));
        }
        let refusal = match &hold.covers {
            Covers::ExecutionId(id) => {
                rules::is_all_purged(&self.tables.revisions(id)?).then_some(Refusal::Purged)
            }
            Covers::Selector(_) => {
                (self.tables.open_selectors()? >= MAX_SELECTORS).then_some(Refusal::TooManyHolds)
            }
        };
        if let Some(refusal) = refusal {
            return Ok(Answer::Refused(refusal));
        }
        let key = rules::hold_key(hold, earlier.released);
        let receipt = self.entry(&Entry::Hold(hold.clone()), nonce, &key)?;
        self.tables.hold(&receipt, hold)?;
        Ok(Answer::Stored(receipt))
    }

    fn release(&mut self, hold: u64, reason: &str, actor: &str, nonce: Nonce) -> Result<Answer, T::Error> {
        let Some(covers) = self.tables.hold_at(hold)? else {
            return Ok(Answer::Refused(Refusal::NoSuchHold));
        };
        let key = rules::release_key(hold);
        if let Some(receipt) = self.tables.by_key(covers.execution_id(), &key)? {
            return Ok(Answer::Stored(receipt));
        }
        let release = HoldRelease {
            hold,
            execution_id: covers.execution_id().map(str::to_owned),
            reason: reason.to_owned(),
            actor: actor.to_owned(),
        };
        let receipt = self.entry(&Entry::HoldRelease(release), nonce, &key)?;
        self.tables.release(&receipt, hold)?;
        Ok(Answer::Stored(receipt))
    }

    fn purge(&mut self, draft: &PurgeDraft, nonce: Nonce) -> Result<Answer, T::Error> {
        let key = rules::purge_key(&draft.plan, draft.part);
        if let Some(receipt) = self.tables.by_key(None, &key)? {
            return Ok(Answer::Stored(receipt));
        }
        if draft.as_of > self.recorded_at {
            let why = format!("the instant of the plan, {}, is not yet", draft.as_of);
            return Ok(Answer::Refused(Refusal::Changed(why)));
        }
        if self.tables.is_behind()? {
            return Ok(Answer::Refused(Refusal::StatisticsBehind));
        }
        let selecting = self.tables.selecting_holds()?;
        let mut contributed = Vec::new();
        for execution in &draft.executions {
            let known = self.tables.revisions(&execution.id)?;
            let is_tracked = self.tables.tracked_as(&execution.id)?.is_some();
            let holds = self.tables.holds_on(&execution.id)?;
            if let Some(why) = purge::keeps(execution, &known, is_tracked, &[&holds, &selecting]) {
                return Ok(Answer::Refused(Refusal::Changed(why)));
            }
            if known.last().is_some_and(|last| last.attempt == execution.attempt) {
                contributed.extend(self.contribution(&execution.id, execution.attempt)?);
            }
        }
        let contributed = Packed::of(contributed.iter().map(|contribution| (1, contribution.as_ref())));
        let entry = Purge { contributed: Some(contributed), ..draft.entry() };
        let runs = entry.entries.clone();
        let receipt = self.entry(&Entry::Purge(entry), nonce, &key)?;
        self.tables.purge(&receipt, &runs, &draft.executions)?;
        Ok(Answer::Stored(receipt))
    }

    fn erase(&mut self, draft: &EraseDraft, nonce: Nonce) -> Result<Answer, T::Error> {
        let id = &draft.execution_id;
        let erasable = self.tables.erasable(id)?;
        if erasable.is_empty()
            && let Some(receipt) = self.tables.erasure_of(id)?
        {
            return Ok(Answer::Stored(receipt));
        }
        let known = self.tables.revisions(id)?;
        let is_tracked = self.tables.tracked_as(id)?.is_some();
        let holds = self.tables.holds_covering(id)?;
        if let Some(refusal) = erase::keeps(&known, &erasable, is_tracked, &holds) {
            return Ok(Answer::Refused(refusal));
        }
        if self.tables.is_behind()? {
            return Ok(Answer::Refused(Refusal::StatisticsBehind));
        }
        let counted = known.last().filter(|last| !last.is_purged()).map(|last| last.index);
        let texts = erasable.iter().find(|erasable| Some(erasable.index) == counted);
        let texts = texts.and_then(|erasable| erasable.texts.clone());
        self.given.extend(texts.map(|texts| (-1, Arc::new(texts))));
        let erased = erase::erased(draft, erasable);
        let erasure = erase::entry(draft, &erased);
        let key = rules::erasure_key(&erasure);
        let receipt = self.entry(&Entry::Erasure(erasure), nonce, &key)?;
        self.tables.erase(&receipt, &erased)?;
        Ok(Answer::Stored(receipt))
    }

    fn review(&mut self, draft: &ReviewDraft, nonce: Nonce) -> Result<Answer, T::Error> {
        let id = &draft.execution_id;
        let known = self.tables.revisions(id)?;
        let attempt = match rules::reviewed(&known, draft.attempt) {
            Ok(latest) => latest.attempt,
            Err(refusal) => return Ok(Answer::Refused(refusal)),
        };
        let ReviewDraft { execution_id, verdict, note, actor, stands, .. } = draft.clone();
        let review = Review { execution_id, attempt, verdict, note, actor };
        let newest = self.tables.newest_review(id, attempt)?;
        if let Some(newest) = newest.as_ref().filter(|newest| newest.review == review) {
            return Ok(Answer::Stored(newest.receipt.clone()));
        }
        if stands && let Some(receipt) = self.tables.review_like(&review)? {
            return Ok(Answer::Stored(receipt));
        }
        if known.last().is_some_and(|last| last.attempt == attempt)
            && let Some(before) = self.contribution(id, attempt)?
        {
            let after = Arc::new(Contribution::clone(&before).reviewed(Some(verdict)));
            if before != after {
                self.given.extend([(-1, before), (1, Arc::clone(&after))]);
            }
            self.counted.insert(id.clone(), (attempt, after));
        }
        let key = rules::review_key(&review, newest.map(|newest| newest.receipt.index));
        let receipt = self.entry(&Entry::Review(review.clone()), nonce, &key)?;
        self.tables.review(&receipt, &review)?;
        Ok(Answer::Stored(receipt))
    }

    fn window(&mut self, draft: &WindowDraft, nonce: Nonce) -> Result<Answer, T::Error> {
        let id = &draft.execution_id;
        let known = self.tables.revisions(id)?;
        let attempt = match rules::reviewed(&known, draft.attempt) {
            Ok(latest) => latest.attempt,
            Err(refusal) => return Ok(Answer::Refused(refusal)),
        };
        let key = window_key(id, attempt, draft.until);
        if let Some(receipt) = self.tables.by_key(Some(id), &key)? {
            return Ok(Answer::Stored(receipt));
        }
        if let Some(until) = self.tables.windows(id)?.until(attempt).filter(|&until| draft.until < until) {
            return Ok(Answer::Refused(Refusal::WindowIsLonger { until }));
        }
        let WindowDraft { execution_id, until, reason, actor, .. } = draft.clone();
        let window = Window { execution_id, attempt, until, reason, actor };
        self.entry(&Entry::Window(window), nonce, &key).map(Answer::Stored)
    }

    fn note(&mut self, entry: &Entry, nonce: Nonce) -> Result<Answer, T::Error> {
        let key = rules::note_key(entry).expect("an entry that changes nothing but the log");
        if let Some(receipt) = self.tables.by_key(entry.execution_id(), &key)? {
            return Ok(Answer::Stored(receipt));
        }
        if let Entry::Heartbeat(heartbeat) = entry
            && heartbeat.size != self.tree.size()
        {
            return Ok(Answer::Accounted);
        }
        self.entry(entry, nonce, &key).map(Answer::Stored)
    }

    /// Appends an entry that is no execution.
    fn entry(&mut self, entry: &Entry, nonce: Nonce, key: &str) -> Result<Receipt, T::Error> {
        let body = String::from_utf8(body(entry, nonce)).expect("canonical JSON is UTF-8");
        self.append(New {
            kind: entry.kind(),
            execution_id: entry.execution_id(),
            execution: None,
            key: Some(key),
            body_digest: Digest::sha256(body.as_bytes()),
            body: Some(&body),
        })
    }

    /// Appends an entry: its leaf into the tree, its row into the tables.
    fn append(&mut self, new: New<'_>) -> Result<Receipt, T::Error> {
        let New { kind, execution_id, execution, key, body_digest, body } = new;
        let stored = execution.map(|row| row.prepared);
        let leaf = Leaf {
            format: FORMAT,
            log: self.log.to_owned(),
            index: self.tree.size(),
            kind,
            recorded_at: self.recorded_at,
            execution_id: execution_id.map(str::to_owned),
            attempt: stored.map(|prepared| prepared.record.attempt),
            revision: stored.map(|prepared| prepared.revision),
            body_digest,
        };
        let leaf_hash = leaf.hash();
        self.tables.entry(NewEntry { leaf: &leaf, leaf_hash, execution, key, body })?;
        self.tree.push(leaf_hash);
        Ok(Receipt {
            id: execution_id.unwrap_or_default().to_owned(),
            attempt: leaf.attempt,
            revision: leaf.revision,
            log: leaf.log,
            index: leaf.index,
            leaf_hash,
            recorded_at: leaf.recorded_at,
            result: ReceiptResult::first(leaf.revision),
        })
    }

    fn track(&mut self, change: &TrackingChange) -> Result<(), T::Error> {
        change.id().clone_into(&mut self.about);
        match change {
            TrackingChange::Seen(seen) => self.seen(seen),
            TrackingChange::Gone { id } => self.tables.gone(id),
        }
    }

    fn seen(&mut self, seen: &Tracked) -> Result<(), T::Error> {
        let before = self.tables.tracked_as(&seen.id)?;
        if before.is_some_and(|row| rules::is_overtaken(row, seen.started_at, false))
            && let Some(before) = self.tables.tracked_row(&seen.id)?
        {
            let secret = self.secret;
            self.gap(&overtaken(before), |key| rules::derived_nonce(&secret, key))?;
        }
        self.tables.seen(seen)
    }
}

/// An entry to append. Of an execution the body is not kept: it is put together from its row.
struct New<'a> {
    kind: EntryKind,
    execution_id: Option<&'a str>,
    execution: Option<NewRow<'a>>,
    key: Option<&'a str>,
    body_digest: Digest,
    body: Option<&'a str>,
}

/// The receipt of what is recorded already.
fn duplicate(log: &str, id: &str, first: &Revision) -> Receipt {
    Receipt {
        id: id.to_owned(),
        attempt: Some(first.attempt),
        revision: Some(first.revision),
        log: log.to_owned(),
        index: first.index,
        leaf_hash: first.leaf_hash,
        recorded_at: first.recorded_at,
        result: ReceiptResult::Duplicate,
    }
}

/// The gap that an overtaken attempt leaves, from its tracked row.
fn overtaken(tracked: Tracked) -> Gap {
    Gap {
        cause: GapCause::Overtaken,
        execution_id: tracked.id,
        namespace: tracked.namespace,
        name: tracked.name,
        started_at: tracked.started_at,
        last_phase: tracked.phase,
        last_state: tracked.last_state,
        last_state_digest: None,
        last_seen_at: tracked.last_seen_at,
    }
}
