//! Watches how many months have partitions left, which somebody else has to make.

use std::time::Duration;

use crate::{clock::SharedClock, doctor::database::FEW_MONTHS, metrics::Metrics, store::postgres};

/// How often they are counted: months go slowly, and who made some wants to see it the same day.
const EVERY: Duration = Duration::from_secs(3600);

/// Keeps the metric current for as long as it is polled. A database that does not answer is asked again
/// later: what depends on it says so louder.
pub(super) async fn watch(location: postgres::Location, clock: SharedClock, metrics: &Metrics) {
    loop {
        match postgres::months_ahead(&location, clock.now()).await {
            Ok(months) => {
                metrics.set_partitions_ahead(months.into());
                if months < FEW_MONTHS {
                    tracing::warn!(
                        months,
                        "few months ahead have partitions: run `dualaudit maintain` as the database's owner, \
                         and have it run by itself (deploy/maintain.yaml)"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "the partitions ahead could not be counted"),
        }
        tokio::time::sleep(EVERY).await;
    }
}
