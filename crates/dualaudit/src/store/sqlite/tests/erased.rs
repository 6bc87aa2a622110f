//! What an erasure leaves in the file.

use std::fs;

use dualaudit_record::{
    WorkflowExecutionAudit,
    entry::{Gap, GapCause},
};

use super::fresh;
use crate::store::{
    DraftContent, Tracked, TrackingChange,
    conformance::{
        check::check_log,
        erase::erase,
        sample::{
            LOG, append, at, from_producer, from_resource, gap, open, quarantine, record, seen, stored,
            tracked, tracking,
        },
    },
};

#[tokio::test]
async fn of_what_was_erased_no_byte_is_left_in_the_file() {
    let store = fresh();
    open(&*store, LOG).await;
    let file = store.directory.path().join("audit.db");
    let name = "jane.doe@example.org";
    let mut personal = record("a");
    personal.error_message = name.repeat(1000);
    personal.labels.insert("owner".to_owned(), name.to_owned());
    personal.step_executions[0].error_message = name.to_owned();
    seen(&*store, Tracked { last_state: name.repeat(500), ..tracked("a", None) }).await;
    for n in 0..20 {
        append(&*store, [from_resource(record(&format!("before-{n}")))]).await;
    }
    let lost = Gap { last_state: name.to_owned(), ..gap("a", Some(at(900)), GapCause::Vanished) };
    append(&*store, [DraftContent::Gap(lost)]).await;
    append(
        &*store,
        [from_resource(personal.clone()), from_producer(record("b"), None), quarantine("a", name)],
    )
    .await;
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..personal };
    append(&*store, [from_resource(amended)]).await;
    let left = || {
        let beside = file.with_extension("db-wal");
        let bytes = [fs::read(&file).unwrap(), fs::read(beside).unwrap_or_default()].concat();
        bytes.windows(name.len()).filter(|window| *window == name.as_bytes()).count()
    };
    assert!(left() > 1000);
    append(&*store, [from_resource(record("after"))]).await;
    store.append(LOG, tracking([TrackingChange::Gone { id: "a".to_owned() }]), at(100)).await.unwrap();
    stored(&*store, erase("a")).await;
    assert_eq!(left(), 0);
    check_log(&*store, LOG).await;
}
