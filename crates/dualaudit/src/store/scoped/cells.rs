//! Sums over some namespaces alone, from what is summed of each.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time,
    statistics::{Cell, Hour, Kept, Key, KeyError, Keys, Part, StepCell, Stretch, View},
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
                // Steps are told apart by namespaces among all that executions are told apart by.
                let (view, part) = match (wanted.view, wanted.part) {
                    (View::Steps, Part::Ended) => (View::Strata, Part::Counts),
                    (View::Steps, part) => (View::Strata, part),
                    (view, part) => (view, part),
                };
                parts.push(WantedCells { view, keys, from, part, ..wanted.clone() });
                of.push(place);
            }
        }
    }
    let FoundCells { cells, behind, passed_over } = store.cells(log, &parts).await?;
    let mut sums: Vec<BTreeMap<(Stretch, Key), Cell>> = vec![BTreeMap::new(); wanted.len()];
    for (place, found) in of.into_iter().zip(cells) {
        let WantedCells { view, keys, by, from, until, .. } = &wanted[place];
        for (stretch, key, cell) in found {
            // Over the whole period, whenever a namespace began.
            let stretch = if by.is_some() { stretch } else { Stretch { from: *from, until: *until } };
            for (key, cell) in asked_for(*view, keys, key, cell).map_err(corrupt)? {
                match sums[place].get_mut(&(stretch, key.clone())) {
                    Some(sum) => sum.merge(&cell, 1),
                    None => drop(sums[place].insert((stretch, key), cell)),
                }
            }
        }
    }
    let found = |sums: BTreeMap<(Stretch, Key), Cell>| {
        let cells = sums.into_iter().filter(|(_, cell)| !cell.is_zero());
        cells.map(|((stretch, key), cell)| (stretch, key, cell)).collect()
    };
    Ok(FoundCells { cells: sums.into_iter().map(found).collect(), behind, passed_over })
}

/// A cell of one namespace, as it is asked for.
fn asked_for(view: View, keys: &Keys, key: Key, cell: Cell) -> Result<Vec<(Key, Cell)>, KeyError> {
    match (view, cell) {
        (View::Workflows | View::Runs, cell) => Ok(vec![(keys.of_any_namespace(&key)?, cell)]),
        (View::Steps, Cell::Stratum(cell)) => {
            let mut parts = key.parts();
            let version = Key::version(parts.text(View::Strata)?, parts.text(View::Strata)?);
            let of_step = |((number, action), step): (&(u32, String), &StepCell)| {
                (version.clone().number(*number).text(action), Cell::Step(step.clone()))
            };
            Ok(cell.steps.iter().map(of_step).collect())
        }
        (_, cell) => Ok(vec![(key, cell)]),
    }
}

fn corrupt(error: KeyError) -> StoreError {
    StoreError::Corrupt(format!("the statistics hold {error}"))
}
