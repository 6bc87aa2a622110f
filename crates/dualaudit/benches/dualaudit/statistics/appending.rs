//! What statistics cost an append: what it gives to them, and the folds that run beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dualaudit::{
    clock::{Clock, SystemClock},
    store::{Batch, Folding, LogOpening, Owner, Store},
};
use dualaudit_record::statistics::{Contribution, Packed};

use super::fill::{Database, SECRET, fleet};
use crate::{heading, median, records::draft};

/// In batches of so many, so many batches.
const BATCHES: [(usize, usize); 2] = [(1, 3_000), (500, 60)];
const ROUNDS: usize = 3;
/// As `run` waits before it folds.
const DELAY: Duration = Duration::from_secs(1);

/// Appends with and without folds beside them, in turn, each into a log of its own.
pub(crate) async fn appends_with_and_without_folds(name: &str, database: &Database) {
    heading(&format!("appends into {name}, with and without folds beside them"));
    for (size, batches) in BATCHES {
        let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let alone =
                appends(&database.store, &format!("alone-{size}-{round}"), size, batches, false).await;
            let beside =
                appends(&database.store, &format!("folded-{size}-{round}"), size, batches, true).await;
            println!("batches of {size}: {alone:.0}/s without folds, {beside:.0}/s with");
            without.push(alone);
            with.push(beside);
            ratios.push(beside / alone);
        }
        let [without, with, ratio] = [&mut without, &mut with, &mut ratios].map(|values| median(values));
        println!("  median: {without:.0}/s without, {with:.0}/s with, ratio {ratio:.2} (goal 0.83)");
        giving(size, 1e6 / without);
    }
}

/// Executions a second.
async fn appends(store: &Arc<dyn Store>, log: &str, size: usize, batches: usize, folds: bool) -> f64 {
    let now = SystemClock.now();
    let fleet = fleet(1_000_000, now);
    let (origin, owner) = (format!("bench.example/{log}"), Owner::Producers);
    let opening = LogOpening { log: log.to_owned(), owner, origin, secret: SECRET, now };
    store.open_log(opening).await.expect("a log");
    let batch = |batch: usize| {
        let drafts = (batch * size..(batch + 1) * size).map(|number| {
            let mut record = fleet.record(number as u64);
            record.completed_at = now;
            record.id = format!("{log}-{number:016x}");
            draft(record, &SECRET)
        });
        Arc::new(Batch { drafts: drafts.collect(), ..Batch::default() })
    };
    let prepared: Vec<Arc<Batch>> = (0..batches).map(batch).collect();
    let goes_on = Arc::new(AtomicBool::new(folds));
    let folding = tokio::spawn({
        let (store, log, goes_on) = (Arc::clone(store), log.to_owned(), Arc::clone(&goes_on));
        async move {
            while goes_on.load(Ordering::Relaxed) {
                tokio::time::sleep(DELAY).await;
                while store.fold(&log).await.expect("a fold") == Folding::More {}
            }
        }
    });
    let began = Instant::now();
    for batch in prepared {
        store.append(log, batch, SystemClock.now()).await.expect("an append");
    }
    let took = began.elapsed();
    goes_on.store(false, Ordering::Relaxed);
    folding.await.expect("it ends");
    (size * batches) as f64 / took.as_secs_f64()
}

/// What it takes to say what executions give, beside what an append of each takes, in microseconds.
fn giving(size: usize, append: f64) {
    let fleet = fleet(1_000_000, SystemClock.now());
    let records: Vec<_> = (0..5_000).map(|number| fleet.record(number)).collect();
    let each = |began: Instant| began.elapsed().as_secs_f64() * 1e6 / records.len() as f64;
    let began = Instant::now();
    let given: Vec<Contribution> = records.iter().map(Contribution::of).collect();
    let ahead = each(began);
    let began = Instant::now();
    let packed: Vec<Packed> =
        given.chunks(size).map(|given| Packed::of(given.iter().map(|given| (1, given)))).collect();
    let under_lock = each(began);
    let bytes: usize = packed.iter().map(|packed| packed.as_bytes().len()).sum();
    println!(
        "  of an append's {append:.1} µs an execution: {ahead:.1} µs ahead of it and {under_lock:.1} µs in it say what \
         it gives, in {} bytes",
        bytes / records.len()
    );
}
