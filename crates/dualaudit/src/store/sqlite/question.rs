//! Questions that end when their time is over or nobody waits for them any more.

use std::time::Duration;

use deadpool_sqlite::Object;
use rusqlite::{Connection, InterruptHandle};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often a question that has to end is interrupted until it does: an interrupt between two
/// statements reaches none.
const AGAIN: Duration = Duration::from_millis(20);

/// Interrupts when it goes away: a runtime that shuts down drops its tasks, then waits for `act`. It
/// reaches nothing that has ended.
struct Interrupt(InterruptHandle);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

/// Runs `act` off the async threads. Answers `None` when `limit` was over first.
///
/// The reader goes back to its pool when `act` has ended, even when the caller goes away, so that
/// the next to take it neither waits for it nor is interrupted.
///
/// # Errors
/// When `act` panics, or the runtime shuts down.
pub(super) async fn ask<T: Send + 'static>(
    reader: Object,
    limit: Option<Duration>,
    act: impl FnOnce(&mut Connection) -> T + Send + 'static,
) -> Result<Option<T>, String> {
    let gone = CancellationToken::new();
    let caller = gone.clone().drop_guard();
    let run = async move {
        let interrupt = match reader.lock() {
            Ok(connection) => Interrupt(connection.get_interrupt_handle()),
            Err(error) => return Err(error.to_string()),
        };
        let over = async {
            match limit {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let mut acting = std::pin::pin!(reader.interact(act));
        tokio::select! {
            done = &mut acting => return done.map(Some).map_err(|error| error.to_string()),
            () = over => {}
            () = gone.cancelled() => {}
        }
        loop {
            interrupt.0.interrupt();
            tokio::select! {
                done = &mut acting => return done.map(|_| None).map_err(|error| error.to_string()),
                () = sleep(AGAIN) => {}
            }
        }
    };
    let done = tokio::spawn(run).await.map_err(|error| error.to_string())?;
    drop(caller);
    done
}
