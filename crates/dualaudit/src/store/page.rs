//! How much one answer of a list may hold.

use super::Listed;

/// The bytes of rows after which a page ends, about: a row may be as large as a record, and a page may
/// have a thousand rows.
pub(super) const PAGE_BYTES: usize = 8 << 20;

/// One page of executions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// In the order of the list. At least one, where there is one.
    pub rows: Vec<Listed>,
    /// Whether more follow.
    pub more: bool,
}

/// A page that takes rows until it is full.
pub(super) struct Filling {
    page: Page,
    left: u32,
    bytes: usize,
}

impl Filling {
    /// An empty page of at most `limit` rows.
    pub(super) fn new(limit: u32) -> Self {
        Self { page: Page::default(), left: limit, bytes: 0 }
    }

    /// How many rows to ask the database for: one more than fits tells whether more follow.
    pub(super) fn wanted(&self) -> u32 {
        self.left.saturating_add(1)
    }

    /// Takes the next row, if it still fits; answers whether another may follow.
    pub(super) fn push(&mut self, row: Listed) -> bool {
        self.bytes = self.bytes.saturating_add(size(&row));
        if self.left == 0 || (self.bytes > PAGE_BYTES && !self.page.rows.is_empty()) {
            self.page.more = true;
        } else {
            self.left -= 1;
            self.page.rows.push(row);
        }
        !self.page.more
    }

    /// Whether it takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.page.more
    }

    /// The page as far as it was filled.
    pub(super) fn finish(self) -> Page {
        self.page
    }
}

/// About how many bytes a row takes: its two parts without a small limit, and the rest by its most.
fn size(row: &Listed) -> usize {
    const REST: usize = 4 << 10;
    let record = &row.execution.record;
    let labels: usize = record.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    REST + record.error_message.len() + labels
}
