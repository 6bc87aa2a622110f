//! Verifiers that others wrote for logs of this format: they accept ours, and nothing that was changed.

use axum::{Router, body::Body, extract::Request, response::Response};
use dualaudit_record::checkpoint::SignedCheckpoint;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    checkpoint::{HTTP_ORIGIN, ORIGIN, covering, printed},
    producer::post,
    support::{Checked, Dualaudit, Standalone, Verifier, postgres::Server, record},
};

/// The checks of any log, and those of one that is to extend an older checkpoint.
const OF_ONE: [&str; 4] = ["checkpoint", "inclusion", "entries", "fsck"];
const OF_TWO: [&str; 6] = ["checkpoint", "inclusion", "entries", "fsck", "consistency", "tracker"];

/// A log with a key in a directory of its own.
pub(crate) struct Audit {
    pub(crate) test: Standalone,
    database: String,
    /// Its public key.
    pub(crate) key: String,
}

impl Audit {
    /// In this database, or in a file of its own.
    pub(crate) fn new(database: Option<String>) -> Self {
        let test = Standalone::new();
        let database = database.unwrap_or_else(|| format!("sqlite:{}", test.file().display()));
        let keys = Self::keys(&test);
        let key = printed(test.run(&["log", "keygen", "--key-file", &keys, "--origin", HTTP_ORIGIN]))
            .trim()
            .to_owned();
        Self { test, database, key }
    }

    fn keys(test: &Standalone) -> String {
        test.dir.path().join("log.key").to_str().expect("UTF-8").to_owned()
    }

    fn serve(&self) -> Dualaudit {
        self.serve_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Dualaudit {
        let keys = Self::keys(&self.test);
        let mut command = self.test.command(&["run", "--api-only", "--listen", "127.0.0.1:0"]);
        command.args(["--origin", ORIGIN, "--log-key", &keys]);
        command.env("DUALAUDIT_DATABASE", &self.database).args(arguments);
        Dualaudit::spawn(command)
    }
}

/// Records so many, and waits for a checkpoint that covers as many in all.
pub(crate) async fn append(dualaudit: &Dualaudit, name: &str, records: usize, size: u64) -> SignedCheckpoint {
    let records: Vec<Value> = (0..records).map(|number| record(&format!("{name}-{number}"))).collect();
    for batch in records.chunks(100) {
        assert_eq!(post(dualaudit, &json!(batch).to_string()).await.0, 201);
    }
    covering(dualaudit, "http", size).await
}

/// The URL of the producers' log.
pub(crate) fn log_of(server: &str) -> String {
    format!("{server}/api/v1/log/http")
}

/// What others say of the log at this URL.
pub(crate) fn check(verifier: Verifier<'_>, url: &str) -> Checked {
    tokio::task::block_in_place(|| verifier.check(url))
}

async fn others_accept_it(database: Option<String>) {
    let audit = Audit::new(database);
    let dualaudit = audit.serve();
    let kept = audit.test.dir.path().join("kept");
    let verifier = Verifier::new(&audit.key);
    // One entry, a full tile, partial tiles on two levels, full ones on both; each extends what was before.
    let mut old = None;
    for (name, records, size) in [("one", 1, 1), ("tile", 255, 256), ("more", 444, 700), ("last", 324, 1024)]
    {
        append(&dualaudit, name, records, size).await;
        let checked = check(Verifier { old, save: Some(&kept), ..verifier }, &log_of(&dualaudit.url));
        let expected = if old.is_some() { &OF_TWO[..] } else { &OF_ONE };
        assert_eq!(
            (checked.size, checked.hold.iter().map(String::as_str).collect::<Vec<_>>()),
            (Some(size), expected.to_vec()),
            "{checked:?}"
        );
        old = Some(kept.as_path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_verifiers_accept_a_log_in_a_file() {
    others_accept_it(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_verifiers_accept_a_log_on_a_server() {
    let database = Server::shared().database(None);
    others_accept_it(Some(database.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_verifiers_refuse_what_was_changed() {
    let audit = Audit::new(None);
    let dualaudit = audit.serve();
    append(&dualaudit, "a", 700, 700).await;
    let url = log_of(&dualaudit.url);
    let verifier = Verifier::new(&audit.key);

    let stranger = Audit::new(None);
    let checked = check(Verifier::new(&stranger.key), &url);
    assert_eq!((checked.hold.len(), &checked.fail[..]), (0, &["checkpoint".to_owned()][..]), "{checked:?}");

    // As whoever owns the database, or stands in between, can change it: one bit.
    let whole = ["inclusion", "entries", "fsck"];
    for (path, byte, fails) in [
        ("checkpoint", 30, &["checkpoint"][..]),
        ("tile/0/001", 7, &whole),
        ("tile/0/002.p/188", 188 * 32 - 1, &whole),
        ("tile/1/000.p/2", 40, &whole),
        ("tile/entries/001", 20, &whole),
        ("tile/entries/002.p/188", 40, &whole),
    ] {
        let proxy = changing(url.clone(), path, byte).await;
        let checked = check(verifier, &proxy);
        assert_eq!(checked.fail, fails, "{path}: {checked:?}");
    }
    let proxy = changing(url, "nothing", 0).await;
    assert_eq!(check(verifier, &proxy).size, Some(700));
}

#[tokio::test(flavor = "multi_thread")]
async fn others_verifiers_tell_a_log_that_was_rewritten_by_an_older_checkpoint() {
    let audit = Audit::new(None);
    let kept = audit.test.dir.path().join("kept");
    let verifier = Verifier { save: Some(&kept), ..Verifier::new(&audit.key) };
    let dualaudit = audit.serve();
    append(&dualaudit, "a", 300, 300).await;
    assert_eq!(check(verifier, &log_of(&dualaudit.url)).size, Some(300));
    dualaudit.stop();

    // All of it is in order, and signed by the right key.
    let other = Standalone::new();
    let dualaudit = audit.serve_with(&["--database", &format!("sqlite:{}", other.file().display())]);
    append(&dualaudit, "b", 400, 400).await;
    let checked = check(Verifier { old: Some(&kept), save: None, ..verifier }, &log_of(&dualaudit.url));
    assert_eq!(checked.hold, OF_ONE, "{checked:?}");
    assert_eq!(checked.fail, ["consistency", "tracker"], "{checked:?}");
}

/// Serves the log at a URL with one bit changed in what is at `path`; where.
async fn changing(url: String, path: &'static str, byte: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let answer = move |request: Request| {
        let url = url.clone();
        async move {
            let asked = request.uri().path().trim_start_matches('/').to_owned();
            let found = reqwest::get(format!("{url}/{asked}")).await.expect("an answer");
            let status = found.status();
            let mut bytes = found.bytes().await.expect("a body").to_vec();
            if asked == path {
                bytes[byte] ^= 1;
            }
            Response::builder().status(status).body(Body::from(bytes)).expect("a response")
        }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    format!("http://{address}")
}
