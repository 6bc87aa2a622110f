//! Pages, single executions and appends where there are very many executions, beside the same where there
//! are few.

use std::time::Duration;

use self::{
    asking::{Asked, ask},
    fill::Filled,
    questions::QUESTIONS,
};
use crate::{
    heading, percentile,
    support::postgres::{Disk, Server},
};

mod asking;
mod bytes;
mod fill;
mod fleet;
mod live;
mod questions;

/// Executions of the large database, unless [`SIZE`] says otherwise, and of the small one.
const LARGE: usize = 10_000_000;
const SMALL: usize = 100_000;
/// The variable of the environment that says how many.
const SIZE: &str = "DUALAUDIT_BENCH_EXECUTIONS";
/// The variable that names the one question to be asked, where not all are.
const ONLY: &str = "DUALAUDIT_BENCH_QUESTION";
/// Of the server; all else is as PostgreSQL comes, `fsync=on` among it.
const SETTINGS: [&str; 3] = ["shared_buffers=4GB", "max_wal_size=4GB", "checkpoint_timeout=15min"];
/// What p99 should be below, and how many times that of the small database.
const GOAL: Duration = Duration::from_millis(10);
const GOAL_RATIO: f64 = 1.5;

/// p50 and p99 of pages, single executions and appends of the large database beside the small one.
pub(crate) async fn pages_of_many_beside_few() {
    let size = std::env::var(SIZE).map_or(LARGE, |size| size.parse().expect("a number of executions"));
    heading(&format!("{size} executions in PostgreSQL, beside {SMALL}"));
    println!("server: {}", SETTINGS.join(", "));
    // Ended by the end of this process, as a server is that the tests share.
    let server: &'static Server = Box::leak(Box::new(Server::start_with(&SETTINGS, Disk::Real, |_, _| {})));
    let mut small = Asked::of(Filled::new(server, SMALL).await);
    let mut large = Asked::of(Filled::new(server, size).await);
    bytes::print(&large.filled).await;
    large.check().await;
    println!("{:<44} {:>18}   {:>18}   {:>11}", "p50 and p99, ms", SMALL, size, "ratio");
    let only = std::env::var(ONLY).ok();
    for (what, question) in
        QUESTIONS.iter().filter(|(what, _)| only.as_deref().is_none_or(|only| only == *what))
    {
        let [mut few, mut many] = ask(question, [&mut small, &mut large]).await;
        print(what, &mut few, &mut many);
    }
}

fn print(what: &str, few: &mut [Duration], many: &mut [Duration]) {
    let of = |took: &mut [Duration]| [0.5, 0.99].map(|share| percentile(took, share));
    let (few, many, samples) = (of(few), of(many), many.len());
    let ratios = [0, 1].map(|place| many[place].as_secs_f64() / few[place].as_secs_f64());
    let ms = |took: [Duration; 2]| took.map(|took| format!("{:.2}", took.as_secs_f64() * 1e3)).join(" ");
    let missed = if many[1] >= GOAL || ratios[1] >= GOAL_RATIO { "  missed" } else { "" };
    println!(
        "{what:<44} {:>18}   {:>18}   {:>5.2} {:>5.2}{missed}   ({samples})",
        ms(few),
        ms(many),
        ratios[0],
        ratios[1]
    );
}
