//! Each rule, both ways: who may, and who may not.

use super::*;
use crate::support::{command, ended};

/// What each rule says when it refuses.
const FINALIZER: &str = "takes the verb release on";
const BREAK_GLASS: &str = "takes the verb release-unrecorded on";
const SHORTER: &str = "takes the verb shorten on";
const RECEIPTS: &str = "takes the verb acknowledge on";

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_lets_those_who_are_granted_and_refuses_everybody_else() {
    let cluster = guarded().await;
    const SELF: &str = "system:serviceaccount:dualaudit:dualaudit";
    for name in ["a", "b", "c"] {
        done(&cluster.written_by("mallory", &["create"], &execution(name, "")));
    }
    let strip = ["patch", "wfx", "a", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
    let strip_and_say = |name: &'static str| {
        let patch =
            r#"{"metadata":{"finalizers":null,"annotations":{"dualaudit.dev/release-unrecorded":"drill"}}}"#;
        ["patch", "wfx", name, "--type=merge", "-p", patch]
    };
    let annotate =
        |name: &'static str, annotation: &'static str| ["annotate", "--overwrite", "wfx", name, annotation];
    for (user, arguments, refusal) in [
        // Only dualaudit takes its finalizer off, or who breaks the glass with the same stroke.
        ("mallory", &strip[..], Some(FINALIZER)),
        ("rita", &strip, Some(FINALIZER)),
        ("olga", &strip, Some(FINALIZER)),
        ("mallory", &strip_and_say("a"), Some(FINALIZER)),
        ("mallory", &annotate("b", "dualaudit.dev/release-unrecorded=me"), Some(BREAK_GLASS)),
        ("rita", &annotate("b", "dualaudit.dev/release-unrecorded=me"), Some(BREAK_GLASS)),
        (SELF, &annotate("b", "dualaudit.dev/release-unrecorded=me"), Some(BREAK_GLASS)),
        ("olga", &annotate("b", "dualaudit.dev/release-unrecorded=drill"), None),
        // It stands: another reason is a word of one's own, and none brings the finalizer back.
        ("mallory", &annotate("b", "dualaudit.dev/release-unrecorded=me"), Some(BREAK_GLASS)),
        ("mallory", &annotate("b", "dualaudit.dev/release-unrecorded=drill "), Some(BREAK_GLASS)),
        ("mallory", &annotate("b", "example.com/other=x"), None),
        ("mallory", &annotate("b", "dualaudit.dev/release-unrecorded-"), None),
        ("olga", &strip_and_say("b"), None),
        (SELF, &strip, None),
        // Receipts.
        ("mallory", &annotate("c", "dualaudit.dev/receipt={}"), Some(RECEIPTS)),
        ("olga", &annotate("c", "dualaudit.dev/recorded-at=2026-01-01T00:00:00Z"), Some(RECEIPTS)),
        (SELF, &annotate("c", "dualaudit.dev/receipt={}"), None),
        ("mallory", &annotate("c", "dualaudit.dev/receipt-"), Some(RECEIPTS)),
        ("rita", &annotate("c", "dualaudit.dev/receipt=[]"), Some(RECEIPTS)),
        ("mallory", &annotate("c", "example.com/other=x"), None),
        // Windows.
        ("mallory", &annotate("c", "dualaudit.dev/window=23h"), Some(SHORTER)),
        ("mallory", &annotate("c", "dualaudit.dev/window=24h"), None),
        ("rita", &annotate("c", "dualaudit.dev/window=48h"), None),
        ("mallory", &annotate("c", "dualaudit.dev/window=47h59m59s999ms"), Some(SHORTER)),
        ("mallory", &annotate("c", "dualaudit.dev/window-"), Some(SHORTER)),
        ("rita", &annotate("c", "dualaudit.dev/window="), Some(SHORTER)),
        ("rita", &annotate("c", "dualaudit.dev/window=2d"), None),
        ("rita", &annotate("c", "dualaudit.dev/window=1w"), None),
        ("rita", &annotate("c", "dualaudit.dev/window=8d"), None),
        ("rita", &annotate("c", "dualaudit.dev/window=200h30m"), None),
        (SELF, &annotate("c", "dualaudit.dev/window=1h"), Some(SHORTER)),
        ("olga", &annotate("c", "dualaudit.dev/window=1h"), None),
        // From there on as it is.
        ("mallory", &annotate("c", "dualaudit.dev/window=59m"), Some(SHORTER)),
        ("mallory", &annotate("c", "dualaudit.dev/window=61m"), None),
    ] {
        let output = cluster.as_user(user, arguments);
        match refusal {
            None => assert!(output.status.success(), "{user} {arguments:?}: {output:?}"),
            Some(says) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(!output.status.success() && said.contains(says), "{user} {arguments:?}: {output:?}");
            }
        }
    }
    cluster.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_execution_is_created_with_is_held_to_the_same_rules() {
    let cluster = guarded().await;
    for (annotation, refusal) in [
        ("\"dualaudit.dev/receipt\": \"{}\"", RECEIPTS),
        ("\"dualaudit.dev/recorded-at\": \"2026-01-01T00:00:00Z\"", RECEIPTS),
        ("\"dualaudit.dev/window\": \"1h\"", SHORTER),
        ("\"dualaudit.dev/window\": \"0s\"", SHORTER),
        ("\"dualaudit.dev/release-unrecorded\": \"me\"", BREAK_GLASS),
    ] {
        let metadata = format!("\"annotations\": {{{annotation}}}");
        for create in [&["create"][..], &["apply", "--server-side"], &["apply"]] {
            refused(&cluster.written_by("mallory", create, &execution("new", &metadata)), refusal);
        }
    }
    for (annotation, user) in
        [("window\": \"1h", "olga"), ("release-unrecorded\": \"drill", "olga"), ("window\": \"2d", "mallory")]
    {
        let metadata =
            format!("\"annotations\": {{\"dualaudit.dev/{annotation}\"}}, \"generateName\": \"new-\"");
        let object = execution("", &metadata).replace("\"name\": \"\", ", "");
        done(&cluster.written_by(user, &["create"], &object));
    }
    cluster.plane.end();
}

