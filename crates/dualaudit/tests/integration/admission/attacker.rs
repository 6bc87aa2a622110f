//! Somebody with every right on executions in one namespace, who wants a record lost or a window shorter.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};

use super::*;

/// Has the garbage collector delete it.
const ORPHANED: &str = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone",
    "uid":"00000000-0000-0000-0000-000000000000"}]}}"#;

/// What they try on an execution of this name, with kubectl; none may take its record or its window.
fn attempts(name: &str) -> Vec<Vec<String>> {
    let patches = [
        ("merge", r#"{"metadata":{"finalizers":null}}"#),
        ("merge", r#"{"metadata":{"finalizers":[]}}"#),
        ("merge", r#"{"metadata":{"finalizers":["example.com/mine"]}}"#),
        ("merge", r#"{"metadata":{"finalizers":["dualaudit.dev/Record"]}}"#),
        ("json", r#"[{"op":"remove","path":"/metadata/finalizers"}]"#),
        ("json", r#"[{"op":"remove","path":"/metadata/finalizers/0"}]"#),
        ("json", r#"[{"op":"replace","path":"/metadata","value":{"name":"NAME"}}]"#),
        ("merge", r#"{"metadata":{"annotations":{"dualaudit.dev/release-unrecorded":"x"}}}"#),
        (
            "merge",
            r#"{"metadata":{"finalizers":null,"annotations":{"dualaudit.dev/release-unrecorded":"x"}}}"#,
        ),
        (
            "merge",
            r#"{"metadata":{"annotations":{"dualaudit.dev/release-unrecorded":"x","dualaudit.dev/release-unrecorded-actor":"olga"}}}"#,
        ),
        ("merge", r#"{"metadata":{"annotations":{"dualaudit.dev/window":"1s"}}}"#),
        ("merge", r#"{"metadata":{"annotations":{"dualaudit.dev/window":"0"}}}"#),
        (
            "merge",
            r#"{"metadata":{"annotations":{"dualaudit.dev/window":"1s","dualaudit.dev/window-actor":"olga"}}}"#,
        ),
        (
            "merge",
            r#"{"metadata":{"annotations":{"dualaudit.dev/receipt":null,"dualaudit.dev/recorded-at":null}}}"#,
        ),
        (
            "merge",
            r#"{"metadata":{"annotations":{"dualaudit.dev/receipt":"{}","dualaudit.dev/recorded-at":"2020-01-01T00:00:00Z"}}}"#,
        ),
        ("merge", r#"{"metadata":{"annotations":null}}"#),
        ("merge", r#"{"metadata":{"managedFields":[{}]}}"#),
        (
            "merge",
            r#"{"metadata":{"creationTimestamp":"2020-01-01T00:00:00Z","uid":"0","deletionTimestamp":"2020-01-01T00:00:00Z"}}"#,
        ),
        ("merge", r#"{"metadata":{"labels":{"app.kubernetes.io/managed-by":"Helm"}}}"#),
    ];
    let mut attempts = Vec::new();
    for (kind, patch) in patches {
        for subresource in [&[][..], &["--subresource=status"]] {
            let patch = patch.replace("NAME", name);
            let mut attempt: Vec<String> =
                ["patch", "wfx", name, "--type", kind, "-p", &patch].map(str::to_owned).into();
            attempt.extend(subresource.iter().map(|&more| more.to_owned()));
            attempts.push(attempt);
        }
    }
    attempts
}

/// What is there: still running, finished, held, and applied by the server.
const NAMES: [&str; 4] = ["running", "finished", "held", "applied"];
const WINDOW: &[&str] = &["--window", "24h"];

#[tokio::test(flavor = "multi_thread")]
async fn an_attacker_with_every_right_on_executions_loses_no_record_and_shortens_no_window() {
    let cluster = guarded().await;
    let dualaudit = Dualaudit::run(&cluster, WINDOW);
    for name in NAMES {
        done(&cluster.written_by("mallory", &["apply", "--server-side"], &execution(name, "")));
        cluster.protected(name).await;
    }
    done(&cluster.as_user("olga", &["annotate", "wfx", "held", "dualaudit.dev/hold=case 1"]));
    for name in ["finished", "held", "applied"] {
        cluster.finish(name).await;
        cluster.acknowledged(name).await;
    }
    let mut ids = Vec::new();
    for name in NAMES {
        ids.push(cluster.get(name).await.unwrap().metadata.uid.unwrap());
    }
    change_everything(&cluster).await;
    dualaudit.kill();
    change_everything(&cluster).await;
    delete_everything(&cluster, &ids).await;

    let dualaudit = Dualaudit::run(&cluster, WINDOW);
    for (name, id) in NAMES.iter().zip(&ids) {
        cluster.gone(name).await;
        let recorded = dualaudit.recorded_as(name).await;
        assert!(recorded.iter().any(|record| record["id"] == **id), "{name}: {recorded:?}");
    }
    // Made anew under a name that had one, it is an execution of its own.
    done(&cluster.written_by("mallory", &["create"], &execution("running", "")));
    cluster.delete("running").await;
    cluster.gone("running").await;
    assert_eq!(dualaudit.recorded_as("running").await.len(), 2);
    assert!(cluster.gaps().is_empty(), "nothing vanished: {:?}", cluster.gaps());
    let (_, held) = dualaudit.get(&format!("/api/v1/executions/{}", ids[2])).await;
    assert_eq!(held["holds"].as_array().unwrap().len(), 1, "{held}");
    verified(&cluster);
    cluster.plane.end();
}

/// Every way to write to an execution, tried on each of them. None takes the finalizer or the window.
async fn change_everything(cluster: &Cluster) {
    let emptied = "\"finalizers\": [], \"annotations\": {\"dualaudit.dev/window\": \"1s\"}";
    for name in NAMES {
        for attempt in attempts(name) {
            let attempt: Vec<_> = attempt.iter().map(String::as_str).collect();
            let output = cluster.as_user("mallory", &attempt);
            still_safe(cluster, name, &output).await;
        }
        // Whole objects: replaced, and applied under each manager's name, without what they have and with less.
        for arguments in [
            &["replace"][..],
            &["replace", "--subresource=status"],
            &["apply", "--server-side", "--force-conflicts", "--field-manager=dualaudit"],
            &["apply", "--server-side", "--force-conflicts", "--field-manager=kubectl"],
            &["apply"],
        ] {
            for metadata in ["", emptied] {
                let output = cluster.written_by("mallory", arguments, &execution(name, metadata));
                still_safe(cluster, name, &output).await;
            }
        }
        // They may say something, but not in the name of somebody else.
        let forged = ["dualaudit.dev/review=effective", "dualaudit.dev/review-actor=rita"];
        done(&cluster.as_user("mallory", &[&["annotate", "--overwrite", "wfx", name][..], &forged].concat()));
        assert_eq!(cluster.marks(name).await["annotations"]["review-actor"], "mallory");
    }
}

async fn still_safe(cluster: &Cluster, name: &str, output: &Output) {
    let marks = cluster.marks(name).await;
    let finalizers = marks["finalizers"].as_array().unwrap();
    assert!(finalizers.contains(&json!("dualaudit.dev/record")), "{name}: {marks} after {output:?}");
    for lost in ["release-unrecorded", "window"] {
        assert!(marks["annotations"].get(lost).is_none(), "{name}: {marks} after {output:?}");
    }
}

/// Every way to delete, while dualaudit is away. All of it waits for its record, and is held to the same rules.
async fn delete_everything(cluster: &Cluster, ids: &[String]) {
    let collection =
        format!("/apis/dualaudit.dev/v1alpha1/namespaces/{}/workflowexecutions", cluster.namespace);
    for delete in [
        &["delete", "wfx", "running", "--force", "--grace-period=0", "--wait=false"][..],
        &["delete", "wfx", "finished", "--cascade=orphan", "--wait=false"],
        &["patch", "wfx", "applied", "--type=merge", "-p", ORPHANED],
        &["delete", "--raw", &collection],
        &["delete", "wfx", "--all", "--wait=false"],
    ] {
        done(&cluster.as_user("mallory", delete));
    }
    for (name, id) in NAMES.iter().zip(ids) {
        let strip = ["patch", "wfx", name, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
        refused(&cluster.as_user("mallory", &strip), "takes the verb release");
        let left = cluster.get(name).await.expect("it waits for its record").metadata;
        assert!(left.deletion_timestamp.is_some() && left.uid.as_ref() == Some(id), "{left:?}");
    }
    // Nor can it be made anew meanwhile, under the name of what has no record.
    assert!(!cluster.written_by("mallory", &["create"], &execution("running", "")).status.success());
}

/// Those who may delete and patch because they are part of the cluster are refused nothing that they do.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_collection_and_the_end_of_a_namespace_go_on_as_without_the_policies() {
    let cluster = guarded().await;
    let dualaudit = Dualaudit::run(&cluster, WINDOW);
    let owned = async |name: &str| {
        let owner = json!({ "metadata": { "name": format!("{name}-owner") } });
        let owner: ConfigMap = create(&cluster.admin, &cluster.namespace, &owner).await;
        let reference = json!([{
            "apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid,
            "blockOwnerDeletion": true,
        }]);
        done(&cluster.written_by(
            "mallory",
            &["create"],
            &execution(name, &format!("\"ownerReferences\": {reference}")),
        ));
        cluster.protected(name).await;
    };
    owned("orphaned").await;
    owned("dependent").await;
    done(&cluster.written_by("mallory", &["create"], &execution("last", "")));
    let owners: Api<ConfigMap> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    for (name, how) in [("orphaned", DeleteParams::orphan()), ("dependent", DeleteParams::foreground())] {
        owners.delete(&format!("{name}-owner"), &how).await.unwrap();
        eventually("its owner is gone", || async {
            owners.get_opt(&format!("{name}-owner")).await.unwrap().is_none().then_some(())
        })
        .await;
    }
    assert!(cluster.get("dependent").await.is_none());
    let orphaned = cluster.get("orphaned").await.unwrap().metadata;
    assert!(orphaned.owner_references.is_none() && orphaned.deletion_timestamp.is_none());

    let namespaces: Api<Namespace> = Api::all(cluster.admin.clone());
    namespaces.delete(&cluster.namespace, &DeleteParams::background()).await.unwrap();
    eventually("the namespace is gone", || async {
        namespaces.get_opt(&cluster.namespace).await.unwrap().is_none().then_some(())
    })
    .await;
    for name in ["orphaned", "dependent", "last"] {
        assert_eq!(dualaudit.recorded_as(name).await.len(), 1, "{name}");
    }
    assert!(cluster.gaps().is_empty(), "nothing vanished: {:?}", cluster.gaps());
    verified(&cluster);
    cluster.plane.end();
}
