//! Answers that are remembered for a while, and asked for anew before they are forgotten.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use moka::future::Cache;

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
    is_renewed: AtomicBool,
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

    /// The answer that is remembered, if one is.
    pub(super) async fn known(&self, key: &K) -> Option<V> {
        Some(self.fresh(key).await?.value.clone())
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
    pub(super) async fn get<A>(&self, key: K, ask: impl FnOnce() -> A) -> Result<V, Unanswered>
    where
        A: Future<Output = Result<V, Unanswered>> + Send + 'static,
    {
        let asking = |ask: A| async move {
            let asked = Instant::now();
            let value = ask.await?;
            Ok(Arc::new(Answer { asked, value, is_renewed: AtomicBool::new(false) }))
        };
        if let Some(known) = self.fresh(&key).await {
            let is_old = known.asked.elapsed() >= self.remembered * SOON / 6;
            if is_old && !known.is_renewed.swap(true, Ordering::Relaxed) {
                let (cache, answer, asking) = (self.known.clone(), Arc::clone(&known), asking(ask()));
                tokio::spawn(async move {
                    match asking.await {
                        Ok(renewed) => cache.insert(key, renewed).await,
                        // It counts until it is forgotten; whoever wants it next asks again.
                        Err::<_, Unanswered>(_) => answer.is_renewed.store(false, Ordering::Relaxed),
                    }
                });
            }
            return Ok(known.value.clone());
        }
        // Boxed, as most calls find an answer: every one of them is as large as what it may wait for.
        let asked = Box::pin(self.known.try_get_with(key, asking(ask()))).await;
        asked.map(|answer| answer.value.clone()).map_err(|error: Arc<Unanswered>| (*error).clone())
    }
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
                return Err(Unanswered("silent".to_owned()));
            }
            Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
        }
    }

    async fn after(began: Instant, millis: u64) {
        tokio::time::sleep_until((began + Duration::from_millis(millis)).into()).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_wanted_is_renewed_before_it_is_forgotten() {
        let (answers, asked, began) = (Answers::new(10, REMEMBERED), Asked::default(), Instant::now());
        let get = || answers.get("k", || asked.clone().ask());
        assert_eq!((get().await.unwrap(), get().await.unwrap()), (1, 1));
        after(began, 540).await;
        // Who wants it now is answered at once, by the old one.
        assert_eq!(get().await.unwrap(), 1);
        after(began, 700).await;
        assert_eq!((answers.known(&"k").await, get().await.unwrap()), (Some(2), 2));
        // Nobody wants it for a while.
        after(began, 1_400).await;
        assert_eq!((answers.known(&"k").await, get().await.unwrap()), (None, 3));
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
}
