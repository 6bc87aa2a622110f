//! Logs that go on in the place of others that were rolled back. For the database's owner.

use async_trait::async_trait;
use dualaudit_record::{Time, log::Tree};

use super::{
    PostgresStore,
    error::{Error, Result},
    log,
    session::Session,
    values::Micros,
};
use crate::store::{LogState, StoreError, Succession, rows::tracked_columns};

#[async_trait]
impl Succession for PostgresStore {
    async fn begin_successor(
        &self,
        log: &str,
        successor: &str,
        origin: &str,
        now: Time,
    ) -> std::result::Result<(), StoreError> {
        const BEGIN: &str = "
            -- succeed: begin
            INSERT INTO log (name, owner, cluster_uid, origin, secret, created_at, size, root, recorded_at)
            SELECT $2, owner, cluster_uid, $3, secret, $4, 0, $5, NULL
            FROM log
            WHERE name = $1
            ON CONFLICT (name) DO NOTHING";
        self.worked(async {
            let session = Session::new(&self.pools.writers).await?;
            let (root, now) = (Tree::empty().root().0, Micros::from(now));
            let begun = session.execute(BEGIN, &[&log, &successor, &origin, &now, &root.as_slice()]).await;
            session.end(begun.map(drop).map_err(Into::into)).await
        })
        .await
    }

    async fn close_succeeded(&self, log: &str, successor: &str) -> std::result::Result<(), StoreError> {
        self.worked(async {
            let session = Session::new(&self.pools.writers).await?;
            let closed = close(&session, log, successor).await;
            session.end(closed).await
        })
        .await
    }
}

async fn close(session: &Session, log: &str, successor: &str) -> Result<()> {
    const LOCK: &str = "
        -- succeed: lock the head
        SELECT state, moved_from, (SELECT successor FROM succession WHERE log = $1)
        FROM log
        WHERE name = $1
        FOR UPDATE";
    const CLOSE: &str = "
        -- succeed: close
        INSERT INTO succession (log, successor)
        VALUES ($1, $2)";
    const TRACK: &str = concat!(
        "
        -- succeed: what is still owed a record
        INSERT INTO tracked (log, ",
        tracked_columns!(),
        ")
        SELECT $2, ",
        tracked_columns!(),
        "
        FROM tracked
        WHERE log = $1
        ON CONFLICT (log, id) DO NOTHING"
    );
    session.batch_execute("BEGIN").await?;
    let Some(row) = session.row(LOCK, &[&log]).await? else {
        return Err(StoreError::Foreign(format!("there is no log {log:?}")).into());
    };
    let state = log::state(&row, 0)?;
    if state != (LogState::Succeeded { by: successor.to_owned() }) {
        state.check_opening(log)?;
        session.execute(TRACK, &[&log, &successor]).await?;
        session.execute(CLOSE, &[&log, &successor]).await?;
    }
    session.batch_execute("COMMIT").await.map_err(Error::Commit)
}
