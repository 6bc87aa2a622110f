//! What goes on for a while is looked at again and again.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use tokio_util::task::AbortOnDropHandle;

/// Ends when something is so no more, which is looked at after each `pace`, until this is dropped.
///
/// It is looked at by a task of its own. An answer waits for this in its body, which is asked no more while its reader
/// does not read on: a look within it would be left unfinished, with the connection to a database that it holds, and with
/// what others wait for.
pub(super) fn until_not<S>(
    pace: Duration,
    is_so: impl Fn() -> S + Send + Sync + 'static,
) -> BoxFuture<'static, ()>
where
    S: Future<Output = bool> + Send,
{
    let looking = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(pace).await;
            if !is_so().await {
                return;
            }
        }
    }));
    async move { drop(looking.await) }.boxed()
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, watch};

    use super::*;

    const PACE: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_look_is_finished_though_nobody_waits_for_what_comes_of_it() {
        let (looked, mut looks) = mpsc::channel(1);
        let (is_so, so) = watch::channel(true);
        let ends = until_not(PACE, move || {
            let (looked, so) = (looked.clone(), so.clone());
            async move {
                // As one that waits for a database.
                tokio::task::yield_now().await;
                let is_so = *so.borrow();
                looked.send(()).await.is_ok() && is_so
            }
        });
        for _ in 0..5 {
            looks.recv().await.expect("it is looked at again");
        }
        is_so.send_replace(false);
        while looks.recv().await.is_some() {}
        ends.await;
    }

    #[tokio::test]
    async fn nothing_is_looked_at_for_whoever_is_gone() {
        let (looked, mut looks) = mpsc::channel(1);
        let ends = until_not(PACE, move || {
            let looked = looked.clone();
            async move { looked.send(()).await.is_ok() }
        });
        looks.recv().await.expect("it is looked at");
        drop(ends);
        while looks.recv().await.is_some() {}
    }
}
