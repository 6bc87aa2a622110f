//! One who follows: what is owed is told first, then what is live, then whatever happens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{broadcast, mpsc};

use super::{Event, Feed, Hub, MOST_BEHIND, Of, PAGE, Position, Told, place, recorded};
use crate::{
    live::{Board, Change},
    query::{Asked, ListRequest, Tier, missing_live},
    store::{StoreError, Which},
};

/// What is told and not yet taken by one who follows.
const WAITING: usize = 16;
/// How long somebody may take nothing of what waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at how far the logs were told without anything that is wanted, and after how many entries, or how
/// long, one is told of that.
const LOOK: Duration = Duration::from_secs(1);
const BOOKMARK_ENTRIES: u64 = MOST_BEHIND / 10;
const BOOKMARK: Duration = Duration::from_secs(15);
/// How long a cluster that is still being listed is waited for: what is live of it is told as live then, and not as
/// recorded alone.
const LISTING: Duration = Duration::from_secs(5);

/// What somebody wants to hear.
#[derive(Clone, Debug)]
pub struct Following {
    /// Of which executions: its filters, phase and tier.
    pub request: ListRequest,
    /// Only of the one with this id.
    pub id: Option<String>,
    /// Where to go on; from now where none is given.
    pub after: Option<Position>,
}

impl Following {
    /// Whether this is to be told.
    fn wants(&self, told: &Told) -> bool {
        match &told.of {
            Of::All | Of::Over => true,
            Of::Cluster(log) => self.is_about_cluster(log),
            Of::Live(change) => self.wants_live(change),
            Of::Recorded { log, record } => {
                self.request.tier != Some(Tier::Live)
                    && self.id.as_ref().is_none_or(|id| *id == record.id)
                    && self.request.passes_record(log, record)
            }
        }
    }

    /// Whether it is about what is live in the cluster of this log.
    fn is_about_cluster(&self, log: &str) -> bool {
        self.request.tier != Some(Tier::Stored) && Asked::from(&self.request).is_about(log)
    }

    fn wants_live(&self, change: &Change) -> bool {
        self.request.tier != Some(Tier::Stored)
            && self.id.as_ref().is_none_or(|id| *id == change.execution.place.id)
            && self.fits(change)
    }

    /// Whether it passes the filters, or did: of one that no longer does this is told, too.
    fn fits(&self, Change { execution, before, .. }: &Change) -> bool {
        [Some(execution), before.as_ref()].into_iter().flatten().any(|it| self.request.passes_live(it))
    }
}

/// Tells somebody what they want to hear, until they go away.
///
/// # Errors
/// Those of the store, before anything is told.
pub async fn follow(hub: &Hub, following: Following) -> Result<mpsc::Receiver<Arc<Told>>, StoreError> {
    let feed = hub.feed().await?;
    let (to, heard) = mpsc::channel(WAITING);
    let hub = hub.clone();
    tokio::spawn(async move {
        // Who went away is told no more, and who is owed what the database does not give comes again.
        let _ = Follower { hub, feed, following, to }.tell().await;
    });
    Ok(heard)
}

struct Follower {
    hub: Hub,
    feed: Arc<Feed>,
    following: Following,
    to: mpsc::Sender<Arc<Told>>,
}

/// Nobody listens, or nobody can be told.
struct Over;

impl From<StoreError> for Over {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "one who follows was not told all of it, and has to come again");
        Self
    }
}

