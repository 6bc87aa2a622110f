//! A board of live executions beside a database of many.

use std::{cmp::Reverse, sync::Arc};

use async_trait::async_trait;
use dualaudit::live::{Board, LiveExecution, Look, Looked, Place, Sight};
use dualaudit_record::WorkflowExecutionAudit;

use super::fleet::{Fleet, uid};

/// Live executions.
pub(crate) const LIVE: usize = 10_000;
/// In microseconds: they were created so long before the newest that is stored, at most.
const LATELY: i64 = 86_400_000_000;

/// Nobody is asked for one of them alone.
struct Nobody;

#[async_trait]
impl Look for Nobody {
    async fn look(&self, _: &str, _: &str, _: &str) -> Result<Option<Looked>, String> {
        Err("there is no cluster here".to_owned())
    }
}

/// Executions of the fleet's first log that have not ended, spread over its last day.
pub(crate) fn board(fleet: &Fleet) -> Board {
    let board = Board::new(&Fleet::log(0), Arc::new(Nobody));
    for number in 0..LIVE {
        let like = fleet.record(number * 7919 % fleet.size);
        let before = LATELY * number as i64 / LIVE as i64;
        let record = WorkflowExecutionAudit {
            id: uid(usize::MAX / 2 + number),
            created_at: fleet.ended.saturating_add_micros(-before),
            cluster: Some(Fleet::log(0)),
            step_executions: Vec::new(),
            adaptive_adjustments: Vec::new(),
            ..like
        };
        let place = Place {
            created_at: Reverse(record.created_at),
            log: Fleet::log(0),
            id: record.id.clone(),
            attempt: record.attempt,
        };
        let live = LiveExecution {
            place,
            record: record.clone(),
            message_clipped: false,
            steps: 0,
            ended: false,
            phase: "Executing".to_owned(),
            recorded: None,
            review_until: None,
            held: false,
        };
        board.see(live, Arc::new(record));
    }
    board.set_sight(Sight::Whole);
    board
}
