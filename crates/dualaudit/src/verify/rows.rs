//! The rows that people query, counted against the entries that vouch for them.
//!
//! That each entry has its row is shown by its body. This shows the other direction: that no row was
//! put beside the log.

use super::{LogCheck, PAGE};
use crate::store::{Cursor, Filter, StoreError};

/// Rows read at a time.
const ROWS: u32 = 500;

impl LogCheck<'_> {
    /// Compares the number of rows with the number of executions the log has recorded: at least
    /// `recorded`, and as many more as were appended meanwhile.
    pub(super) async fn check_rows(&mut self, recorded: u64) -> Result<(), StoreError> {
        let rows = self.count_rows().await?;
        // Counted after the rows, so that it covers every row that came meanwhile.
        let most = recorded + self.count_recorded_since().await?;
        if (recorded..=most).contains(&rows) {
            return Ok(());
        }
        let before = self.report.findings_total;
        if rows > most {
            self.find_strays().await?;
        }
        if self.report.findings_total == before {
            self.find(None, "executions", format!("{recorded}, as the entries say"), format!("{rows} rows"));
        }
        Ok(())
    }

    async fn count_rows(&self) -> Result<u64, StoreError> {
        let mut rows = 0;
        let mut after = None;
        while let Some(page) = self.page_of_rows(&mut after).await? {
            rows += page.len() as u64;
        }
        Ok(rows)
    }

    async fn count_recorded_since(&self) -> Result<u64, StoreError> {
        let (mut next, mut recorded) = (self.head.size, 0);
        loop {
            let page = self.store.entries(&self.head.log, next, PAGE).await?;
            let Some(last) = page.last() else { return Ok(recorded) };
            next = last.index + 1;
            recorded += page.iter().filter(|entry| entry.revision == Some(1)).count() as u64;
        }
    }

    /// Names the rows that no entry vouches for. Asks for each row, so only when there are some.
    async fn find_strays(&mut self) -> Result<(), StoreError> {
        let mut after = None;
        while let Some(page) = self.page_of_rows(&mut after).await? {
            for (id, attempt) in page {
                let read = self.store.read_back(&self.head.log, &id, attempt).await?;
                if read.is_none_or(|read| !read.intact) {
                    let found = format!("a row for {id}, attempt {attempt}");
                    self.find(None, "executions", "an entry for each row", found);
                }
            }
        }
        Ok(())
    }

    /// Ids and attempts of the next rows, until there are none.
    async fn page_of_rows(
        &self,
        after: &mut Option<Cursor>,
    ) -> Result<Option<Vec<(String, u32)>>, StoreError> {
        let filter = Filter { log: Some(self.head.log.clone()), ..Filter::default() };
        let page = self.store.list(&filter, after.as_ref(), ROWS).await?.rows;
        let Some(last) = page.last() else { return Ok(None) };
        let record = &last.execution.record;
        *after = Some(Cursor {
            created_at: record.created_at,
            log: last.log.clone(),
            id: record.id.clone(),
            attempt: record.attempt,
        });
        let rows = page.into_iter().map(|row| (row.execution.record.id, row.execution.record.attempt));
        Ok(Some(rows.collect()))
    }
}
