//! Reading statistics of very many executions, beside the same of few.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use dualaudit::clock::{Clock, SystemClock};

use dualaudit_record::Time;

use self::{fill::Database, questions::QUESTIONS};
use crate::{
    heading, percentile,
    support::postgres::{Disk, Server},
};

mod appending;
mod fill;
mod questions;

/// Executions of the large log, unless [`SIZE`] says otherwise, and of the small one.
const LARGE: usize = 10_000_000;
const SMALL: usize = 100_000;
/// The variable of the environment that says how many.
const SIZE: &str = "DUALAUDIT_BENCH_EXECUTIONS";
/// The variable that names the one database to ask, where not both are.
const ONLY: &str = "DUALAUDIT_BENCH_DATABASE";
/// The variable that names the questions to ask, and no appends, where not all are.
const QUESTION: &str = "DUALAUDIT_BENCH_QUESTION";
/// The variable that names a directory to keep SQLite's files in, and to take them from: filling them takes long.
const KEEP: &str = "DUALAUDIT_BENCH_KEEP";
/// Of the server; all else is as PostgreSQL comes, `fsync=on` among it.
const SETTINGS: [&str; 2] = ["shared_buffers=1GB", "max_wal_size=4GB"];
/// How often each question is asked at most, and how long.
const SAMPLES: usize = 500;
const LONGEST: Duration = Duration::from_secs(10);
/// What p99 should be below, and how many times that of the small log.
const GOAL: Duration = Duration::from_millis(10);
const GOAL_RATIO: f64 = 1.3;

/// p50 and p99 of answers.
pub(crate) async fn answers_of_many_beside_few() {
    let size = std::env::var(SIZE).map_or(LARGE, |size| size.parse().expect("a number of executions"));
    let of_days = |size: usize| size * fill::days() / fill::DAYS;
    let (size, small) = (of_days(size), of_days(SMALL));
    let only = std::env::var(ONLY).ok();
    let asked_for = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if asked_for("sqlite") {
        heading(&format!("statistics of {size} executions in SQLite, beside {small}"));
        let directory = tempfile::tempdir().expect("a directory");
        let kept = std::env::var_os(KEEP).map_or_else(|| directory.path().to_owned(), PathBuf::from);
        std::fs::create_dir_all(&kept).expect("a directory");
        ask_both([small, size], async |size| Database::sqlite(&kept, size).await).await;
        if std::env::var_os(QUESTION).is_none() {
            let database = Database::sqlite(directory.path(), 0).await;
            appending::appends_with_and_without_folds("SQLite", &database).await;
        }
    }
    if asked_for("postgres") {
        heading(&format!("statistics of {size} executions in PostgreSQL, beside {small}"));
        println!("server: {}", SETTINGS.join(", "));
        // Ended by the end of this process, as a server is that the tests share.
        let server: &'static Server =
            Box::leak(Box::new(Server::start_with(&SETTINGS, Disk::Real, |_, _| {})));
        ask_both([small, size], async |size| Database::postgres(server, size).await).await;
        if std::env::var_os(QUESTION).is_none() {
            let database = Database::postgres(server, 0).await;
            appending::appends_with_and_without_folds("PostgreSQL", &database).await;
        }
    }
}

async fn ask_both([small, size]: [usize; 2], database: impl AsyncFn(usize) -> Database) {
    let databases = [database(small).await, database(size).await];
    let filled = [databases[0].filled_until().await, databases[1].filled_until().await];
    // Those that were kept are asked as they were when they were filled.
    let ended = filled.into_iter().flatten().next().unwrap_or_else(late_in_a_day);
    let mut stores = Vec::new();
    for ((database, filled), size) in databases.into_iter().zip(filled).zip([small, size]) {
        if filled.is_none() {
            database.fill(&fill::fleet(size, ended), ended).await;
        }
        stores.push(database.store);
    }
    let drawn = fill::fleet(size, ended);
    println!("{:<40} {:>18}   {:>18}   {:>11}", "p50 and p99, ms", small, size, "ratio");
    let asked = std::env::var(QUESTION).unwrap_or_default();
    for question in QUESTIONS.iter().filter(|question| question.0.contains(&asked)) {
        let mut took = [Vec::new(), Vec::new()];
        let mut bytes = [0, 0];
        let began = Instant::now();
        // The first answers are of connections and caches that are not ready yet.
        for round in 0..SAMPLES + 5 {
            // In turn, so that whatever else the machine does meets both.
            for (place, store) in stores.iter().enumerate() {
                let of = drawn.record(round as u64 * 7919 % drawn.size());
                let (answered, length) = questions::ask(store.as_ref(), question, &of, ended).await;
                if round >= 5 {
                    took[place].push(answered);
                    bytes[place] += length;
                }
            }
            if began.elapsed() > LONGEST && round > 20 {
                break;
            }
        }
        let [few, many] = &mut took;
        print(question.0, few, many, bytes);
    }
}

/// Half past ten in the evening of UTC, the last one: of a day that is nearly over there are the most hours to read.
fn late_in_a_day() -> Time {
    const DAY: i64 = 86_400_000_000;
    let since = (SystemClock.now().as_micros() - DAY / 24 * 45 / 2).rem_euclid(DAY);
    SystemClock.now().saturating_add_micros(-since)
}

fn print(what: &str, few: &mut [Duration], many: &mut [Duration], bytes: [usize; 2]) {
    let of = |took: &mut [Duration]| [0.5, 0.99].map(|share| percentile(took, share));
    let samples = many.len();
    let (few, many) = (of(few), of(many));
    let ratios = [0, 1].map(|place| many[place].as_secs_f64() / few[place].as_secs_f64());
    let ms = |took: [Duration; 2]| took.map(|took| format!("{:.2}", took.as_secs_f64() * 1e3)).join(" ");
    let missed = if many[1] >= GOAL || ratios[1] >= GOAL_RATIO { "  missed" } else { "" };
    println!(
        "{what:<40} {:>18}   {:>18}   {:>5.2} {:>5.2}{missed}   ({samples}; {} and {} KiB)",
        ms(few),
        ms(many),
        ratios[0],
        ratios[1],
        bytes[0] / samples / 1024,
        bytes[1] / samples / 1024
    );
}
