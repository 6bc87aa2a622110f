//! Reviews from the command line and over HTTP, while the program serves, on both databases.

use serde_json::json;

use crate::producer::post;
use crate::retention::Audit;
use crate::support::{Dualaudit, postgres::Server, record};

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_recorded_and_verified_in_sqlite() {
    reviewed_while_serving(Audit::in_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_recorded_and_verified_in_postgresql() {
    let database = Server::shared().database(None);
    reviewed_while_serving(Audit::at(database.url())).await;
}

async fn reviewed_while_serving(audit: Audit) {
    audit.done(&["migrate"]);
    let dualaudit = Dualaudit::spawn(audit.command(&["run", "--api-only", "--listen", "127.0.0.1:0"]));
    assert_eq!(post(&dualaudit, &record("a").to_string()).await.0, 201);
    let harmful = ["review", "a", "--verdict", "harmful", "--note", "the wrong node", "--actor", "jo"];
    let said = audit.done(&harmful);
    assert!(said.starts_with("recorded as http/1, "), "{said}");
    let said = audit.done(&[&harmful[..], &["--log", "http", "--attempt", "1"]].concat());
    assert!(said.starts_with("recorded already as http/1, "), "{said}");
    for (arguments, status, says) in [
        (&["review", "nobody", "--verdict", "harmful"][..], 1, "there is no execution nobody"),
        (&["review", "a", "--verdict", "harmful", "--attempt", "2"], 1, "there is no attempt 2"),
        (&["review", "a", "--verdict", "splendid"], 2, "must be one of effective, ineffective, harmful"),
        (&["review", "a"], 2, "--verdict"),
    ] {
        let (found, said) = audit.run(arguments);
        assert_eq!((found, said.contains(says)), (status, true), "{said}");
    }
    let (status, found) = dualaudit.get("/api/v1/executions/a").await;
    let review = &found["reviews"][0];
    assert_eq!(
        (status, &review["verdict"], &review["note"], &review["actor"]),
        (200, &json!("harmful"), &json!("the wrong node"), &json!("jo"))
    );
    let page = audit.done(&["get", "a"]);
    assert!(page.contains("Reviews") && page.contains("the wrong node"), "{page}");
    audit.done(&["erase", "a", "--reason", "request 42", "--yes"]);
    let page = audit.done(&["get", "a"]);
    assert!(page.contains("harmful") && !page.contains("the wrong node"), "{page}");
    audit.done(&["verify"]);
    audit.done(&["log", "rebuild", "--check"]);
}
