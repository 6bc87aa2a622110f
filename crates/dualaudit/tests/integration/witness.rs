//! A witness that somebody else wrote cosigns our checkpoints, whatever became of it meanwhile.

use dualaudit_record::{
    checkpoint::{SignedCheckpoint, VerifierKey, Vouched},
    proof::Bundle,
};

use crate::{
    checkpoint::{HTTP_ORIGIN, covering},
    support::{Dualaudit, Verifier, Witness, postgres::Server},
    verifiers::{Audit, append, check, log_of},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_cosigns_a_log_in_a_file() {
    cosigned(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_cosigns_a_log_on_a_server() {
    let database = Server::shared().database(None);
    cosigned(Some(database.url())).await;
}

async fn cosigned(database: Option<String>) {
    let audit = Audit::new(database);
    let mut witness = Witness::start(HTTP_ORIGIN, &audit.key);
    let argument = witness.argument();
    let serve = || audit.serve_with(&["--witness", &argument]);
    let keys: [VerifierKey; 2] = [&audit.key, &witness.key].map(|key| key.parse().expect("a public key"));
    let vouched = |checkpoint: &SignedCheckpoint| checkpoint.vouched(&keys).expect("the log signed it");
    let is_cosigned = |vouched: &Vouched| vouched.by_witnesses.iter().any(|(name, _)| name == keys[1].name());
    let kept = audit.test.dir.path().join("kept");
    let key = witness.key.clone();
    let verifier = Verifier { witness: Some(&key), save: Some(&kept), ..Verifier::new(&audit.key) };

    // A log that is new to it, and then one that it has seen.
    let dualaudit = serve();
    let first = append(&dualaudit, "a", 3, 3).await;
    assert!(is_cosigned(&vouched(&first)), "{first:?}");
    assert_eq!(check(verifier, &log_of(&dualaudit.url)).size, Some(3));
    let older = witness.seen();
    assert_eq!(older.0, 3);
    assert!(is_cosigned(&vouched(&append(&dualaudit, "b", 297, 300).await)));

    // It has lost what it saw since; told so, dualaudit proves to it that the log extends what it knows.
    witness.kill();
    witness.set_seen(&older);
    witness.restart();
    let checkpoint = append(&dualaudit, "c", 300, 600).await;
    assert!(is_cosigned(&vouched(&checkpoint)), "{checkpoint:?} {:#?}", dualaudit.log());
    let checked = check(Verifier { old: Some(&kept), ..verifier }, &log_of(&dualaudit.url));
    assert_eq!((checked.size, witness.seen().0), (Some(600), 600), "{checked:?}");
    let (_, bundle) = dualaudit.get("/api/v1/executions/a-0/proof").await;
    let bundle: Bundle = serde_json::from_value(bundle).expect("a bundle");
    assert!(is_cosigned(&bundle.verify(&keys).expect("it is proved").vouched.expect("there are keys")));
    assert_eq!(failures(&dualaudit).await, 0);

    // The cosignature is kept. One that starts does not know what the witness has seen.
    dualaudit.stop();
    let dualaudit = serve();
    assert_eq!(covering(&dualaudit, "http", 600).await, checkpoint);
    assert!(is_cosigned(&vouched(&append(&dualaudit, "d", 1, 601).await)));

    // While it is down, all goes on without it.
    witness.kill();
    for (name, size) in [("e", 602), ("f", 603)] {
        let checkpoint = append(&dualaudit, name, 1, size).await;
        assert!(!is_cosigned(&vouched(&checkpoint)), "{checkpoint:?}");
    }
    assert_eq!(failures(&dualaudit).await, 1);
    assert_eq!(check(Verifier::new(&audit.key), &log_of(&dualaudit.url)).size, Some(603));
    assert_eq!(check(verifier, &log_of(&dualaudit.url)).fail, ["checkpoint"]);

    // One that was shown another log under this origin cosigns no more.
    dualaudit.stop();
    witness.set_seen(&(601, older.1));
    witness.restart();
    let dualaudit = serve();
    let checkpoint = append(&dualaudit, "g", 1, 604).await;
    assert!(!is_cosigned(&vouched(&checkpoint)), "{checkpoint:?}");
    assert_eq!((failures(&dualaudit).await, witness.seen().0), (1, 601));
}

async fn failures(dualaudit: &Dualaudit) -> u64 {
    dualaudit.metric("dualaudit_witness_failures_total").await
}
