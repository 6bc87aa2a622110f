//! Moves that stop somewhere, or must.

use super::*;

/// Every step of a whole move, of verifying only the first.
async fn steps(file: &File) -> Vec<String> {
    let steps = Mutex::new(Vec::new());
    let mut note = |step: Step<'_>| {
        if !matches!(step, Step::Verify { done: 1.., .. }) {
            steps.lock().unwrap().push(format!("{step:?}"));
        }
        Ok(())
    };
    moving(&file.copy().await, &fresh(), &mut note).await.unwrap();
    steps.into_inner().unwrap()
}

#[tokio::test]
async fn wherever_a_move_stops_the_log_is_open_in_one_place_at_most_and_the_same_again_ends_it() {
    let original = File::eventful().await;
    let steps = steps(&original).await;
    assert!(steps.len() >= 12, "{steps:#?}");
    for (number, last) in steps.iter().enumerate() {
        let (file, target) = (original.copy().await, fresh());
        let stopped = moving(&file, &target, &mut stopping_at(number)).await;
        assert!(matches!(stopped, Err(MoveError::Stopped)), "{last}");
        let closed = head(&file.store, LOG).await.unwrap().state != LogState::Open;
        match head(&*target, LOG).await.map(|head| head.state) {
            Some(LogState::Open) => assert!(closed, "{last}"),
            Some(_) => assert!(refusal(&*target, LOG).await.contains("still being copied"), "{last}"),
            None => assert!(!closed, "{last}"),
        }
        if closed {
            refusal(&file.store, LOG).await;
        } else {
            stored(&file.store, from_producer(record("meanwhile"), None)).await;
            seen(&file.store, tracked("meanwhile", None)).await;
        }
        moved(&file, &target).await;
        same(&file, &target).await;
    }
}

#[tokio::test]
async fn another_log_of_that_name_is_refused_and_left_as_it_is() {
    let (file, target) = (File::eventful().await, fresh());
    target.open_log(LogOpening { secret: [1; 32], ..opening(LOG) }).await.unwrap();
    let said = refused(&file, &target).await;
    assert!(said.contains("there is another log default"), "{said}");
    assert_eq!(head(&*target, LOG).await.unwrap().size, 0);
    stored(&file.store, from_producer(record("more"), None)).await;
}

#[tokio::test]
async fn entries_that_are_not_the_beginning_of_the_log_are_not_gone_on_from() {
    let (file, target) = (File::eventful().await, fresh());
    let other = file.copy().await;
    stored(&file.store, from_producer(record("one"), None)).await;
    append(&other.store, [from_producer(record("other"), None), from_producer(record("more"), None)]).await;
    stops_before(&file, &target, Step::Close).await;
    let said = refused(&other, &target).await;
    assert!(said.contains("are not the first"), "{said}");
    stored(&other.store, from_producer(record("still"), None)).await;
    // An old copy of what moved must not go on.
    let old = file.copy().await;
    moved(&file, &target).await;
    let said = refused(&old, &target).await;
    assert!(said.contains("an old copy"), "{said}");
}

#[tokio::test]
async fn of_two_moves_at_once_only_the_first_to_close_the_log_goes_on() {
    let (file, one, other) = (File::eventful().await, fresh(), fresh());
    stops_before(&file, &other, Step::Close).await;
    moved(&file, &one).await;
    let locked = file.store.lock().await.unwrap();
    let Err(StoreError::Foreign(said)) = locked.close(LOG, "postgres://other/audit", at(1)).await else {
        panic!("it was closed for another place")
    };
    assert!(said.contains("moved to postgres://here/audit"), "{said}");
    file.store.lock().await.unwrap().close(LOG, HERE, at(1)).await.unwrap();
    // Both at once into the same place: each page is taken once, whoever brings it.
    let (file, target) = (File::eventful().await, fresh());
    let once = async || moving(&file, &target, &mut |_| Ok(())).await;
    let (first, second) = tokio::join!(once(), once());
    for outcome in [first, second] {
        assert!(matches!(outcome, Ok(_) | Err(MoveError::Store(_) | MoveError::Refused(_))), "{outcome:?}");
    }
    moved(&file, &target).await;
    same(&file, &target).await;
}

#[tokio::test]
async fn what_is_damaged_where_it_is_stops_a_move_before_anything_is_closed() {
    for (trigger, tamper) in [
        (
            "workflow_execution_audit_is_only_erased",
            "UPDATE workflow_execution_audit SET error_message = 'all well' WHERE id = 'run-100'",
        ),
        ("log_entry_is_only_erased", "UPDATE log_entry SET leaf_hash = zeroblob(32) WHERE idx = 100"),
        ("source_object_is_only_erased", "UPDATE source_object SET object = x'00' WHERE idx = 280"),
        ("purged_comes_with_its_entry", "INSERT INTO purged VALUES ('default', 100, 100, 150)"),
    ] {
        let (file, target) = (File::eventful().await, fresh());
        let shell = file.shell();
        let find = "SELECT sql FROM sqlite_schema WHERE name = ?1";
        let again: String = shell.query_row(find, [trigger], |row| row.get(0)).unwrap();
        shell.execute_batch(&format!("DROP TRIGGER {trigger}; {tamper}; {again}")).unwrap();
        let error = moving(&file, &target, &mut |_| Ok(())).await.unwrap_err();
        assert!(matches!(error, MoveError::Damaged(_)), "{tamper}: {error}");
        assert_eq!(head(&file.store, LOG).await.unwrap().state, LogState::Open);
        stored(&file.store, from_producer(record("more"), None)).await;
    }
}

#[tokio::test]
async fn a_copy_that_is_not_what_left_is_never_opened_and_can_be_made_anew() {
    let (file, spoilt) = (File::eventful().await, fresh());
    stops_before(&file, &spoilt, Step::Open).await;
    let tamper = "SET session_replication_role = replica;
        UPDATE workflow_execution_audit SET error_message = 'all well' WHERE id = 'run-100'";
    spoilt.database.execute(tamper).unwrap();
    for _ in 0..2 {
        let error = moving(&file, &spoilt, &mut |_| Ok(())).await.unwrap_err();
        assert!(matches!(error, MoveError::Wrong { .. }), "{error}");
        assert!(error.to_string().contains("create this database anew, and run the same again"), "{error}");
        refusal(&*spoilt, LOG).await;
        refusal(&file.store, LOG).await;
    }
    let anew = fresh();
    moved(&file, &anew).await;
    same(&file, &anew).await;
    let said = refused(&file, &fresh()).await;
    assert!(said.contains("restore a backup"), "{said}");
}

async fn refused(file: &File, target: &Fresh) -> String {
    match moving(file, target, &mut |_| Ok(())).await {
        Err(MoveError::Refused(said)) => said,
        other => panic!("{other:?}"),
    }
}
