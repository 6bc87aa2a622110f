//! What goes on for a while ends with the right to it.

use super::*;

/// More than anybody keeps for a reader who does not read.
const RECORDS: usize = 24;
const MESSAGE: usize = 1_800_000;

async fn fill(fixture: &Fixture) {
    for n in 0..RECORDS {
        let mut large = record(&format!("large-{n}"));
        large["error_message"] = json!("x".repeat(MESSAGE));
        let sent = fixture.ask("producer", Method::POST, "/api/v1/executions").json(&large);
        assert_eq!(sent.send().await.unwrap().status(), 201);
    }
}

/// Entries of the producers' log that tell of an export that did not come to its end.
fn broken_off(cluster: &Cluster) -> u64 {
    let file = cluster.database();
    let connection = rusqlite::Connection::open(file.strip_prefix("sqlite:").unwrap()).unwrap();
    let query = r#"SELECT count(*) FROM log_entry WHERE log = 'http' AND kind = 'export' AND body LIKE '%"whole":false%'"#;
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_and_streams_end_with_the_right_to_them_and_leave_room_for_others() {
    let fixture = Fixture::new().await;
    fill(&fixture).await;
    let export = async |role: &str| {
        let asked = fixture.ask(role, Method::GET, "/api/v1/export?format=csv");
        // Uncompressed, so that it is as much as it says.
        asked.header("accept-encoding", "identity").send().await.unwrap()
    };
    // One reader who reads nothing takes two places, and no third.
    let mut waiting = [export("auditor").await, export("auditor").await];
    let third = export("auditor").await;
    assert_eq!((third.status().as_u16(), third.headers().contains_key("retry-after")), (429, true));
    assert_eq!(export("reviewer").await.status(), 200);
    let mut stream = fixture.ask("auditor", Method::GET, "/api/v1/watch").send().await.unwrap();
    assert_eq!(stream.status(), 200);

    unbind_everywhere(&fixture.shop, "auditor").await;
    let ends = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(REMEMBERED * 30, ends).await.expect("the stream ends");
    for export in &mut waiting {
        assert_eq!(export.status(), 200);
        let rest = async {
            let mut bytes = 0;
            loop {
                match export.chunk().await {
                    Ok(Some(chunk)) => bytes += chunk.len(),
                    Ok(None) => panic!("it came to its end"),
                    Err(_) => return bytes,
                }
            }
        };
        let bytes = tokio::time::timeout(Duration::from_secs(60), rest).await.expect("it is broken off");
        assert!(bytes < RECORDS * MESSAGE, "{bytes}");
    }
    bind_everywhere(&fixture.shop, "auditor").await;
    let whole = eventually("there is room again", || async {
        let whole = export("auditor").await;
        (whole.status() == 200).then_some(whole)
    })
    .await;
    assert!(whole.bytes().await.unwrap().len() > RECORDS * MESSAGE);
    // What was handed out is on record all the same, and that it was not the whole.
    eventually("both are on record", || async { (broken_off(&fixture.shop) == 2).then_some(()) }).await;

    // Nobody's token: the account is gone.
    let mut stream = fixture.ask("auditor", Method::GET, "/api/v1/watch").send().await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(fixture.shop.admin.clone(), &fixture.shop.namespace);
    accounts.delete("auditor", &DeleteParams::default()).await.unwrap();
    let ends = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(REMEMBERED * 30, ends).await.expect("the stream ends");
    fixture.shop.plane.end();
}
