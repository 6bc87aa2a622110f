//! How the buckets of one time become those of a later one, six hours or more after: each bucket that is over by then is put together from shorter
//! ones, page by page; and once all are, the log's statistics have come to that time, and what is not kept any more goes.
//!
//! Meanwhile nothing else is folded, so the shorter buckets stay as they are; and nobody reads the longer ones.

use dualaudit_record::{
    Time,
    statistics::{Bucket, Hour, Kept, Level, Slice, Sums},
};
use serde::{Deserialize, Serialize};

use super::page::{self, BadPage, PageId};

/// Pages of cells that are put together, or go, at once.
pub(in crate::store) const ROLLED: u32 = 256;
pub(in crate::store) const GONE: u32 = 1024;

/// How far the buckets of a later time have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Rolling {
    /// The first of its six hours.
    to: Hour,
    /// How long those are that are put together now: first six hours, of hours; then days, of these; then weeks and
    /// months, of days.
    level: Level,
    /// Those of this length that begin before are done.
    pub(in crate::store) from: Hour,
    /// The last page that was added to the first that is not.
    pub(in crate::store) after: Option<After>,
}

/// A page of the shorter buckets, in the order that they are added in: by slice, key and bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct After {
    slice: Slice,
    first: Vec<u8>,
    start: Hour,
}

impl After {
    /// The columns that its order is by; of none, what comes before all.
    pub(in crate::store) fn columns(after: Option<&Self>) -> (&str, &[u8], i32) {
        after.map_or(("", &[], 0), |it| (it.slice.as_str(), it.first.as_slice(), it.start.number()))
    }
}

impl Rolling {
    /// On to the six hours of `as_of`; `None` where the statistics have come to it.
    pub(in crate::store) fn begin(kept: Kept, as_of: Time) -> Option<Self> {
        let to = Kept::by(as_of);
        (to > kept).then(|| Self { to: to.hour(), level: Level::SixHours, from: kept.hour(), after: None })
    }

    /// The time that they come to.
    pub(in crate::store) fn to(&self) -> Kept {
        Kept::at(self.to)
    }

    /// How long those are that others are put together from.
    pub(in crate::store) fn source(&self) -> Level {
        match self.level {
            Level::Hour | Level::SixHours => Level::Hour,
            Level::Day => Level::SixHours,
            Level::Week | Level::Month => Level::Day,
        }
    }

    /// The bucket that one of these belongs to; `None` where it is not over.
    pub(in crate::store) fn target(&self, source: Hour) -> Option<Bucket> {
        let target = Bucket::of(source, self.level);
        (target.end() <= self.to).then_some(target)
    }

    /// Goes on with longer buckets, when all that are over were put together; answers whether there are any.
    /// `kept` is where the statistics come from.
    pub(in crate::store) fn longer(&mut self, kept: Kept) -> bool {
        self.level = match self.level {
            Level::Hour => Level::SixHours,
            Level::SixHours => Level::Day,
            Level::Day => Level::Week,
            Level::Week => Level::Month,
            Level::Month => return false,
        };
        self.from = Bucket::of(kept.hour(), self.level).start;
        self.after = None;
        true
    }

    /// Notes that these pages were added to a bucket, which is whole if there were no more of them.
    pub(in crate::store) fn added(&mut self, target: Bucket, last: Option<&PageId>, is_whole: bool) {
        if is_whole {
            self.from = target.end();
            self.after = None;
        } else if let Some(PageId { slice, bucket, first }) = last {
            let first = first.as_bytes().to_vec();
            self.after = Some(After { slice: *slice, first, start: bucket.start });
        }
    }

    /// As it is stored.
    pub(in crate::store) fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("it can be encoded")
    }

    /// Reads what was stored; what makes no sense begins anew, which leaves nothing behind.
    pub(in crate::store) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// What it takes to add the cells of pages to a longer bucket.
pub(in crate::store) fn put_together(pages: &[(PageId, Vec<u8>)], into: Bucket) -> Result<Sums, BadPage> {
    let mut sums = Sums::default();
    for (id, bytes) in pages {
        for (key, cell) in page::read(id, bytes)? {
            sums.add(id.slice.view(), into, key, &cell, 1);
        }
    }
    Ok(sums)
}

/// The shorter buckets that are not kept: how long they are, and the hour that they begin before.
pub(in crate::store) fn gone(kept: Kept) -> [(Level, Hour); 4] {
    [
        (Level::Hour, kept.hours_from()),
        (Level::SixHours, kept.hours_from()),
        (Level::Day, kept.days_from()),
        (Level::Week, kept.days_from()),
    ]
}
