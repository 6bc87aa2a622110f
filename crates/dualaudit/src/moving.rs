//! Moving logs from an SQLite file to a PostgreSQL database.
//!
//! Each log is copied while it goes on taking entries; its last step takes the file's write lock, copies
//! the rest, and closes the log there; then the copy is verified, and opened.
//!
//! # Guarantees
//! - A log never takes entries in both databases: the copy takes none before it is opened, which is after
//!   the other was closed for good.
//! - Nothing is closed before all of it is in the other database, each entry checked as it was read.
//! - Whatever ends a move, the same again goes on from there; see `next.rs`.
//! - Memory is bounded by a page of entries.
//!
//! # Caveats
//! - A copy of the file, moved in its place, cannot be told from it: the file itself would still take
//!   entries.

mod line;
mod next;

use dualaudit_record::checkpoint::SignedCheckpoint;

use crate::{
    clock::Clock,
    store::{
        Departure, LogReader as _, MovingPage, StoreError, Table,
        postgres::PostgresStore,
        sqlite::{Locked, SqliteStore},
    },
    verify::{Report, VerifyError, check_entry, verify},
};

use next::Next;

/// Tracked executions that are copied together. One may have 1.5 MiB.
const TRACKED: u32 = 32;

/// Notes of purges that are looked at together.
const STRAYS: u32 = 250;

/// How often a log is caught up with before its last step copies what is left, however much that is.
const CATCHING_UP: u32 = 10;

/// From where to where.
pub struct Journey<'a> {
    /// Where logs leave.
    pub source: &'a SqliteStore,
    /// Where they arrive; opened by the owner of its tables.
    pub target: &'a PostgresStore,
    /// What the source is called, for those who find its logs where they arrived.
    pub from: String,
    /// What the target is called, for those who look for a log where it left.
    pub to: String,
    /// Tells when a log was closed.
    pub clock: &'a dyn Clock,
}

/// A step of a move, which is about to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A page is copied.
    Copy {
        /// Of this log.
        log: &'a str,
        /// Entries that were copied.
        done: u64,
        /// Entries that there are.
        total: u64,
    },
    /// What is tracked is copied; the source is locked.
    Track,
    /// The log is closed where it left.
    Close,
    /// What arrived is verified.
    Verify {
        /// This log.
        log: &'a str,
        /// Entries that were checked.
        done: u64,
        /// Entries that there are.
        total: u64,
    },
    /// It is opened.
    Open,
    /// That is noted where it left.
    Note,
}

/// What became of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedLog {
    /// The log.
    pub log: String,
    /// How many entries it had where it left.
    pub entries: u64,
    /// Whether an earlier move had opened it already.
    pub earlier: bool,
}

/// Why a move did not end.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// A database went away, is full, or refuses. The same again goes on.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It would not be right; says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// An entry does not agree with itself where it is. Nothing was closed.
    #[error("{0}. Nothing was closed: run `dualaudit verify` on what is moved, and restore a backup of it")]
    Damaged(String),
    /// What arrived does not agree with itself. It is not opened.
    #[error(
        "the log {} is not what it was where it left, and takes nothing: {first}. All of it is still in the database \
         that it left, which keeps it closed: create this database anew, and run the same again",
        .report.logs.first().map_or("?", |log| log.log.as_str())
    )]
    Wrong {
        /// The first thing that was found.
        first: String,
        /// Everything.
        report: Box<Report>,
    },
    /// It was asked to stop before a step.
    #[error("it was asked to stop")]
    Stopped,
}

impl From<VerifyError> for MoveError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Store(error) => Self::Store(error),
            VerifyError::NoSuchLog(_) => Self::Refused(error.to_string()),
        }
    }
}

/// Is told each step before it is taken, and may stop there.
pub type Watch<'w> = dyn FnMut(Step<'_>) -> Result<(), MoveError> + Send + 'w;

