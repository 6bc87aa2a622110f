//! What goes between dualaudit and those who ask it: encrypted, and to whom it is meant for.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Output,
};

use reqwest::Certificate;
use tempfile::TempDir;

use crate::support::{Dualaudit, Standalone, record};

/// The authority, and what it vouches for: a server called localhost.
pub(crate) fn tls(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/tls").join(name)
}

/// The flags that show the certificate.
pub(crate) fn shown(dir: &TempDir) -> Vec<String> {
    for name in ["server.pem", "server.key"] {
        let copy = dir.path().join(name);
        fs::copy(tls(name), &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o600)).unwrap();
    }
    let at = |name: &str| dir.path().join(name).display().to_string();
    vec!["--tls-certificate".into(), at("server.pem"), "--tls-key".into(), at("server.key")]
}

pub(crate) fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Asks with the authority of the tests.
pub(crate) fn trusting() -> reqwest::Client {
    let authority = Certificate::from_pem(&fs::read(tls("authority.pem")).unwrap()).unwrap();
    reqwest::Client::builder().tls_certs_only([authority]).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_ask_a_server_that_speaks_tls_and_say_what_is_wrong_with_one() {
    let audit = Standalone::new();
    let serve = [&["run", "--api-only", "--listen", "127.0.0.1:0"][..]].concat();
    let mut command = audit.command(&serve);
    command.args(shown(&audit.dir));
    let dualaudit = Dualaudit::spawn(command);
    let by_address = dualaudit.url.clone();
    assert!(by_address.starts_with("https://127.0.0.1:"), "{by_address}");
    let url = by_address.replace("127.0.0.1", "localhost");
    let posted = trusting().post(format!("{url}/api/v1/executions")).json(&record("a")).send().await.unwrap();
    assert_eq!(posted.status(), 201);

    let authority = tls("authority.pem").display().to_string();
    let listed = audit.run(&["list", "--server", &url, "--server-ca", &authority, "-o", "name"]);
    assert!(listed.status.success() && said(&listed).contains('a'), "{listed:?}");
    let plain = url.replace("https", "http");
    for (arguments, why) in [
        (&["--server", &url][..], "no trusted authority vouches for: name its authority by --server-ca"),
        (&["--server", &by_address, "--server-ca", &authority], "for another name"),
        (&["--server", &plain], "This port speaks TLS"),
        (&["--server", &url, "--server-ca", "/nowhere.pem"], "/nowhere.pem"),
        (&["--server", &url, "--server-ca", &authority, "--token-file", "/nowhere"], "the token in /nowhere"),
        (&["--server", "http://audit.example", "--token-file", &authority], "over plain HTTP"),
    ] {
        let output = audit.run(&[&["list"], arguments].concat());
        assert!(output.status.code() == Some(1) && said(&output).contains(why), "{arguments:?}: {output:?}");
    }
    dualaudit.stop();

    let run = |arguments: &[&str]| audit.run(&[&serve[..], arguments].concat());
    let key = audit.dir.path().join("server.key").display().to_string();
    let alone = run(&["--tls-key", &key]);
    assert!(alone.status.code() == Some(2) && said(&alone).contains("--tls-certificate"), "{alone:?}");
    let broken = run(&["--tls-certificate", &key, "--tls-key", &key]);
    let why = format!("--tls-certificate and --tls-key: {key}: it has no certificate");
    assert!(broken.status.code() == Some(1) && said(&broken).contains(&why), "{broken:?}");
}
