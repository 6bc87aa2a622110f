//! Tables that a log's entries say all of, made anew from them.

use async_trait::async_trait;
use dualaudit_record::{
    Time,
    digest::Digest,
    entry::{Hold, Review},
    log::TileData,
    proof,
    statistics::{Bucket, Kept, Key, NotPacked, Part, Slice, Sums},
};
use serde::Serialize;

use super::{
    Head, Store, StoreError, StoredEntry,
    statistics::{
        Given,
        days::{DayTable, STEP_DAYS, WORKFLOW_DAYS},
        page::{self, BadPage, PageId, Reading},
    },
};

/// What follows from a log's entries, and from nothing else.
#[derive(Clone, Debug, PartialEq)]
pub enum Derived {
    /// A tile of the tree, as full as it gets.
    Tile(TileData),
    /// A hold, when it is placed.
    Hold {
        /// Its entry.
        index: u64,
        /// The hold.
        hold: Hold,
        /// When its entry was appended.
        placed_at: Time,
    },
    /// The end of a hold.
    Release {
        /// The hold's entry.
        hold: u64,
        /// The entry that ends it.
        by: u64,
        /// When that was appended.
        released_at: Time,
    },
    /// A review.
    Review {
        /// Its entry.
        index: u64,
        /// The review; of one that was erased, what is left.
        review: Review,
        /// When its entry was appended.
        recorded_at: Time,
    },
    /// A run of entries whose bodies were purged.
    Purged {
        /// The first of them.
        first: u64,
        /// The last.
        last: u64,
        /// The purge's entry.
        by: u64,
    },
    /// An entry that lost its personal fields.
    Erased {
        /// It.
        entry: u64,
        /// The erasure's entry.
        by: u64,
    },
    /// The log in whose place this one goes on.
    Succeeds(String),
    /// The hash of a leaf, of an entry that is stored with another.
    LeafHash {
        /// The entry.
        index: u64,
        /// RFC 6962 hash of the leaf that its columns make.
        leaf_hash: Digest,
    },
}

/// A table beside what the entries make of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The table.
    pub table: &'static str,
    /// How many rows the entries make.
    pub rows: u64,
    /// How many rows are missing, or say another thing, or should not be there.
    pub differing: u64,
    /// The keys of the first of these.
    pub first: Vec<String>,
}

/// The keys that [`Compared::first`] holds at most.
pub(super) const NAMED: i64 = 5;

/// The pages of statistics as they are made anew, and what is left of them once those that are stored are taken away.
pub(super) const REBUILT_PAGES: &str = "rebuilt_statistics_page";
pub(super) const DIFFERING_PAGES: &str = "differing_statistics_page";

pub(super) const COPY_REBUILT: &str =
    "INSERT INTO differing_statistics_page SELECT * FROM rebuilt_statistics_page";
pub(super) const COUNT_REBUILT: &str = "SELECT count(*) FROM rebuilt_statistics_page";

/// Puts the statistics that were made anew in the place of those of a log.
pub(super) const REPLACE_STATISTICS: [&str; 4] = [
    "DELETE FROM statistics_pending WHERE log = $1",
    "DELETE FROM statistics_page WHERE log = $1",
    "INSERT INTO statistics_page SELECT * FROM rebuilt_statistics_page WHERE log = $1",
    "UPDATE statistics_log SET refolded = refold_until, passed_over = 0, rolling = NULL WHERE log = $1",
];

/// Entries whose contributions are summed before they go into pages.
const SUMMED: usize = 4096;

/// Sums on their way into pages.
#[derive(Default)]
pub(super) struct Summing {
    given: Given,
    entries: usize,
}

impl Summing {
    /// Takes what some entries give; answers what is due to go into pages.
    pub(super) fn push(&mut self, entries: usize, given: &Given) -> Option<Given> {
        self.given.merge(given, 1);
        self.entries += entries;
        (self.entries >= SUMMED).then(|| self.take())
    }

    /// What was not yet due.
    pub(super) fn take(&mut self) -> Given {
        std::mem::take(self).given
    }
}

/// A table of pages like the stored ones, as long as the connection lasts.
pub(super) fn pages_like_stored(name: &str) -> String {
    format!(
        "CREATE TEMPORARY TABLE {name} AS SELECT * FROM statistics_page WHERE false;
        CREATE UNIQUE INDEX {name}_key ON {name} (log, level, start, slice, first_key)"
    )
}

/// A table of days like the stored one, as long as the connection lasts.
pub(super) fn days_like_stored(table: &DayTable) -> String {
    let DayTable { name, rebuilt, key, .. } = table;
    format!(
        "CREATE TEMPORARY TABLE {rebuilt} AS SELECT * FROM {name} WHERE false;
        CREATE UNIQUE INDEX {rebuilt}_key ON {rebuilt} (log, {})",
        key.join(", ")
    )
}