/// Moves logs: those named, or all. First all are copied, then one after the other is closed, verified and
/// opened.
///
/// # Errors
/// See [`MoveError`].
pub async fn move_logs(
    journey: &Journey<'_>,
    named: &[String],
    watch: &mut Watch<'_>,
) -> Result<Vec<MovedLog>, MoveError> {
    let leaving = chosen(journey.source.departures().await?, named)?;
    let leaving = line::in_order(leaving).map_err(MoveError::Refused)?;
    let (mut copied, mut moved) = (Vec::new(), Vec::new());
    for departure in leaving {
        let log = departure.row.log.clone();
        let arrival = journey.target.arrival(&log).await?;
        match next::next(&departure, arrival.as_ref(), &journey.to).map_err(MoveError::Refused)? {
            Next::Nothing => moved.push(MovedLog { log, entries: departure.size, earlier: true }),
            Next::Note => {
                watch(Step::Note)?;
                journey.source.note_opened(&log, journey.clock.now()).await?;
                moved.push(MovedLog { log, entries: departure.size, earlier: true });
            }
            Next::Begin => {
                journey.target.begin_arrival(&departure.row, &journey.from).await?;
                journey.copy(&departure, 0, watch).await?;
                copied.push(departure);
            }
            Next::GoOn { size, root } => {
                if !journey.source.had_root(&log, size, root).await? {
                    return Err(MoveError::Refused(format!(
                        "the {size} entries of the log {log} in {} are not the first that it has in {}: name the \
                         file that its copy was begun from, or another database",
                        journey.to, journey.from
                    )));
                }
                journey.copy(&departure, size, watch).await?;
                copied.push(departure);
            }
        }
    }
    for departure in copied {
        let entries = journey.last_step(&departure, watch).await?;
        moved.push(MovedLog { log: departure.row.log, entries, earlier: false });
    }
    moved.sort_by(|one, other| one.log.cmp(&other.log));
    Ok(moved)
}

fn chosen(mut leaving: Vec<Departure>, named: &[String]) -> Result<Vec<Departure>, MoveError> {
    let there: Vec<String> = leaving.iter().map(|departure| departure.row.log.clone()).collect();
    if let Some(missing) = named.iter().find(|name| !there.contains(name)) {
        return Err(MoveError::Refused(format!(
            "there is no log {missing}; there are: {}",
            there.join(", ")
        )));
    }
    leaving.retain(|departure| named.is_empty() || named.contains(&departure.row.log));
    Ok(leaving)
}

