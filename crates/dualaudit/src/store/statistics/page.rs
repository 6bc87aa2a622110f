//! Pages: a stretch of the keys of a view and bucket with their cells, as it is stored.
//!
//! A page begins with the version of this form. Then come its cells in the order of their keys, each as three parts
//! in postcard's encoding: how many bytes its key has in common with the key before, the rest of the key, and the cell.

use std::collections::BTreeMap;

use dualaudit_record::statistics::{Bucket, Cell, Key, Sums, View};
use serde::de::DeserializeOwned;

/// The version of the form.
const FORM: u8 = 1;
/// A page that is longer is divided.
const FULL: usize = 16 * 1024;
/// Into pages of about this length, so that each has room to grow.
const HALF: usize = FULL / 2;

/// Names a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PageId {
    pub(crate) view: View,
    pub(crate) bucket: Bucket,
    /// No key in it is less; of the first page of a bucket, no key at all.
    pub(crate) first: Key,
}

/// What is stored is no page.
#[derive(Debug, thiserror::Error)]
#[error("a page of {} from hour {}: {why}", id.view, id.bucket.start.number())]
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
        if let Some(page) = page_of(known, *view, *bucket, key)
            && touched.last() != Some(page)
        {
            touched.push(page.clone());
        }
    }
    touched
}

fn page_of<'a>(known: &'a [PageId], view: View, bucket: Bucket, key: &Key) -> Option<&'a PageId> {
    let after = known.partition_point(|page| (page.view, page.bucket, &page.first) <= (view, bucket, key));
    let page = &known[after.checked_sub(1)?];
    (page.view == view && page.bucket == bucket).then_some(page)
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
        let first = page_of(known, view, bucket, &key).map_or_else(Key::default, |page| page.first.clone());
        pages.entry(PageId { view, bucket, first }).or_default().insert(key, cell);
    }
    let mut changes = Vec::new();
    for (id, more) in pages {
        let is_there = loaded.contains_key(&id);
        let mut cells: BTreeMap<Key, Cell> = match loaded.get(&id) {
            Some(bytes) => read(&id, bytes)?.collect::<Result<_, _>>()?,
            None => BTreeMap::new(),
        };
        for (key, cell) in more {
            merge(&mut cells, id.view, key, &cell);
        }
        if cells.is_empty() {
            changes.extend(is_there.then_some(Change::Remove(id)));
            continue;
        }
        changes.extend(written(&id, &cells).into_iter().map(|(id, bytes)| Change::Put(id, bytes)));
    }
    Ok(changes)
}

fn merge(cells: &mut BTreeMap<Key, Cell>, view: View, key: Key, cell: &Cell) {
    use std::collections::btree_map::Entry;
    match cells.entry(key) {
        Entry::Vacant(place) => {
            place.insert(view.zero()).merge(cell, 1);
        }
        Entry::Occupied(mut place) => {
            place.get_mut().merge(cell, 1);
            if place.get().is_zero() {
                place.remove();
            }
        }
    }
}

/// Cells as one page, or, where they are too long for it, as several.
fn written(id: &PageId, cells: &BTreeMap<Key, Cell>) -> Vec<(PageId, Vec<u8>)> {
    let mut whole = Writer::new(id.first.clone());
    cells.iter().for_each(|(key, cell)| whole.push(key, cell));
    if whole.bytes.len() <= FULL {
        return vec![(id.clone(), whole.bytes)];
    }
    let mut pages = Vec::new();
    let mut page = Writer::new(id.first.clone());
    for (key, cell) in cells {
        if page.bytes.len() >= HALF {
            pages.push(std::mem::replace(&mut page, Writer::new(key.clone())));
        }
        page.push(key, cell);
    }
    pages.push(page);
    pages.into_iter().map(|page| (PageId { first: page.first, ..id.clone() }, page.bytes)).collect()
}

struct Writer {
    first: Key,
    bytes: Vec<u8>,
    last: Key,
}

impl Writer {
    fn new(first: Key) -> Self {
        Self { first, bytes: vec![FORM], last: Key::default() }
    }

    fn push(&mut self, key: &Key, cell: &Cell) {
        let (last, bytes) = (self.last.as_bytes(), key.as_bytes());
        let shared = last.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        let cell: Vec<u8> = match cell {
            Cell::Runs(cell) => postcard::to_stdvec(cell),
            Cell::Step(cell) => postcard::to_stdvec(cell),
            Cell::Stratum(cell) => postcard::to_stdvec(cell),
            Cell::Texts(cell) => postcard::to_stdvec(cell),
        }
        .expect("cells can be encoded");
        let entry = (shared, &bytes[shared..], cell.as_slice());
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(&entry, bytes).expect("parts of a page can be encoded");
        self.last = key.clone();
    }
}

/// The cells of a page, in the order of their keys.
///
/// # Errors
/// When it is none.
pub(crate) fn read<'a>(
    id: &'a PageId,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = Result<(Key, Cell), BadPage>> + 'a, BadPage> {
    let bad = |why: String| BadPage { id: Box::new(id.clone()), why };
    let mut rest = match bytes.split_first() {
        Some((&FORM, rest)) => rest,
        Some((form, _)) => return Err(bad(format!("its form is {form}, which a newer dualaudit may know"))),
        None => return Err(bad("it is empty".to_owned())),
    };
    let mut last: Vec<u8> = Vec::new();
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = postcard::take_from_bytes::<(usize, &[u8], &[u8])>(rest);
        let read =
            entry.map_err(|error| bad(error.to_string())).and_then(|((shared, suffix, cell), after)| {
                rest = after;
                if shared > last.len() {
                    return Err(bad(
                        "a key has more in common with the one before than that is long".to_owned()
                    ));
                }
                last.truncate(shared);
                last.extend(suffix);
                let cell = match id.view {
                    View::Runs => decoded(cell).map(Cell::Runs),
                    View::Steps => decoded(cell).map(Cell::Step),
                    View::Strata => decoded(cell).map(|cell| Cell::Stratum(Box::new(cell))),
                    View::Texts => decoded(cell).map(Cell::Texts),
                };
                Ok((Key::from_bytes(last.clone()), cell.map_err(|error| bad(error.to_string()))?))
            });
        if read.is_err() {
            rest = &[];
        }
        Some(read)
    }))
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> postcard::Result<T> {
    postcard::from_bytes(bytes)
}

#[cfg(test)]
mod tests;
