//! Nothing secret is seen: in the arguments of processes, in what they say, in what is answered, in metrics.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use crate::support::{
    Dualaudit, command, ended,
    postgres::{Disk, Server},
    record,
};
use crate::transport::{said, shown, tls, trusting};

/// What must never be seen, each by itself.
struct Marks {
    found: Vec<(&'static str, String)>,
    seen: String,
}

impl Marks {
    fn look(&mut self, at: &str, text: &str) {
        self.seen.push_str(text);
        for (what, mark) in &self.found {
            assert!(!text.contains(mark), "{at} shows {what}: {text}");
        }
    }

    /// Runs a command to its end, and looks at all that it says.
    fn run(&mut self, command: Command) -> Output {
        let at = format!("{:?}", command.get_args());
        let output = ended(command);
        self.look(&at, &said(&output));
        output
    }
}

const PASSWORD: &str = "Passw0rdThatNobodySees";
const WRONG: &str = "AnotherPassw0rdThatNobodySees";
const TOKEN: &str = "TokenThatNobodySees0123456789";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_seen_whatever_is_asked_for_and_whatever_fails() {
    let server = Server::start_with(&[], Disk::Fastest, |data, _| {
        let entries = "host all marked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n";
        fs::write(data.join("pg_hba.conf"), entries).unwrap();
    });
    server.execute("postgres", &format!("CREATE ROLE marked LOGIN PASSWORD '{PASSWORD}'")).unwrap();
    server
        .execute("postgres", "CREATE DATABASE audit OWNER marked ENCODING 'UTF8' TEMPLATE template0")
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (file("right", PASSWORD), file("wrong", WRONG));
    let token = file("token", TOKEN);
    let keys = dir.path().join("log.key").display().to_string();
    let kubeconfig = file(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
             users: [{{name: u, user: {{token: {TOKEN}}}}}]\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
        ),
    );
    let url = server.url("audit").replace("postgres@", "marked@");
    let nowhere = "postgres://marked@127.0.0.1:1/audit";
    let mut marks = Marks {
        found: vec![("a password", PASSWORD.into()), ("a password", WRONG.into()), ("a token", TOKEN.into())],
        seen: String::new(),
    };
    let told = |database: &str, arguments: &[&str]| {
        let mut command = command(Path::new(&kubeconfig));
        command.env("DUALAUDIT_LOG", "trace").env("DUALAUDIT_DATABASE", database).args(arguments);
        command
    };
    assert!(
        marks
            .run(told(&url, &["log", "keygen", "--origin", "dualaudit.dev/x", "--key-file", &keys]))
            .status
            .success()
    );
    let private = fs::read_to_string(&keys).unwrap();
    marks.found.push(("a log's key", private.trim()[private.trim().len() - 30..].to_owned()));
    let of_tls = fs::read_to_string(tls("server.key")).unwrap();
    marks.found.push(("the key of TLS", of_tls.lines().nth(1).unwrap().to_owned()));

    // Starts that fail.
    let in_url = |url: &str, password: &str| url.replace("marked@", &format!("marked:{password}@"));
    let by_arguments = marks.run(told(&url, &["list", "--database", &in_url(&url, PASSWORD)]));
    assert_eq!(by_arguments.status.code(), Some(2), "{by_arguments:?}");
    let run = ["run", "--api-only", "--listen", "127.0.0.1:0"];
    for (database, password, why) in [
        (in_url(&url, WRONG), None, "does not let this role in"),
        (url.clone(), Some(&wrong), "does not let this role in"),
        (nowhere.to_owned(), Some(&right), "cannot be reached"),
        (in_url(nowhere, PASSWORD), None, "cannot be reached"),
        (format!("{}?sslmode={PASSWORD}", in_url(&url, PASSWORD)), None, "sslmode"),
        (in_url("postgres://marked@:x/audit", PASSWORD), None, "must be postgres://"),
        (in_url("mysql://marked@db/audit", PASSWORD), None, "must be sqlite:PATH"),
    ] {
        for arguments in [&run[..], &["list"], &["doctor", "--no-cluster"], &["migrate"]] {
            let mut command = told(&database, arguments);
            if let Some(file) = password {
                command.env("DUALAUDIT_DATABASE_PASSWORD_FILE", file);
            }
            let output = marks.run(command);
            assert!(!output.status.success() && said(&output).contains(why), "{arguments:?}: {output:?}");
        }
    }
    for arguments in [&["run"][..], &["doctor"]] {
        let mut command = told(&url, arguments);
        command.env("PGPASSWORD", PASSWORD);
        assert!(!marks.run(command).status.success());
    }

    // One that runs, and is asked.
    let mut command = told(&url, &run);
    command.args(["--database-password-file", &right, "--log-key", &keys]).args(shown(&dir));
    let dualaudit = Dualaudit::spawn(command);
    let secret = server.rows("audit", "SELECT encode(secret, 'hex') FROM log").unwrap()[0][0].clone();
    let bytes: Vec<String> = hex::decode(&secret).unwrap().iter().map(ToString::to_string).collect();
    marks.found.push(("the log's secret", secret));
    marks.found.push(("the log's secret", bytes[..8].join(", ")));
    marks
        .look("the command line", &fs::read_to_string(format!("/proc/{}/cmdline", dualaudit.pid())).unwrap());
    let base = dualaudit.url.replace("127.0.0.1", "localhost");
    let client = trusting();
    for path in [
        "/api/v1/executions",
        "/api/v1/executions/x",
        "/api/v1/none",
        "/api/v1/executions?limit=x",
        "/readyz",
    ] {
        let answer = client.get(format!("{base}{path}")).bearer_auth(TOKEN).send().await.unwrap();
        marks.look(path, &format!("{:?} {}", answer.headers().clone(), answer.text().await.unwrap()));
    }
    for body in [record("a").to_string(), record("a").to_string(), "{".to_owned(), "[{}]".to_owned()] {
        let post = client.post(format!("{base}/api/v1/executions")).bearer_auth(TOKEN);
        let answer = post.header("content-type", "application/json").body(body).send().await.unwrap();
        marks.look("an answer", &answer.text().await.unwrap());
    }
    let authority = tls("authority.pem").display().to_string();
    for (arguments, code) in [
        (&["list", "--server", &base, "--server-ca", &authority, "--token-file", &token][..], 0),
        (&["get", "a", "--server", &base, "--server-ca", &authority, "--token-file", &token], 0),
        (&["list", "--server", &base, "--token-file", &token], 1),
        (&["list", "--server", "https://127.0.0.1:1", "--token-file", &token], 1),
        (&["list", "--server", "http://audit.example", "--token-file", &token], 1),
        (&["list", "--server", &format!("https://me:{PASSWORD}@localhost:1")], 1),
        (&["list", "--server", &base, "--server-ca", &authority], 0),
    ] {
        let mut command = told("sqlite:none.db", arguments);
        command.env("DUALAUDIT_TOKEN", TOKEN);
        let output = marks.run(command);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    let metrics = client.get(format!("{base}/metrics")).bearer_auth(TOKEN).send().await.unwrap();
    marks.look("the metrics", &metrics.text().await.unwrap());
    // A database that goes away.
    server.stop();
    let answer = client.get(format!("{base}/api/v1/executions")).bearer_auth(TOKEN).send().await.unwrap();
    marks.look("an answer without a database", &answer.text().await.unwrap());
    let lines = dualaudit.log();
    dualaudit.kill();
    marks.look("the log", &lines.join("\n"));
    // It was looked at what tells most.
    assert!(marks.seen.contains("TRACE"), "nothing was traced");
}