impl Journey<'_> {
    /// Copies a log from entry `from` on, until no more than a page is left.
    async fn copy(&self, departure: &Departure, from: u64, watch: &mut Watch<'_>) -> Result<(), MoveError> {
        let (log, mut next) = (&departure.row.log, from);
        let (mut until, mut size) = (departure.size, departure.size);
        for _ in 0..CATCHING_UP {
            while next < until {
                watch(Step::Copy { log, done: next, total: size })?;
                let page = self.source.moving_page(log, next).await?;
                let is_last = page.is_last();
                size = page.size;
                next = self.take(log, page).await?;
                if is_last {
                    return Ok(());
                }
            }
            until = size;
        }
        Ok(())
    }

    /// Takes a page where it arrives, once each of its entries agrees with itself; answers how many there
    /// are then.
    async fn take(&self, log: &str, page: MovingPage) -> Result<u64, MoveError> {
        for entry in &page.entries {
            // As `dualaudit verify` does: what is damaged must be found before anything is closed.
            if let Some(finding) = check_entry(log, &entry.stored) {
                return Err(MoveError::Damaged(finding.to_string()));
            }
        }
        Ok(self.target.take_page(log, &page).await?)
    }

    /// Copies the rest while nothing can be appended, closes the log where it left, verifies what arrived,
    /// and opens it. Answers how many entries it has.
    async fn last_step(&self, departure: &Departure, watch: &mut Watch<'_>) -> Result<u64, MoveError> {
        let log = &departure.row.log;
        self.notes_agree(log).await?;
        let locked = self.source.lock().await?;
        let size = self.rest(log, &locked, watch).await?;
        self.target.remove_arrived(log).await?;
        let checkpoint = self.published(log).await?;
        let successor = departure.successor.as_deref();
        if successor.is_none() {
            watch(Step::Close)?;
            locked.close(log, &self.to, self.clock.now()).await?;
        } else {
            // It takes nothing where it is, and was closed for that.
            drop(locked);
        }
        self.check(log, size, watch).await?;
        watch(Step::Open)?;
        self.target.open_arrived(log, checkpoint.as_ref(), successor).await?;
        if successor.is_none() {
            watch(Step::Note)?;
            self.source.note_opened(log, self.clock.now()).await?;
        }
        Ok(size)
    }

    /// The checkpoint that was published of a log, where it leaves: it proves what is recorded until there is a newer
    /// one, which there never is of a log that was succeeded.
    async fn published(&self, log: &str) -> Result<Option<SignedCheckpoint>, MoveError> {
        let heads = self.source.logs().await?;
        let Some(head) = heads.into_iter().find(|head| head.log == log) else { return Ok(None) };
        let Some(note) = head.checkpoint else { return Ok(None) };
        let wrong =
            |what: &str| MoveError::Damaged(format!("log {log}: the checkpoint that was published {what}"));
        let checkpoint: SignedCheckpoint = note.parse().map_err(|_| wrong("cannot be read"))?;
        let of = checkpoint.head();
        let is_of_it = of.origin == head.origin
            && of.size <= head.size
            && self.source.had_root(log, of.size, of.root).await?;
        if is_of_it { Ok(Some(checkpoint)) } else { Err(wrong("is not one of it")) }
    }

    /// Copies what is left, and what is tracked, which changes all the time. Answers how many entries there
    /// are.
    async fn rest(&self, log: &str, locked: &Locked, watch: &mut Watch<'_>) -> Result<u64, MoveError> {
        let mut next = self.target.arrival(log).await?.map_or(0, |arrival| arrival.size);
        let (size, root) = loop {
            let page = locked.moving_page(log, next).await?;
            if page.entries.is_empty() {
                break (page.size, page.root);
            }
            watch(Step::Copy { log, done: next, total: page.size })?;
            next = self.take(log, page).await?;
        };
        let arrived = self.target.arrival(log).await?.map(|arrival| (arrival.size, arrival.root));
        if arrived != Some((size, root)) {
            return Err(MoveError::Refused(format!(
                "the log {log} has {size} entries with the root {root}, and what arrived is another: nothing was closed"
            )));
        }
        watch(Step::Track)?;
        // What is tracked of a closed log changes no more: all that came of it before is right, and another
        // move may be about to open it.
        let changed = !locked.is_closed(log).await?;
        let mut after: Option<String> = None;
        loop {
            let rows = locked.tracked(log, after.as_deref(), TRACKED).await?;
            self.target.take_tracked(log, after.is_none() && changed, &rows).await?;
            match rows.last() {
                Some(last) => after = Some(last.id.clone()),
                None => return Ok(size),
            }
        }
    }

    /// Checks that every note of what was purged or erased has an entry that says so: each such entry was
    /// compared with its notes as it was copied.
    async fn notes_agree(&self, log: &str) -> Result<(), MoveError> {
        for (table, what) in [(Table::Purged, "purge"), (Table::Erased, "erasure")] {
            let mut after = None;
            loop {
                let page = self.source.strays(table, Some(log), after.as_ref(), STRAYS).await?;
                if let Some(row) = page.rows.first() {
                    return Err(MoveError::Damaged(format!(
                        "log {log}: no {what} says so of what is noted in {} with {row}",
                        table.name()
                    )));
                }
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Verifies all that arrived of a log.
    async fn check(&self, log: &str, size: u64, watch: &mut Watch<'_>) -> Result<(), MoveError> {
        let mut stop = None;
        watch(Step::Verify { log, done: 0, total: size })?;
        let checked = verify(self.target, Some(log), |progress| {
            let step = Step::Verify { log, done: progress.done, total: progress.total };
            if let Err(error) = watch(step) {
                stop.get_or_insert(error);
            }
        });
        let report = checked.await?;
        if let Some(error) = stop {
            return Err(error);
        }
        match report.findings.first() {
            None => Ok(()),
            Some(first) => Err(MoveError::Wrong { first: first.to_string(), report: Box::new(report) }),
        }
    }
}

#[cfg(test)]
mod tests;
