//! Databases that were changed behind the program's back: nothing of it leaves them, in whatever form.

use dualaudit_record::{digest::Digest, log::body};

use super::*;
use crate::store::{
    StoredBody,
    conformance::tampered::{Tampered, on_both},
};

/// An execution of which two revisions are there, the amended one, and one that was erased.
const AMENDED: &str = "patch-008";
const ERASED: &str = "personal-100";

async fn exported(store: &SharedStore, format: ExportFormat) -> Result<Manifest, ExportError> {
    let asked = request(format, Scope::Revisions, Filter::default(), &[]);
    let mut memory = Memory::default();
    export(&recorder(store), &asked, &mut memory, "e", |_| {}).await
}

fn forms() -> impl Iterator<Item = ExportFormat> {
    ExportFormat::ALL.into_iter().filter(|form| cfg!(feature = "parquet") || *form != ExportFormat::Parquet)
}

async fn what_was_changed_is_exported_in_no_form<T: Tampered>(store: &T) {
    const TABLES: [&str; 3] = ["log_entry", "workflow_execution_audit", "workflow_execution_revision"];
    let shared = store.shared();
    filled(&shared).await;
    append(&*shared, [from_resource(of("personal", 100))]).await;
    let erasure = stored(&*shared, erase(ERASED)).await.index;
    publish(&shared).await;
    for form in forms() {
        let whole = while_publishing(&shared, exported(&shared, form)).await;
        assert!(whole.is_ok(), "{form} of what was not changed");
    }
    for table in TABLES {
        store.tamper(&format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}"));
    }

    // The digest that the body has once its row is another, and the hash of the leaf with it.
    let change = "UPDATE workflow_execution_audit SET total_duration = 7 WHERE id = 'restart-001'";
    store.tamper(change);
    let changed = shared.entries(LOG, Which::All, 1, 1).await.unwrap().remove(0);
    let StoredBody::Whole(entry, nonce) = &changed.body else { panic!("{changed:?}") };
    let digest = Digest::sha256(&body(entry, *nonce));
    let leaf = dualaudit_record::log::Leaf { body_digest: digest, ..changed.leaf(LOG) }.hash();
    let (digest, leaf) = (T::blob(&digest.0), T::blob(&leaf.0));
    let fitting = format!("{change}; UPDATE log_entry SET body_digest = {digest} WHERE idx = 1");
    let wholly = format!("{fitting}; UPDATE log_entry SET leaf_hash = {leaf} WHERE idx = 1");

    let rest = format!("UPDATE workflow_execution_audit SET outcome = 'failed' WHERE id = '{ERASED}'");
    let erased = |what: &str| format!("UPDATE log_entry SET {what} WHERE idx = {erasure}");
    for (sql, named) in [
        (change.to_owned(), "entry 1 "),
        (fitting, "entry 1 "),
        (wholly, "the leaf of entry 1:"),
        (rest, "entry 43 "),
        (erased("body = replace(body, '\"index\":43', '\"index\":42')"), "entry 43 "),
        (erased("execution_id = 'another'"), "entry 43 "),
        (format!("DELETE FROM log_entry WHERE execution_id = '{AMENDED}' AND revision = 1"), AMENDED),
        (format!("DELETE FROM workflow_execution_revision WHERE id = '{AMENDED}'"), "entry 8 "),
    ] {
        store.tamper(&sql);
        for form in forms() {
            let refused = exported(&shared, form).await.unwrap_err();
            assert!(matches!(&refused, ExportError::Prove(ProveError::Damaged { .. })), "{sql}\n{refused}");
            assert!(refused.to_string().contains(named), "{sql}\n{form} says {refused}");
        }
        for table in TABLES {
            store.tamper(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}"));
        }
    }
    let whole = while_publishing(&shared, exported(&shared, ExportFormat::Csv)).await;
    assert!(whole.is_ok(), "all was undone");
}

on_both! {
    what_was_changed_is_exported_in_no_form,
}
