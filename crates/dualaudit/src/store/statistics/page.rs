//! Pages: a stretch of the keys of a slice and bucket with their cells, as it is stored.
//!
//! A page begins with the version of this form, and the texts that its cells refer to: how many, and each with its length.
//! Then come its cells in the order of their keys, each as three parts: how many bytes its key has in common with the key
//! before, the rest of the key, and the cell. Numbers and bytes are in postcard's encoding
//! (<https://postcard.jamesmunns.com/wire-format>), cells as `crates/record/src/statistics/slice/bytes.rs` says.

use std::collections::BTreeMap;

use dualaudit_record::statistics::{Bucket, Cell, Key, Part, Slice, Sums, Texts};

/// The version of the form.
const FORM: u8 = 2;
/// A page that is longer is divided. Its row fits into a page of SQLite's file, which has 4 KiB, so that who looks for few
/// keys reads one of these and no chain of them.
const FULL: usize = 3500;
/// Into pages of about this length, so that each has room to grow.
const HALF: usize = FULL / 2;

/// Names a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PageId {
    pub(crate) slice: Slice,
    pub(crate) bucket: Bucket,
    /// No key in it is less; of the first page of a bucket, no key at all.
    pub(crate) first: Key,
}

/// What is stored is no page.
#[derive(Debug, thiserror::Error)]
#[error("a page of {} from hour {}: {why}", id.slice, id.bucket.start.number())]
pub(crate) struct BadPage {
    id: Box<PageId>,
    why: String,
}

/// A change to the stored pages.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    /// It is there from now on, in the place of the one with that name.
    Put(PageId, Vec<u8>),
    /// It is there no more.
    Remove(PageId),
}

/// Which of the pages there are, in order, hold the keys of these sums.
pub(crate) fn touched(known: &[PageId], sums: &Sums) -> Vec<PageId> {
    let mut touched: Vec<PageId> = Vec::new();
    for ((view, bucket, key), _) in sums.iter() {
        for &slice in view.slices(Part::All) {
            touched.extend(page_of(known, slice, *bucket, key).cloned());
        }
    }
    touched.sort_unstable();
    touched.dedup();
    touched
}

fn page_of<'a>(known: &'a [PageId], slice: Slice, bucket: Bucket, key: &Key) -> Option<&'a PageId> {
    let after = known.partition_point(|page| (page.slice, page.bucket, &page.first) <= (slice, bucket, key));
    let page = &known[after.checked_sub(1)?];
    (page.slice == slice && page.bucket == bucket).then_some(page)
}

/// Adds sums to the pages that hold their keys, `loaded`, of all there are.
///
/// # Errors
/// When one of these is no page.
pub(crate) fn add(
    known: &[PageId],
    loaded: BTreeMap<PageId, Vec<u8>>,
    sums: Sums,
) -> Result<Vec<Change>, BadPage> {
    let mut pages: BTreeMap<PageId, BTreeMap<Key, Cell>> = BTreeMap::new();
    for ((view, bucket, key), cell) in sums.into_cells() {
        for (slice, cell) in cell.sliced(view) {
            let first =
                page_of(known, slice, bucket, &key).map_or_else(Key::default, |page| page.first.clone());
            pages.entry(PageId { slice, bucket, first }).or_default().insert(key.clone(), cell);
        }
    }
    let mut changes = Vec::new();
    for (id, more) in pages {
        let written = match loaded.get(&id) {
            None => divided(&id, &more),
            Some(bytes) => match merged(&id, bytes, &more)? {
                None => {
                    changes.push(Change::Remove(id));
                    continue;
                }
                Some(bytes) if bytes.len() <= FULL => vec![(id, bytes)],
                Some(bytes) => divided(&id, &read(&id, &bytes)?),
            },
        };
        changes.extend(written.into_iter().map(|(id, bytes)| Change::Put(id, bytes)));
    }
    Ok(changes)
}

/// A page with more cells added to those that it has; `None` where nothing is left. What nothing is added to is copied as
/// it stands.
fn merged(id: &PageId, bytes: &[u8], more: &BTreeMap<Key, Cell>) -> Result<Option<Vec<u8>>, BadPage> {
    let mut reading = Reading::new(id, bytes)?;
    let mut page = Writer::new(id.slice, id.first.clone(), Texts::of(&reading.texts));
    let mut more = more.iter().peekable();
    while let Some(bytes) = reading.next()? {
        while let Some((key, cell)) = more.next_if(|(key, _)| key.as_bytes() < reading.key()) {
            page.push(key.as_bytes(), cell);
        }
        match more.next_if(|(key, _)| key.as_bytes() == reading.key()) {
            None => page.push_bytes(reading.key(), bytes),
            Some((key, theirs)) => {
                let mut cell = id.slice.view().zero();
                reading.add(bytes, Part::All, &mut cell)?;
                cell.merge(theirs, 1);
                if !cell.is_zero() {
                    page.push(key.as_bytes(), &cell);
                }
            }
        }
    }
    more.for_each(|(key, cell)| page.push(key.as_bytes(), cell));
    Ok((!page.cells.is_empty()).then(|| page.page()))
}