impl Follower {
    async fn tell(mut self) -> Result<(), Over> {
        if let Some(board) =
            self.hub.live.as_deref().filter(|board| self.following.is_about_cluster(board.log()))
        {
            // Later than that, what is live comes as it is seen.
            let _ = tokio::time::timeout(LISTING, board.listed()).await;
        }
        let (mut told, now) = self.feed.shared.listen();
        let now = now.within(self.following.request.filter.within.as_deref());
        if let Some(before) = self.following.after.take() {
            match before.behind(&now) {
                Some(behind) if behind <= MOST_BEHIND && self.is_of_these_logs(&before, &now).await? => {
                    self.tell_since(before, &now).await?;
                }
                _ => self.send(Told::to_all(Event::Reset, "{}".to_owned(), None)).await?,
            }
        }
        for warning in missing_live(self.hub.sides(), (&self.following.request).into()).await {
            self.send(Told::warning(&warning)).await?;
        }
        let seen = self.tell_live().await?;
        self.send(Told::to_all(Event::Ready, "{}".to_owned(), Some(now.clone()))).await?;
        let (mut given, mut given_at) = (now, Instant::now());
        let mut look = tokio::time::interval(LOOK);
        loop {
            let next = tokio::select! {
                next = told.recv() => next,
                () = self.to.closed() => return Err(Over),
                _ = look.tick() => {
                    if let Some(here) = self.unsaid(&told, &given, given_at) {
                        self.send(Told::to_all(Event::Bookmark, "{}".to_owned(), Some(here.clone()))).await?;
                        (given, given_at) = (here, Instant::now());
                    }
                    continue;
                }
            };
            // Who did not keep up comes again with the position it has.
            let next = next.map_err(|_| Over)?;
            let is_old = match &next.of {
                Of::Live(change) => change.number <= seen,
                Of::Over => return Err(Over),
                Of::Recorded { .. } | Of::Cluster(_) | Of::All => false,
            };
            if !is_old && self.following.wants(&next) {
                if let Some(here) = &next.position {
                    (given, given_at) = (self.seen(here), Instant::now());
                }
                self.hand_over(next).await?;
            }
        }
    }

    /// A position, of the logs that may be read.
    fn seen(&self, position: &Position) -> Position {
        position.within(self.following.request.filter.within.as_deref())
    }

    /// How far the logs were told beyond what was given, where that is far or was long ago, and nothing waits.
    fn unsaid(
        &self,
        told: &broadcast::Receiver<Arc<Told>>,
        given: &Position,
        given_at: Instant,
    ) -> Option<Position> {
        let here = {
            let here = self.feed.shared.position();
            // Whatever was told up to there was looked at.
            told.is_empty().then(|| self.seen(&here))?
        };
        let behind = given.behind(&here)?;
        let is_owed = behind >= BOOKMARK_ENTRIES || (behind > 0 && given_at.elapsed() >= BOOKMARK);
        is_owed.then_some(here)
    }

    /// Whether the logs have what they had at a position: another database has not, and one that went back and grew anew.
    async fn is_of_these_logs(&self, position: &Position, now: &Position) -> Result<bool, StoreError> {
        for (log, index, mark) in position.marks_unlike(now) {
            let found = self.hub.store.read_entries(log, Which::All, index, 1).await?;
            // One that cannot be read tells nothing.
            let is_it = |entry| {
                let (at, known) = place(entry);
                at == index && known.is_none_or(|known| known == mark)
            };
            if !found.first().is_some_and(is_it) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells what was recorded between two positions.
    async fn tell_since(&self, mut position: Position, now: &Position) -> Result<(), Over> {
        for (log, until) in now.logs() {
            loop {
                let from = position.of_log(log);
                let left = u32::try_from(until.saturating_sub(from)).unwrap_or(PAGE).min(PAGE);
                if left == 0 {
                    break;
                }
                let entries = self.hub.store.read_entries(log, Which::All, from, left).await?;
                if entries.is_empty() {
                    break;
                }
                for entry in entries {
                    if let Some(told) = recorded(log, entry, &mut position, self.hub.live.as_deref())
                        && self.following.wants(&told)
                    {
                        self.send(told).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells all that is live; answers the number of the last change that is in it.
    async fn tell_live(&self) -> Result<u64, Over> {
        let Some(board) = self.hub.live.as_deref() else { return Ok(0) };
        let (all, number) = Board::all(board);
        for execution in all {
            let change = Change { number, execution, before: None, whole: None };
            if self.following.wants_live(&change) {
                self.send(Told::live(Event::Live, change)).await?;
            }
        }
        Ok(number)
    }

    async fn send(&self, told: Told) -> Result<(), Over> {
        self.hand_over(Arc::new(told)).await
    }

    /// Waits for one who reads slowly, but not for one who has stopped, nor while too much waits for such.
    async fn hand_over(&self, told: Arc<Told>) -> Result<(), Over> {
        tokio::select! {
            biased;
            sent = self.to.send_timeout(told, PATIENCE) => sent.map_err(|_| Over),
            () = self.feed.shared.overfull() => Err(Over),
        }
    }
}