/// Stored statistics, on their way out of those that were made anew.
#[derive(Default)]
pub(super) struct TakingAway {
    /// What makes no sense.
    bad: Vec<String>,
    /// The last key so far, and where.
    last: Option<(Slice, Bucket, Key)>,
}

impl TakingAway {
    /// What it takes to take what is not folded yet away.
    pub(super) fn unfolded(&mut self, unfolded: Result<Given, NotPacked>) -> Given {
        let mut given = Given::default();
        match unfolded {
            Ok(unfolded) => given.merge(&unfolded, -1),
            Err(error) => self.bad.push(format!("not folded yet: {error}")),
        }
        given
    }

    /// What it takes to take the next pages, in the order of their names, away. Of buckets that are not kept, because
    /// they are still put together or on their way out, nobody reads anything.
    pub(super) fn pages(&mut self, pages: &[(PageId, Vec<u8>)], kept: Kept) -> Sums {
        let mut sums = Sums::default();
        for (id, bytes) in pages.iter().filter(|(id, _)| kept.has(id.bucket)) {
            let mut of_page = Sums::default();
            match self.page(id, bytes, &mut of_page) {
                Ok(()) => sums.merge(&of_page, -1),
                Err(why) => self.bad.push(format!("{}: {why}", place(id))),
            }
        }
        sums
    }

    fn page(&mut self, id: &PageId, bytes: &[u8], sums: &mut Sums) -> Result<(), String> {
        let view = id.slice.view();
        let mut reading = Reading::new(id, bytes).map_err(|error| error.to_string())?;
        while let Some(cell_bytes) = reading.next().map_err(|error| error.to_string())? {
            let mut cell = view.zero();
            reading.add(cell_bytes, Part::All, &mut cell).map_err(|error| error.to_string())?;
            let next = (id.slice, id.bucket, Key::from_bytes(reading.key().to_vec()));
            let follows =
                self.last.as_ref().is_none_or(|last| (last.0, last.1) != (next.0, next.1) || last.2 < next.2);
            if next.2 < id.first || !follows {
                return Err("its keys are not where they are looked for".to_owned());
            }
            sums.add(view, id.bucket, next.2.clone(), &cell, 1);
            self.last = Some(next);
        }
        Ok(())
    }

    /// The statistics beside what the entries make of them, in so many pages: `left` is what was not taken away.
    pub(super) fn compared(self, rows: u64, left: &[(PageId, Vec<u8>)]) -> Result<Compared, BadPage> {
        let differing = self.bad.len() as u64;
        let mut compared = Compared { table: "statistics_page", rows, differing, first: self.bad };
        for (id, bytes) in left {
            for key in page::read(id, bytes)?.into_keys() {
                compared.differing += 1;
                if compared.first.len() < NAMED as usize {
                    compared.first.push(format!("{}: {}", place(id), key.as_bytes().escape_ascii()));
                }
            }
        }
        compared.first.truncate(NAMED as usize);
        Ok(compared)
    }
}

fn place(id: &PageId) -> String {
    format!("{} of the {} from {}", id.slice, id.bucket.level, id.bucket.start.start())
}

/// Whether a rebuild only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One state of the log is looked at, while it goes on.
    Check,
    /// The log takes nothing until it is done.
    Replace,
}

/// What the owner of a database does to have derived tables made anew.
#[async_trait]
pub trait Rebuild: Store {
    /// Begins one, in one transaction. Nothing is changed before [`Rebuilding::replace`].
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when there is no such log; [`StoreError::Unavailable`] also when this role may not
    /// do it.
    async fn begin_rebuild(&self, log: &str, mode: Mode) -> Result<Box<dyn Rebuilding>, StoreError>;
}

/// A rebuild under way. Dropping it leaves everything as it was.
#[async_trait]
pub trait Rebuilding: Send {
    /// The log's head as it is stored.
    fn head(&self) -> &Head;

    /// See [`Store::entries`], of every kind; also those beyond the head's size.
    async fn entries(&mut self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, StoreError>;

    /// Gives what the next entries contribute to the statistics, in their order.
    async fn contribute(&mut self, page: Vec<StoredEntry>) -> Result<(), StoreError>;

    /// Takes what else follows from them.
    async fn put(&mut self, rows: Vec<Derived>) -> Result<(), StoreError>;

    /// Compares what was put with what is stored. Once, after all of it.
    async fn compare(&mut self) -> Result<Vec<Compared>, StoreError>;

    /// Puts what was put in the place of what is stored and differs.
    async fn replace(self: Box<Self>, head: proof::Head, recorded_at: Option<Time>)
    -> Result<(), StoreError>;
}

/// A table whose rows are compared as they are. Its statements are the same in every database; the log is
/// their first value.
pub(super) struct DerivedTable {
    pub(super) name: &'static str,
    /// The column that names the log that the rows follow from.
    of: &'static str,
    key: &'static [&'static str],
    /// All other columns.
    others: &'static [&'static str],
}

