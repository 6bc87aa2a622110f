//! Answers that are remembered for a while, and asked for anew before they are forgotten.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{Entry, future::Cache, ops::compute::Op};

use super::Unanswered;

/// The share of its time, in sixths, after which an answer that is wanted is asked for anew: whoever wants it then need not
/// wait, and one that nobody wants is forgotten.
const SOON: u32 = 5;

/// What was answered, by what was asked.
pub(super) struct Answers<K, V> {
    known: Cache<K, Arc<Answer<V>>>,
    remembered: Duration,
}

/// An answer, and when it was asked for: it counts from then on.
struct Answer<V> {
    asked: Instant,
    value: V,
    is_being_renewed: AtomicBool,
}

impl<K, V> Answers<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// At most so many, each for so long.
    pub(super) fn new(most: u64, remembered: Duration) -> Self {
        Self { known: Cache::builder().max_capacity(most).time_to_live(remembered).build(), remembered }
    }

    async fn fresh(&self, key: &K) -> Option<Arc<Answer<V>>> {
        let known = self.known.get(key).await?;
        if known.asked.elapsed() < self.remembered {
            return Some(known);
        }
        Box::pin(self.known.invalidate(key)).await;
        None
    }

    /// The answer to this, which `ask` asks for where none is remembered, or the one that is will soon be forgotten.
    ///
    /// # Errors
    /// Those of `ask`, which are not remembered.
    pub(super) async fn get<A>(&self, key: K, ask: impl Fn() -> A) -> Result<V, Unanswered>
    where
        A: Future<Output = Result<V, Unanswered>> + Send + 'static,
    {
        let asking = |ask: A| async move {
            let asked = Instant::now();
            let value = ask.await?;
            Ok::<_, Unanswered>(Arc::new(Answer { asked, value, is_being_renewed: AtomicBool::new(false) }))
        };
        if let Some(known) = self.fresh(&key).await {
            let is_old = known.asked.elapsed() >= self.remembered * SOON / 6;
            if is_old && !known.is_being_renewed.swap(true, Ordering::Relaxed) {
                let (cache, answer, asking) = (self.known.clone(), Arc::clone(&known), asking(ask()));
                tokio::spawn(async move {
                    match asking.await {
                        Ok(renewed) => put(&cache, key, renewed).await,
                        // It counts until it is forgotten; whoever wants it next asks again.
                        Err(_) => answer.is_being_renewed.store(false, Ordering::Relaxed),
                    }
                });
            }
            return Ok(known.value.clone());
        }
        let began = Instant::now();
        loop {
            // Boxed, as most calls find an answer: every one of them is as large as what it may wait for.
            let asked = Box::pin(self.known.try_get_with(key.clone(), asking(ask()))).await;
            let answer = asked.map_err(|error: Arc<Unanswered>| (*error).clone())?;
            // What others asked for may have taken longer than it counts.
            if answer.asked >= began || answer.asked.elapsed() < self.remembered {
                return Ok(answer.value.clone());
            }
            Box::pin(self.known.invalidate(&key)).await;
        }
    }
}

/// Puts an answer in place of one that was asked for before it: the other way round, a right that is known to be revoked
/// would come back.
async fn put<K, V>(cache: &Cache<K, Arc<Answer<V>>>, key: K, renewed: Arc<Answer<V>>)
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let put = async |entry: Option<Entry<K, Arc<Answer<V>>>>| match entry {
        Some(newer) if newer.value().asked > renewed.asked => Op::Nop,
        _ => Op::Put(Arc::clone(&renewed)),
    };
    cache.entry(key).and_compute_with(put).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const REMEMBERED: Duration = Duration::from_millis(600);

    /// Answers with how often it was asked, or not at all.
    #[derive(Clone, Default)]
    struct Asked(Arc<AtomicUsize>, Arc<AtomicBool>);

    impl Asked {
        async fn ask(self) -> Result<usize, Unanswered> {
            if self.1.load(Ordering::SeqCst) {
                return Err(Unanswered::Silent("it is silent".to_owned()));
            }
            Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
        }
    }

    async fn after(began: Instant, millis: u64) {
        tokio::time::sleep_until((began + Duration::from_millis(millis)).into()).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_wanted_is_being_renewed_before_it_is_forgotten() {
        let (answers, asked, began) = (Answers::new(10, REMEMBERED), Asked::default(), Instant::now());
        let get = || answers.get("k", || asked.clone().ask());
        assert_eq!((get().await.unwrap(), get().await.unwrap()), (1, 1));
        after(began, 540).await;
        // Who wants it now is answered at once, by the old one.
        assert_eq!(get().await.unwrap(), 1);
        after(began, 700).await;
        assert_eq!(get().await.unwrap(), 2);
        // Nobody wants it for a while.
        after(began, 1_400).await;
        assert_eq!(get().await.unwrap(), 3);
    }

    #[tokio::test]
    async fn one_that_cannot_be_renewed_counts_until_it_is_forgotten_and_no_longer() {
        let (answers, asked, began) = (Answers::new(10, REMEMBERED), Asked::default(), Instant::now());
        let get = || answers.get("k", || asked.clone().ask());
        assert_eq!(get().await.unwrap(), 1);
        asked.1.store(true, Ordering::SeqCst);
        after(began, 540).await;
        assert_eq!(get().await.unwrap(), 1);
        after(began, 650).await;
        get().await.expect_err("nobody answers");
        asked.1.store(false, Ordering::SeqCst);
        assert_eq!(get().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn an_answer_that_comes_late_does_not_take_the_place_of_a_newer_one() {
        let answers = Answers::new(10, REMEMBERED);
        let began = Instant::now();
        // Asked first, the renewal is answered last.
        let slow = async || {
            answers
                .get("k", || async {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok("allowed")
                })
                .await
        };
        let quick = async || answers.get("k", || std::future::ready(Ok("forbidden"))).await;
        assert_eq!(answers.get("k", || std::future::ready(Ok("allowed"))).await.unwrap(), "allowed");
        after(began, 540).await;
        assert_eq!(slow().await.unwrap(), "allowed");
        after(began, 650).await;
        assert_eq!(quick().await.unwrap(), "forbidden");
        after(began, 950).await;
        assert_eq!(slow().await.unwrap(), "forbidden");
    }
}
