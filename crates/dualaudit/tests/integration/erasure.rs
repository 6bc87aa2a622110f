//! Erasures from the command line, while the program serves, on both databases.

use std::time::Duration;

use dualaudit_record::proof::Bundle;
use serde_json::{Value, json};

use crate::producer::post;
use crate::retention::Audit;
use crate::support::{Dualaudit, eventually, postgres::Server, record};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_personal_is_erased_and_what_is_left_verifies_in_sqlite() {
    erased_while_serving(Audit::in_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_personal_is_erased_and_what_is_left_verifies_in_postgresql() {
    let database = Server::shared().database(None);
    erased_while_serving(Audit::at(database.url())).await;
}

/// The sample, which says a name wherever one can stand.
fn of_jane(id: &str) -> Value {
    let mut record = record(id);
    record["error_message"] = json!("jane.doe could not log in");
    record["labels"] = json!({"owner": "jane.doe", "team": "payments"});
    record["name"] = json!("run-of-jane.doe");
    record["target"] = json!({"kind": "Pod", "namespace": "shop", "name": "jane.doe-0"});
    record["step_executions"][0]["name"] = json!("ask jane.doe");
    record
}

async fn erased_while_serving(audit: Audit) {
    audit.done(&["migrate"]);
    let dualaudit = Dualaudit::spawn(audit.command(&["run", "--api-only", "--listen", "127.0.0.1:0"]));
    for id in ["a", "b"] {
        assert_eq!(post(&dualaudit, &of_jane(id).to_string()).await.0, 201);
    }
    let erase = ["erase", "a", "--reason", "request 42"];
    let sure = [&erase[..], &["--yes"]].concat();

    let said = audit.done(&erase);
    assert!(said.contains("attempt 1, 1 revision") && said.contains("Nothing was erased"), "{said}");
    let placed = audit.done(&["hold", "add", "--execution", "a", "--reason", "case 7"]);
    assert!(placed.starts_with("held by http/2, "), "{placed}");
    let (status, said) = audit.run(&sure);
    assert_eq!((status, said.contains("it is held by the hold of entry 2")), (1, true), "{said}");
    assert!(audit.done(&erase).contains("A hold covers it"));
    audit.done(&["hold", "release", "http/2", "--reason", "case 7 is closed"]);
    let (status, said) = audit.run(&["erase", "a", "--yes"]);
    assert_eq!((status, said.contains("--reason")), (2, true), "{said}");
    let (status, said) = audit.run(&["erase", "nobody", "--reason", "x", "--yes"]);
    assert_eq!((status, said.contains("no log has execution nobody")), (1, true), "{said}");

    let done = audit.json(&sure);
    assert_eq!((&done["log"], &done["receipts"][0]["index"]), (&json!("http"), &json!(4)), "{done}");
    assert_eq!(done["receipts"][0]["result"], "created");
    let said = audit.done(&sure);
    assert!(said.starts_with("erased before, by http/4, "), "{said}");

    let (status, left) = dualaudit.get("/api/v1/executions/a").await;
    assert_eq!((status, &left["erased"]["index"]), (200, &json!(4)), "{left}");
    assert!(!left.to_string().contains("jane.doe"), "{left}");
    assert_eq!(left["record"]["outcome"], "success");
    assert_eq!(left["record"]["step_executions"][0]["action"], "restart");
    assert_eq!(left["record"]["target"], json!({"kind": "Pod", "namespace": "shop"}));
    let table = audit.done(&["get", "a"]);
    assert!(table.contains("Erased: what is shown is what is left") && table.contains("http/4"), "{table}");
    let (_, whole) = dualaudit.get("/api/v1/executions/b").await;
    assert!(whole["erased"].is_null() && whole.to_string().contains("jane.doe"), "{whole}");
    assert_eq!(dualaudit.recorded().await.len(), 2, "it is listed as before");

    // The proof is the same, without the body; what is sent again does not come back.
    let bundle = eventually("a checkpoint covers it", || async {
        let (status, bundle) = dualaudit.get("/api/v1/executions/a/proof").await;
        (status == 200).then_some(bundle)
    });
    let bundle: Bundle = serde_json::from_value(bundle.await).unwrap();
    let proved = bundle.verify(&[]).unwrap();
    assert_eq!((proved.proof.index, proved.entry), (0, None));
    let (status, again) = post(&dualaudit, &of_jane("a").to_string()).await;
    assert_eq!((status, &again["receipts"][0]["result"]), (200, &json!("duplicate")), "{again}");
    // The same by the server, for whoever has no way to its database.
    let by_server = ["erase", "b", "--reason", "request 43", "--server", &dualaudit.url];
    let said = audit.done(&by_server);
    assert!(said.contains("attempt 1, 1 revision") && said.contains("Nothing was erased"), "{said}");
    let sure = [&by_server[..], &["--yes"]].concat();
    let said = audit.done(&sure);
    assert!(said.starts_with("erased by http/5, "), "{said}");
    assert!(audit.done(&sure).starts_with("erased before, by http/5, "));
    assert!(audit.done(&by_server).contains("nothing is left to go"));
    let (_, left) = dualaudit.get("/api/v1/executions/b").await;
    assert!(!left.to_string().contains("jane.doe"), "{left}");
    let (status, said) =
        audit.run(&["erase", "nobody", "--reason", "x", "--yes", "--server", &dualaudit.url]);
    assert_eq!((status, said.contains("no execution nobody")), (1, true), "{said}");
    audit.done(&["verify"]);
    audit.done(&["maintain"]);
    audit.done(&["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_rolled_back_takes_no_hold_and_no_erasure() {
    let audit = Audit::in_a_file();
    let (copy, backup) = (audit.dir.path().join("checkpoints"), audit.dir.path().join("backup.db"));
    let copy = format!("file:{}", copy.display());
    audit.done(&["migrate"]);
    let run = ["run", "--api-only", "--listen", "127.0.0.1:0", "--checkpoint-copy", &copy];
    let dualaudit = Dualaudit::spawn(audit.command(&run));
    assert_eq!(post(&dualaudit, &of_jane("a").to_string()).await.0, 201);
    audit.done(&["backup", backup.to_str().unwrap()]);
    assert_eq!(post(&dualaudit, &of_jane("b").to_string()).await.0, 201);
    eventually("a checkpoint covers both", || async {
        let (status, _) = dualaudit.get("/api/v1/executions/b/proof").await;
        (status == 200).then_some(())
    })
    .await;
    dualaudit.stop();
    tokio::time::sleep(Duration::from_millis(10)).await;

    let there = ["--checkpoint-copy", &copy];
    let rolled_back = Audit { url: format!("sqlite:{}", backup.display()), ..audit };
    for command in [
        &["hold", "add", "--execution", "a", "--reason", "case 7"][..],
        &["erase", "a", "--reason", "request 42", "--yes"],
    ] {
        let (status, said) = rolled_back.run(&[command, &there].concat());
        assert_eq!((status, said.contains("rolled back")), (1, true), "{said}");
    }
    // Without the copies nobody can tell.
    rolled_back.done(&["erase", "a", "--reason", "request 42", "--yes"]);
}
