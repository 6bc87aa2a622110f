//! A log that is being copied, for everybody else.

use super::*;

#[tokio::test]
async fn a_log_that_is_being_copied_is_passed_over_and_takes_nothing() {
    let (file, target) = (File::eventful().await, fresh());
    stops_before(&file, &target, Step::Track).await;
    let said = refusal(&*target, LOG).await;
    assert!(said.contains("still being copied here from sqlite:/audit.db"), "{said}");
    assert!(target.list(&Filter::default(), None, 10).await.unwrap().rows.is_empty());
    let wanted = Wanted { id: "run-5".to_owned(), log: None, attempt: None };
    assert!(!matches!(target.get(&wanted).await.unwrap(), Lookup::Found(_)));
    let report = verify(&target.store, None, |_| {}).await.unwrap();
    assert_eq!((report.logs.len(), report.is_clean()), (0, true), "{report:?}");
    assert_eq!(report.arriving, ["default", "http"]);
    // Others go on beside it.
    open(&*target, "another").await;
    let drafts = batch([from_producer(record("a"), None)]);
    target.append("another", drafts, at(1)).await.unwrap();
    assert_eq!(target.list(&Filter::default(), None, 10).await.unwrap().rows.len(), 1);
    moved(&file, &target).await;
    same(&file, &target).await;
}

#[tokio::test]
async fn only_the_owner_can_copy_a_log_and_only_as_a_copy_of_it() {
    const BEGIN: &str = "
        INSERT INTO log (name, owner, origin, secret, created_at, size, root, state, moved_from)
        SELECT 'new', 'producers', '', secret, now(), 0, root, 'arriving', 'x' FROM log LIMIT 1;";
    const GROW: &str = "
        INSERT INTO log_entry
        SELECT log, idx + 1, recorded_at, NULL, NULL, NULL, NULL, 'gap', 'x', 'x', body_digest, leaf_hash, NULL, ''
        FROM log_entry WHERE log = 'default' ORDER BY idx DESC LIMIT 1;
        UPDATE log SET size = size + 1 WHERE name = 'default';";
    const OPEN: &str = "UPDATE log SET state = 'open' WHERE name = 'default';";
    const REWRITE: &str = "UPDATE log SET state = 'open', origin = 'x' WHERE name = 'default';";
    const COPY_DEFAULT: &str = "SELECT set_config('dualaudit.copying', 'default', FALSE);";
    const COPY_NEW: &str = "SELECT set_config('dualaudit.copying', 'new', FALSE);";
    let (file, target) = (File::eventful().await, fresh());
    stops_before(&file, &target, Step::Track).await;
    let role = format!("{}_runner", target.database.name);
    target.database.execute(&format!("CREATE ROLE {role} LOGIN; SELECT dualaudit_grant('{role}')")).unwrap();
    let as_role = format!("SET ROLE {role};");
    for refused in [
        BEGIN.to_owned(),
        GROW.to_owned(),
        OPEN.to_owned(),
        format!("{COPY_DEFAULT} {REWRITE}"),
        format!("{COPY_DEFAULT} UPDATE log SET moved_from = 'y' WHERE name = 'default';"),
        format!("{as_role} {COPY_DEFAULT} {GROW}"),
        format!("{as_role} {COPY_DEFAULT} {OPEN}"),
        format!("{as_role} {COPY_NEW} {BEGIN}"),
    ] {
        target.database.execute(&format!("BEGIN; {refused} COMMIT")).expect_err(&refused);
    }
    for allowed in
        [format!("{COPY_DEFAULT} {OPEN}"), format!("{COPY_NEW} {BEGIN}"), format!("{COPY_DEFAULT} {GROW}")]
    {
        target.database.execute(&format!("BEGIN; {allowed} ROLLBACK")).unwrap();
    }
    let location = target.location().with_user(&role);
    let options = crate::store::postgres::Options::default();
    let restricted = PostgresStore::open(&location, options, at(0)).await.unwrap();
    let row = file.store.departures().await.unwrap().remove(0).row;
    let row = crate::store::LogRow { log: "new".to_owned(), ..row };
    let error = restricted.begin_arrival(&row, "sqlite:/audit.db").await.unwrap_err();
    assert!(error.to_string().contains("only the owner of the tables"), "{error}");
    moved(&file, &target).await;
    same(&file, &target).await;
    let again = "UPDATE log SET state = 'arriving' WHERE name = 'default';";
    target.database.execute(&format!("BEGIN; {COPY_DEFAULT} {again} COMMIT")).unwrap_err();
    drop(restricted);
    target.close();
    target.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}