/// What the guard reads as a duration is what dualaudit reads, or it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn no_window_is_longer_to_the_guard_than_to_dualaudit() {
    let cluster = guarded().await;
    let usual = dualaudit::source::parse_window("24h").unwrap();
    let mut accepted = 0;
    for text in [
        "24h",
        " 24h ",
        "1d",
        "7d",
        "1w",
        "2w",
        "90m",
        "1440m",
        "86400s",
        "86399s",
        "1h30m",
        "23h60m",
        "25h1m1s1ms",
        "24h0m",
        "86400000ms",
        "86399999ms",
        "24h24h",
        "1m24h",
        "24H",
        "24",
        "h",
        "-24h",
        "+24h",
        "1.5d",
        "30.0h",
        "2 days",
        "1d12h",
        "P2D",
        "PT48H",
        "1mo",
        "forever",
        "9999d",
        "999w",
        "999999h",
        "9999999h",
        "999999h999999m999999s",
        "٢٤h",
        "24h\u{a0}",
        "1h 23h",
        "0024h",
        "0d",
        "0.5d",
        "1e3h",
        "48h\n",
    ] {
        let metadata = format!("\"annotations\": {{\"dualaudit.dev/window\": {}}}", json!(text));
        let output = cluster.tried("mallory", &metadata);
        if output.status.success() {
            let read = dualaudit::source::parse_window(text);
            assert!(read.as_ref().is_ok_and(|read| *read >= usual), "{text:?} is {read:?} to dualaudit");
            accepted += 1;
        } else {
            refused(&output, SHORTER);
        }
    }
    assert!((15..30).contains(&accepted), "{accepted}");
    cluster.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_breaks_the_glass_of_a_namespace_and_nobody_else() {
    let cluster = guarded().await;
    let binding = json!({
        "metadata": { "name": "operators" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "dualaudit-operator" },
        "subjects": [{ "kind": "User", "name": "olga" }, { "kind": "User", "name": "mallory" }],
    });
    create::<RoleBinding>(&cluster.admin, "dualaudit", &binding).await;
    done(&cluster.written_by("mallory", &["create"], &execution("stuck", "")));
    let release = |user: &str| {
        // The administrator's kubeconfig, as somebody else.
        let text = std::fs::read_to_string(cluster.admin_kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
        kubeconfig["users"][0]["user"]["as"] = json!(user);
        let path = cluster.dir.path().join(user);
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let mut command = command(&path);
        command.args(["release", "--unrecorded", "--namespace", &cluster.namespace, "--reason", "drill"]);
        ended(command)
    };
    refused(&release("mallory"), FINALIZER);
    assert_eq!(cluster.marks("stuck").await["finalizers"], json!(["dualaudit.dev/record"]));
    done(&release("olga"));
    let expected = json!({ "release-unrecorded": "drill", "release-unrecorded-actor": "olga" });
    assert_eq!(cluster.marks("stuck").await, json!({ "annotations": expected, "finalizers": [] }));
    cluster.plane.end();
}
