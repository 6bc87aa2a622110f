//! Logs that go on in the place of others that were rolled back.

use async_trait::async_trait;
use dualaudit_record::{Time, log::Tree};
use rusqlite::{TransactionBehavior, params};

use super::{SqliteStore, error::Error, leave};
use crate::store::{LogState, StoreError, Succession, rows::tracked_columns};

#[async_trait]
impl Succession for SqliteStore {
    async fn begin_successor(
        &self,
        log: &str,
        successor: &str,
        origin: &str,
        now: Time,
    ) -> Result<(), StoreError> {
        const BEGIN: &str = "
            -- succeed: begin
            INSERT INTO log (name, owner, cluster_uid, origin, secret, created_at, size, root, recorded_at)
            SELECT ?2, owner, cluster_uid, ?3, secret, ?4, 0, ?5, NULL
            FROM log
            WHERE name = ?1 AND NOT EXISTS (SELECT 1 FROM log WHERE name = ?2)";
        let (log, successor, origin) = (log.to_owned(), successor.to_owned(), origin.to_owned());
        self.write(move |writer| {
            let root = Tree::empty().root().0;
            writer.connection.execute(BEGIN, params![log, successor, origin, now.as_micros(), root])?;
            Ok(())
        })
        .await
    }

    async fn close_succeeded(&self, log: &str, successor: &str) -> Result<(), StoreError> {
        const CLOSE: &str = "
            -- succeed: close
            INSERT INTO succession (log, successor)
            VALUES (?1, ?2)";
        const TRACK: &str = concat!(
            "
            -- succeed: what is still owed a record
            INSERT OR IGNORE INTO tracked (
                log, ",
            tracked_columns!(),
            "
            )
            SELECT ?2, ",
            tracked_columns!(),
            "
            FROM tracked
            WHERE log = ?1"
        );
        let (log, successor) = (log.to_owned(), successor.to_owned());
        self.write(move |writer| {
            let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            match leave::state(&transaction, &log)? {
                LogState::Succeeded { by } if by == successor => return Ok(()),
                state => state.check_opening(&log)?,
            }
            transaction.execute(TRACK, params![log, successor])?;
            transaction.execute(CLOSE, params![log, successor])?;
            transaction.commit().map_err(Error::Commit)
        })
        .await
    }
}