/// Cells as one page, or, where they are too long for it, as several.
fn divided(id: &PageId, cells: &BTreeMap<Key, Cell>) -> Vec<(PageId, Vec<u8>)> {
    let writer = |first: &Key| Writer::new(id.slice, first.clone(), Texts::default());
    let mut whole = writer(&id.first);
    cells.iter().for_each(|(key, cell)| whole.push(key.as_bytes(), cell));
    let bytes = whole.page();
    if bytes.len() <= FULL {
        return vec![(id.clone(), bytes)];
    }
    let mut pages = Vec::new();
    let mut page = writer(&id.first);
    for (key, cell) in cells {
        if page.cells.len() >= HALF {
            pages.push(std::mem::replace(&mut page, writer(key)));
        }
        page.push(key.as_bytes(), cell);
    }
    pages.push(page);
    pages.into_iter().map(|page| (PageId { first: page.first.clone(), ..id.clone() }, page.page())).collect()
}

struct Writer {
    slice: Slice,
    first: Key,
    texts: Texts,
    cells: Vec<u8>,
    /// The cell that is written, before its length is known.
    cell: Vec<u8>,
    /// The key that was written last.
    last: Vec<u8>,
}

impl Writer {
    fn new(slice: Slice, first: Key, texts: Texts) -> Self {
        Self { slice, first, texts, cells: Vec::new(), cell: Vec::new(), last: Vec::new() }
    }

    fn push(&mut self, key: &[u8], cell: &Cell) {
        let mut bytes = std::mem::take(&mut self.cell);
        bytes.clear();
        self.slice.write(cell, &mut self.texts, &mut bytes);
        self.push_bytes(key, &bytes);
        self.cell = bytes;
    }

    /// A cell that refers to the texts that there are.
    fn push_bytes(&mut self, key: &[u8], cell: &[u8]) {
        let shared = self.last.iter().zip(key).take_while(|(a, b)| a == b).count();
        let entry = (shared, &key[shared..], cell);
        let cells = std::mem::take(&mut self.cells);
        self.cells = postcard::to_extend(&entry, cells).expect("parts of a page can be encoded");
        self.last.truncate(shared);
        self.last.extend(&key[shared..]);
    }

    fn page(self) -> Vec<u8> {
        let mut page = postcard::to_extend(self.texts.all(), vec![FORM]).expect("texts can be encoded");
        page.extend(self.cells);
        page
    }
}

/// The cells of a page, of which its slice is read.
///
/// # Errors
/// When it is none.
pub(crate) fn read(id: &PageId, bytes: &[u8]) -> Result<BTreeMap<Key, Cell>, BadPage> {
    let mut reading = Reading::new(id, bytes)?;
    let mut cells = BTreeMap::new();
    while let Some(bytes) = reading.next()? {
        let mut cell = id.slice.view().zero();
        reading.add(bytes, Part::All, &mut cell)?;
        cells.insert(Key::from_bytes(reading.key().to_vec()), cell);
    }
    Ok(cells)
}

/// A page that is read from one key to the next.
pub(crate) struct Reading<'a> {
    id: &'a PageId,
    texts: Vec<&'a str>,
    rest: &'a [u8],
    key: Vec<u8>,
}

impl<'a> Reading<'a> {
    /// Begins to read a page.
    pub(crate) fn new(id: &'a PageId, bytes: &'a [u8]) -> Result<Self, BadPage> {
        let bad = |why: String| BadPage { id: Box::new(id.clone()), why };
        let rest = match bytes.split_first() {
            Some((&FORM, rest)) => rest,
            Some((form, _)) => {
                return Err(bad(format!("its form is {form}, which a newer dualaudit may know")));
            }
            None => return Err(bad("it is empty".to_owned())),
        };
        let (texts, rest) = postcard::take_from_bytes(rest).map_err(|error| bad(error.to_string()))?;
        Ok(Self { id, texts, rest, key: Vec::new() })
    }

    /// Goes to the next key, in their order; answers the bytes of its cell.
    pub(crate) fn next(&mut self) -> Result<Option<&'a [u8]>, BadPage> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let entry = postcard::take_from_bytes::<(usize, &[u8], &[u8])>(self.rest);
        let ((shared, suffix, cell), rest) = entry.map_err(|error| self.bad(&error))?;
        self.rest = rest;
        if shared > self.key.len() {
            return Err(self.bad(&"a key has more in common with the one before than that is long"));
        }
        self.key.truncate(shared);
        self.key.extend(suffix);
        Ok(Some(cell))
    }

    /// The key that it is at.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Adds what the bytes of a cell say to a cell of the same view, of [`Part::Ended`] perhaps no more than that.
    pub(crate) fn add(&self, bytes: &[u8], part: Part, cell: &mut Cell) -> Result<(), BadPage> {
        self.id.slice.add(bytes, &self.texts, part, cell).map_err(|error| self.bad(&error))
    }

    fn bad(&self, why: &dyn std::fmt::Display) -> BadPage {
        BadPage { id: Box::new(self.id.clone()), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests;
