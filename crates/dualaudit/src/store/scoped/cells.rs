//! Sums over some namespaces alone, from what is summed of each.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time,
    statistics::{Cell, Hour, Kept, Key, Stretch, View},
};

use crate::store::{FoundCells, Store, StoreError, WantedCells};

/// Statistics are kept by the longer buckets the older they are. What is shorter now may be put together while it is read.
const MARGIN: i64 = 86_400_000_000;

/// Cells as if a log had executions of these namespaces alone, of each from when it is what it is.
///
/// Of the bucket in which a namespace began nothing is taken: it may have what was in one of the same name before.
pub(super) async fn of_namespaces(
    store: &dyn Store,
    log: &str,
    as_of: Option<Time>,
    namespaces: &BTreeMap<String, Time>,
    wanted: &[WantedCells],
) -> Result<FoundCells, StoreError> {
    let kept = as_of.map(|as_of| Kept::by(as_of.saturating_add_micros(MARGIN)));
    // Of each question about a namespace, which of those that are wanted it is part of.
    let (mut parts, mut of): (Vec<WantedCells>, Vec<usize>) = (Vec::new(), Vec::new());
    for (place, wanted) in wanted.iter().enumerate() {
        for (namespace, since) in namespaces {
            let Some(keys) = wanted.keys.of_namespace(wanted.view, namespace) else { continue };
            let began = kept.map_or(Hour::of(*since), |kept| {
                let bucket = kept.shortest(Hour::of(*since));
                if bucket.start.start() >= *since { bucket.start } else { bucket.end() }
            });
            let from = wanted.from.max(began);
            if from < wanted.until {
                parts.push(WantedCells { keys, from, ..wanted.clone() });
                of.push(place);
            }
        }
    }
    let FoundCells { cells, behind } = store.cells(log, &parts).await?;
    let mut sums: Vec<BTreeMap<(Stretch, Key), Cell>> = vec![BTreeMap::new(); wanted.len()];
    for (place, found) in of.into_iter().zip(cells) {
        let WantedCells { view, keys, by, from, until, .. } = &wanted[place];
        for (stretch, key, cell) in found {
            let key = match view {
                View::Workflows | View::Runs => keys.of_any_namespace(&key),
                View::Steps | View::Strata | View::Texts => Ok(key),
            };
            let key = key.map_err(|error| StoreError::Corrupt(format!("the statistics hold {error}")))?;
            // Over the whole period, whenever a namespace began.
            let stretch = if by.is_some() { stretch } else { Stretch { from: *from, until: *until } };
            match sums[place].get_mut(&(stretch, key.clone())) {
                Some(sum) => sum.merge(&cell, 1),
                None => drop(sums[place].insert((stretch, key), cell)),
            }
        }
    }
    let found = |sums: BTreeMap<(Stretch, Key), Cell>| {
        let cells = sums.into_iter().filter(|(_, cell)| !cell.is_zero());
        cells.map(|((stretch, key), cell)| (stretch, key, cell)).collect()
    };
    Ok(FoundCells { cells: sums.into_iter().map(found).collect(), behind })
}
