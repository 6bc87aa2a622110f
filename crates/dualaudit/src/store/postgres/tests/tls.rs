//! Who is trusted to be the server.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use super::server::{Disk, Server};
use crate::{
    clock::SystemClock,
    store::{
        LogReader as _, StoreError,
        conformance::sample::at,
        postgres::{Location, Options, PostgresStore, observe},
    },
};

/// The authority, and what it vouches for: a server called localhost.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls").join(name)
}

async fn open(server: &Server, host: &str, query: &str) -> Result<PostgresStore, StoreError> {
    let url = server.url("postgres").replace("127.0.0.1", host);
    let location = Location::parse(&format!("{url}?{query}")).unwrap();
    PostgresStore::open(&location, Options::default(), at(0)).await
}

/// Whether a store's connections are encrypted.
async fn encrypted(store: &PostgresStore) -> bool {
    const SSL: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    store.logs().await.unwrap();
    store.pools.reserved.get().await.unwrap().query_one(SSL, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_server_is_trusted_as_its_sslmode_says() {
    let server = Server::start_with(&["ssl=on"], Disk::Fastest, |data, owner| {
        for name in ["server.key", "server.pem"] {
            let copy = data.join(if name == "server.pem" { "server.crt" } else { name });
            fs::copy(file(name), &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
            owner(&copy);
        }
    });
    let roots = file("authority.pem");
    let verified = format!("sslmode=verify-full&sslrootcert={}", roots.display());
    assert!(!encrypted(&open(&server, "127.0.0.1", "sslmode=disable").await.unwrap()).await);
    assert!(encrypted(&open(&server, "127.0.0.1", "").await.unwrap()).await);
    assert!(encrypted(&open(&server, "127.0.0.1", "sslmode=require").await.unwrap()).await);
    assert!(encrypted(&open(&server, "localhost", &verified).await.unwrap()).await);
    for (query, tls, trusted) in
        [("sslmode=disable", false, false), ("sslmode=require", true, false), (verified.as_str(), true, true)]
    {
        let url = server.url("postgres").replace("127.0.0.1", "localhost");
        let location = Location::parse(&format!("{url}?{query}")).unwrap();
        let seen = observe(&location, &SystemClock).await.unwrap();
        let found = seen.tls.as_ref().is_some_and(|version| version.starts_with("TLSv1."));
        assert_eq!((found, seen.verified, seen.local), (tls, trusted, true), "{query}: {seen:?}");
    }
    // Another name than the certificate's, and a certificate that nobody known vouches for.
    for (host, query) in [("127.0.0.1", verified.as_str()), ("localhost", "sslmode=verify-full")] {
        let refused = open(&server, host, query).await.err().unwrap();
        let StoreError::Unavailable(text) = &refused else { panic!("{refused:?}") };
        assert!(text.contains("certificate"), "{text}");
    }
    let missing = open(&server, "localhost", "sslmode=verify-full&sslrootcert=/no/such.pem").await;
    assert!(missing.err().unwrap().to_string().contains("/no/such.pem"));
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    for query in ["sslmode=require", "sslmode=verify-full"] {
        let refused = open(Server::shared(), "127.0.0.1", query).await.err().unwrap();
        assert!(matches!(&refused, StoreError::Unavailable(text) if text.contains("TLS")), "{refused}");
    }
}
