//! What is tracked.

use super::sample::{LOG, at, open, seen, tracked, tracking};
use crate::store::{Store, Tracked, TrackingChange};

pub(crate) async fn what_is_tracked_is_listed_in_pages_and_forgotten_when_it_is_gone(store: &dyn Store) {
    open(store, LOG).await;
    open(store, "other").await;
    let ids: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
    let changes = ids.iter().rev().map(|id| TrackingChange::Seen(tracked(id, None)));
    store.append(LOG, tracking(changes), at(1)).await.unwrap();
    let mut found: Vec<Tracked> = Vec::new();
    loop {
        let after = found.last().map(|tracked| tracked.id.clone());
        let page = store.tracked(LOG, after.as_deref(), 10).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, ids.iter().map(|id| tracked(id, None)).collect::<Vec<_>>());
    assert_eq!(store.tracked("other", None, 10).await.unwrap(), []);

    let later = Tracked { phase: "Monitoring".to_owned(), last_seen_at: at(9), ..tracked("03", Some(at(2))) };
    seen(store, later.clone()).await;
    let gone = ["00", "01", "01", "never"].map(|id| TrackingChange::Gone { id: id.to_owned() });
    store.append(LOG, tracking(gone), at(1)).await.unwrap();
    assert_eq!(store.tracked(LOG, None, 2).await.unwrap(), [tracked("02", None), later]);
}

pub(crate) async fn what_is_seen_by_name_only_keeps_the_state_seen_before(store: &dyn Store) {
    open(store, LOG).await;
    let named = |id| Tracked { last_state: String::new(), phase: String::new(), ..tracked(id, None) };
    seen(store, tracked("a", None)).await;
    seen(store, named("a")).await;
    seen(store, named("b")).await;
    let found = store.tracked(LOG, None, 10).await.unwrap();
    assert_eq!(found, [Tracked { phase: String::new(), ..tracked("a", None) }, named("b")]);
}