pub(super) const LEAF_HASHES: DerivedTable =
    DerivedTable { name: "log_entry", of: "log", key: &["idx"], others: &["leaf_hash"] };

/// Those of statistics, each beside what says how it is added to.
pub(super) const DAYS: [(&DayTable, DerivedTable); 2] = [
    (&WORKFLOW_DAYS, DerivedTable::of_days(&WORKFLOW_DAYS)),
    (&STEP_DAYS, DerivedTable::of_days(&STEP_DAYS)),
];

/// All but the leaf hashes, which are columns of what is not derived.
pub(super) const TABLES: [DerivedTable; 6] = [
    DerivedTable { name: "log_tile", of: "log", key: &["level", "idx"], others: &["hashes"] },
    DerivedTable {
        name: "hold",
        of: "log",
        key: &["idx"],
        others: &["execution_id", "selector", "reason", "actor", "placed_at", "released_at", "released_idx"],
    },
    DerivedTable {
        name: "review",
        of: "log",
        key: &["idx"],
        others: &["id", "attempt", "verdict", "note", "actor", "recorded_at"],
    },
    DerivedTable { name: "purged", of: "log", key: &["last_idx"], others: &["first_idx", "idx"] },
    DerivedTable { name: "erased", of: "log", key: &["entry_idx"], others: &["idx"] },
    DerivedTable { name: "succession", of: "successor", key: &["log"], others: &[] },
];

impl DerivedTable {
    const fn of_days(days: &DayTable) -> Self {
        Self { name: days.name, of: "log", key: days.key, others: days.sums }
    }

    /// Its columns but for the log's, the key first.
    fn columns(&self) -> String {
        [self.key, self.others].concat().join(", ")
    }

    /// Makes the table that is put to, empty, for the length of the connection.
    pub(super) fn create(&self) -> String {
        let (name, columns) = (self.name, self.columns());
        format!("CREATE TEMPORARY TABLE rebuilt_{name} AS SELECT {columns} FROM {name} WHERE false")
    }

    /// Finds by its key what is put.
    pub(super) fn index(&self) -> String {
        let (name, key) = (self.name, self.key.join(", "));
        format!("CREATE INDEX rebuilt_{name}_key ON rebuilt_{name} ({key})")
    }

    /// Counts what was put.
    pub(super) fn count(&self) -> String {
        format!("SELECT count(*) FROM rebuilt_{}", self.name)
    }

    /// Rows of the one that the other does not have.
    fn only(&self, rebuilt: bool) -> String {
        let Self { name, of, .. } = self;
        let columns = self.columns();
        let stored = format!("SELECT {columns} FROM {name} WHERE {of} = $1");
        let put = format!("SELECT {columns} FROM rebuilt_{name}");
        match rebuilt {
            true => format!("{put} EXCEPT {stored}"),
            false => format!("{stored} EXCEPT {put}"),
        }
    }

    /// The first keys of what was put.
    pub(super) fn put_keys(&self) -> String {
        let (name, key) = (self.name, self.key.join(", "));
        format!("SELECT {} AS shown FROM rebuilt_{name} ORDER BY {key} LIMIT {NAMED}", self.shown_key())
    }

    /// A row's key as one text.
    fn shown_key(&self) -> String {
        let texts: Vec<String> = self.key.iter().map(|column| format!("CAST({column} AS TEXT)")).collect();
        texts.join(" || '/' || ")
    }

    /// The keys of rows that differ: how many there are, and the first.
    pub(super) fn differing(&self) -> [String; 2] {
        let key = self.key.join(", ");
        let differing = format!(
            "SELECT {key} FROM ({}) AS missing UNION SELECT {key} FROM ({}) AS stray",
            self.only(true),
            self.only(false)
        );
        [
            format!("SELECT count(*) FROM ({differing}) AS differing"),
            format!(
                "SELECT {} AS shown FROM ({differing}) AS differing ORDER BY {key} LIMIT {NAMED}",
                self.shown_key()
            ),
        ]
    }

    /// Removes what differs, and adds what is missing then.
    pub(super) fn replace(&self) -> [String; 2] {
        let Self { name, of, .. } = self;
        let (key, columns) = (self.key.join(", "), self.columns());
        [
            format!(
                "DELETE FROM {name} WHERE {of} = $1 AND ({key}) IN (SELECT {key} FROM ({}) AS stray)",
                self.only(false)
            ),
            format!(
                "INSERT INTO {name} ({of}, {columns}) SELECT $1, {columns} FROM ({}) AS missing",
                self.only(true)
            ),
        ]
    }
}
