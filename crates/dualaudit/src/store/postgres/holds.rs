//! The holds that an append finds and changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dualaudit_record::{
    digest::Digest,
    entry::{Covers, Hold},
};

use super::{
    error::{Error, Result},
    session::Session,
    tracked::Concerns,
    values::at_most,
};
use crate::store::{
    HoldRow, Receipt, ReceiptResult,
    append::HoldsLike,
    rows::{self, Cells as _, hold_columns},
};

/// The holds that a batch concerns: those on its executions, those it names by their entries, and all that
/// select, where any of them matter.
#[derive(Default)]
pub(super) struct Holds {
    like: HashMap<(Covers, String), HoldsLike>,
    /// By the index of their entry.
    rows: BTreeMap<u64, Hold>,
    /// Indexes of those that are open.
    open: BTreeSet<u64>,
    /// Of these, those on one execution.
    on: HashMap<String, BTreeSet<u64>>,
}

impl Holds {
    /// Reads them.
    pub(super) async fn of(session: &Session, log: &str, concerns: &Concerns<'_>) -> Result<Self> {
        const HOLDS: &str = concat!(
            "
            -- append: holds
            SELECT hold.*, entry.leaf_hash
            FROM (
                SELECT ",
            hold_columns!(),
            "
                FROM hold
                WHERE log = $1 AND execution_id = ANY ($2)
                UNION ALL
                SELECT ",
            hold_columns!(),
            "
                FROM hold
                WHERE log = $1 AND idx = ANY ($3)
                UNION ALL
                SELECT ",
            hold_columns!(),
            "
                FROM hold
                WHERE log = $1 AND selector IS NOT NULL AND $4
            ) AS hold
            LEFT JOIN LATERAL (
                SELECT leaf_hash
                FROM log_entry
                WHERE log = $1 AND idx = hold.idx
                LIMIT 1
            ) AS entry ON TRUE"
        );
        let Concerns { holds, holds_at, selectors, .. } = concerns;
        if holds.is_empty() && holds_at.is_empty() && !selectors {
            return Ok(Self::default());
        }
        let ids: Vec<&str> = holds.iter().copied().collect();
        let indexes: Vec<i64> = holds_at.iter().map(|&index| at_most(index)).collect();
        let mut read = Self::default();
        for row in &session.rows(HOLDS, &[&log, &ids, &indexes, selectors]).await? {
            let found = rows::hold(row, 0)?;
            if read.rows.contains_key(&found.index) {
                continue;
            }
            let missing = || Error::damaged(format!("the hold of entry {} has no entry", found.index));
            let leaf_hash = row.optional(rows::HOLD, rows::Cells::digest)?.ok_or_else(missing)?;
            read.add(log, &found, leaf_hash);
        }
        Ok(read)
    }

    fn add(&mut self, log: &str, row: &HoldRow, leaf_hash: Digest) {
        let HoldRow { index, hold, placed_at, released } = row;
        let like = self.like.entry((hold.covers.clone(), hold.reason.clone())).or_default();
        if released.is_some() {
            like.released += 1;
        } else {
            like.open = Some(Receipt {
                id: hold.covers.execution_id().unwrap_or_default().to_owned(),
                attempt: None,
                revision: None,
                log: log.to_owned(),
                index: *index,
                leaf_hash,
                recorded_at: *placed_at,
                result: ReceiptResult::Duplicate,
            });
            self.open.insert(*index);
            if let Some(id) = hold.covers.execution_id() {
                self.on.entry(id.to_owned()).or_default().insert(*index);
            }
        }
        self.rows.insert(*index, hold.clone());
    }

    /// Takes a hold that is placed.
    pub(super) fn placed(&mut self, receipt: &Receipt, hold: &Hold) {
        let placed_at = receipt.recorded_at;
        let row = HoldRow { index: receipt.index, hold: hold.clone(), placed_at, released: None };
        self.add(&receipt.log, &row, receipt.leaf_hash);
    }

    /// Takes that a hold is released.
    pub(super) fn released(&mut self, index: u64) {
        let Some(hold) = self.rows.get(&index) else { return };
        self.open.remove(&index);
        if let Some(on) = hold.covers.execution_id().and_then(|id| self.on.get_mut(id)) {
            on.remove(&index);
        }
        let like = self.like.entry((hold.covers.clone(), hold.reason.clone())).or_default();
        like.open = None;
        like.released += 1;
    }

    /// The holds that cover the same as this one for the same reason.
    pub(super) fn like(&self, hold: &Hold) -> HoldsLike {
        self.like.get(&(hold.covers.clone(), hold.reason.clone())).cloned().unwrap_or_default()
    }

    /// What the hold of an entry covers, if there is one.
    pub(super) fn at(&self, index: u64) -> Option<Covers> {
        self.rows.get(&index).map(|hold| hold.covers.clone())
    }

    /// The open holds, oldest first.
    fn open(&self) -> impl Iterator<Item = (u64, &Hold)> {
        self.open.iter().filter_map(|index| Some((*index, self.rows.get(index)?)))
    }

    /// The open holds on an execution, oldest first.
    pub(super) fn on(&self, id: &str) -> Vec<(u64, Hold)> {
        let Some(open) = self.on.get(id) else { return Vec::new() };
        open.iter().filter_map(|index| Some((*index, self.rows.get(index)?.clone()))).collect()
    }

    /// The open holds that select, oldest first.
    pub(super) fn selecting(&self) -> impl Iterator<Item = (u64, &Hold)> {
        self.open().filter(|(_, hold)| hold.covers.execution_id().is_none())
    }

    /// How many of these there are.
    pub(super) fn open_selectors(&self) -> usize {
        self.selecting().count()
    }
}
