//! Asks two databases the same, and takes the time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dualaudit::{
    live::Board,
    proof::Bundler,
    query::{self, ListRequest, Sides},
    store::{Cursor, Filter, LogReader, Lookup, Store, Wanted},
};

use super::{
    fill::{Filled, batch},
    fleet::{Draw, Fleet, LOGS, uid},
    live,
    questions::{Question, Sample},
};

/// Rows of a page.
pub(crate) const LIMIT: u32 = 100;
/// How often each question is asked at most.
const SAMPLES: usize = 500;
/// How long it is asked, of each database.
const LONGEST: Duration = Duration::from_secs(10);

/// A database that is asked.
pub(crate) struct Asked {
    pub(crate) filled: Filled,
    draw: Draw,
    live: Board,
    /// The next execution to append.
    next: usize,
}

impl Asked {
    pub(crate) fn of(filled: Filled) -> Self {
        // All into the first log.
        let next = filled.fleet.size.next_multiple_of(LOGS);
        let live = live::board(&filled.fleet);
        Self { filled, draw: Draw::of(1), live, next }
    }

    async fn ask(&mut self, question: &Question) -> Duration {
        match question {
            Question::Page(narrow) => self.page(narrow).await,
            Question::Both(asked) => self.both(asked).await,
            Question::Get => self.get().await,
            Question::Proof => self.proof().await,
            Question::Append(count) => self.append(*count).await,
        }
    }

    async fn page(&mut self, narrow: &fn(&mut Sample<'_>)) -> Duration {
        let fleet = &self.filled.fleet;
        let picked = fleet.record(self.draw.at_most(fleet.size - 1));
        let filter = Filter::default();
        let mut sample = Sample { fleet, draw: &mut self.draw, picked, filter, after: None };
        narrow(&mut sample);
        let Sample { filter, after, .. } = sample;
        let after = after.map(|number| {
            let record = fleet.record(number);
            let (created_at, log) = (record.created_at, Fleet::log(number));
            Cursor { created_at, log, id: record.id, attempt: record.attempt }
        });
        let began = Instant::now();
        // One that takes longer than a question may is as long as that.
        let _ = self.filled.store.list(&filter, after.as_ref(), LIMIT).await;
        began.elapsed()
    }

    /// As the API lists, but for HTTP.
    async fn both(&mut self, asked: &fn(&mut Sample<'_>) -> Vec<(&'static str, String)>) -> Duration {
        let fleet = &self.filled.fleet;
        let picked = fleet.record(self.draw.at_most(fleet.size - 1));
        let filter = Filter::default();
        let mut sample = Sample { fleet, draw: &mut self.draw, picked, filter, after: None };
        let pairs: Vec<(String, String)> =
            asked(&mut sample).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = ListRequest::parse(&pairs, fleet.ended).expect("a list");
        let sides = Sides { store: &self.filled.store, live: Some(&self.live) };
        let began = Instant::now();
        let page = query::list(sides, &request).await.expect("a page");
        let took = began.elapsed();
        assert!(page.warnings.is_empty(), "{:?}", page.warnings);
        took
    }

    async fn get(&mut self) -> Duration {
        let id = uid(self.draw.at_most(self.filled.fleet.size - 1));
        let wanted = Wanted { id, log: None, attempt: None };
        let began = Instant::now();
        let found = self.filled.store.get(&wanted).await.expect("an answer");
        let took = began.elapsed();
        assert!(matches!(found, Lookup::Found(_)), "{found:?}");
        took
    }

    /// As the API gives it: the execution is found, and proved.
    async fn proof(&mut self) -> Duration {
        let id = uid(self.draw.at_most(self.filled.fleet.size - 1));
        let (store, wanted) = (&self.filled.store, Wanted { id, log: None, attempt: None });
        let began = Instant::now();
        let (found, heads) = tokio::join!(store.get(&wanted), store.logs());
        let Lookup::Found(found) = found.expect("an answer") else { panic!("not found") };
        let nonce = found.nonce;
        let (record, receipt) = found.revisions.into_iter().next().expect("a revision");
        let heads = heads.expect("an answer");
        let mut bundler = Bundler::newest_in(Arc::new(store.clone()), heads, &receipt.log).expect("a log");
        let bundle = bundler.bundle_of(&receipt, record, nonce).await.expect("a proof");
        let bundle = bundle.expect("what was appended");
        let took = began.elapsed();
        assert_eq!(bundle.leaf.index, receipt.index);
        took
    }

    async fn append(&mut self, count: usize) -> Duration {
        let Filled { fleet, store, .. } = &self.filled;
        let numbers: Vec<usize> = (self.next..).step_by(LOGS).take(count).collect();
        let last = numbers[count - 1];
        self.next = last + LOGS;
        let (batch, now) = (batch(fleet, &numbers), fleet.completed_at(last));
        let began = Instant::now();
        let answers = store.append(&Fleet::log(last), batch, now).await.expect("an append");
        let took = began.elapsed();
        assert!(answers.iter().all(|answer| answer.is_new()));
        took
    }

    /// That what was stored is what was appended, of some.
    pub(crate) async fn check(&mut self) {
        for _ in 0..200 {
            let number = self.draw.at_most(self.filled.fleet.size - 1);
            let read = self.filled.store.read_back(&Fleet::log(number), &uid(number), 1).await;
            assert!(read.expect("an answer").expect("a record").intact);
        }
    }
}

/// Asks one after the other in turn, so that whatever else the machine does meets both; answers how long
/// each answer took.
pub(crate) async fn ask(question: &Question, databases: [&mut Asked; 2]) -> [Vec<Duration>; 2] {
    let mut took = [Vec::new(), Vec::new()];
    let mut spent = [Duration::ZERO; 2];
    let [small, large] = databases;
    // The first answers are of connections and caches that are not ready yet.
    for _ in 0..3 {
        small.ask(question).await;
        large.ask(question).await;
    }
    while took[0].len() < SAMPLES && spent.iter().all(|spent| *spent < LONGEST) {
        for (place, asked) in [&mut *small, &mut *large].into_iter().enumerate() {
            let answered = asked.ask(question).await;
            took[place].push(answered);
            spent[place] += answered;
        }
    }
    took
}
