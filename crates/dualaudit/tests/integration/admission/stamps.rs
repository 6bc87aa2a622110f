//! Who wrote what on a resource, from kubectl to the log.

use dualaudit::clock::{Clock as _, SystemClock};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn stamps_say_who_set_an_annotation_and_cannot_be_forged() {
    let cluster = guarded().await;
    let metadata = "\"annotations\": {\"dualaudit.dev/hold\": \"case 1\", \"dualaudit.dev/hold-actor\": \"rita\", \
                    \"dualaudit.dev/review-actor\": \"rita\"}";
    done(&cluster.written_by("mallory", &["create"], &execution("a", metadata)));
    let annotate = |user: &str, what: &[&str]| {
        done(&cluster.as_user(user, &[&["annotate", "--overwrite", "wfx", "a"], what].concat()));
    };
    let stamped = async |expected: Value| {
        let marks = cluster.marks("a").await;
        assert_eq!(marks["annotations"], expected);
    };
    stamped(json!({ "hold": "case 1", "hold-actor": "mallory" })).await;
    annotate("rita", &["dualaudit.dev/review=harmful: why", "dualaudit.dev/hold-actor=rita"]);
    let both = json!({
        "hold": "case 1", "hold-actor": "mallory", "review": "harmful: why", "review-actor": "rita",
    });
    stamped(both.clone()).await;
    // Neither by itself, nor with the same text again, nor by taking it off, nor by any way of writing.
    annotate("mallory", &["dualaudit.dev/review-actor=mallory"]);
    annotate("mallory", &["dualaudit.dev/review-actor-"]);
    annotate("mallory", &["dualaudit.dev/review=harmful: why"]);
    for (kind, patch) in [
        (
            "json",
            r#"[{"op":"replace","path":"/metadata/annotations/dualaudit.dev~1review-actor","value":"olga"}]"#,
        ),
        ("json", r#"[{"op":"remove","path":"/metadata/annotations/dualaudit.dev~1review-actor"}]"#),
        (
            "merge",
            r#"{"metadata":{"annotations":{"dualaudit.dev/hold-actor":"olga","dualaudit.dev/window-actor":"olga"}}}"#,
        ),
    ] {
        done(&cluster.as_user("mallory", &["patch", "wfx", "a", "--type", kind, "-p", patch]));
        stamped(both.clone()).await;
    }
    let metadata = "\"annotations\": {\"dualaudit.dev/review-actor\": \"olga\"}";
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=rita"];
    done(&cluster.written_by("mallory", &apply, &execution("a", metadata)));
    let status = r#"{"metadata":{"annotations":{"dualaudit.dev/hold-actor":"olga","dualaudit.dev/review-of":"2030"}},
        "status":{"phase":"Executing","startTime":"2026-01-01T00:00:00Z"}}"#;
    done(
        &cluster
            .as_user("mallory", &["patch", "wfx", "a", "--subresource=status", "--type=merge", "-p", status]),
    );
    stamped(both).await;
    // Whoever says something else has said it; a stamp goes with its annotation.
    annotate(
        "mallory",
        &["dualaudit.dev/review=effective", "dualaudit.dev/review-actor=rita", "dualaudit.dev/hold-"],
    );
    let of = "2026-01-01T00:00:00Z";
    let expected = json!({ "review": "effective", "review-actor": "mallory", "review-of": of });
    stamped(expected.clone()).await;
    // Nor which attempt it is on, though the status says what they like.
    let patch = r#"{"metadata":{"annotations":{"dualaudit.dev/review-of":"2030"}},"status":{"startTime":"2030-01-01T00:00:00Z"}}"#;
    for subresource in [&[][..], &["--subresource=status"]] {
        let patch = [&["patch", "wfx", "a", "--type=merge", "-p", patch][..], subresource].concat();
        done(&cluster.as_user("mallory", &patch));
        stamped(expected.clone()).await;
    }
    annotate("rita", &["dualaudit.dev/window=48h", "dualaudit.dev/review-"]);
    stamped(json!({ "window": "48h", "window-actor": "rita" })).await;
    cluster.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_on_resources_is_recorded_under_the_names_that_the_api_server_vouches_for() {
    let cluster = guarded().await;
    let dualaudit = Dualaudit::run(&cluster, &["--window", "24h"]);
    // Created just after the policies: whether each API server had them is not known.
    done(&cluster.written_by("mallory", &["create"], &execution("early", "")));
    tokio::time::sleep(SPREAD).await;
    for name in ["judged", "stuck"] {
        done(&cluster.written_by("mallory", &["create"], &execution(name, "")));
    }
    for name in ["early", "judged"] {
        cluster.finish(name).await;
    }
    let annotate = |user: &str, name: &str, what: &[&str]| {
        done(&cluster.as_user(user, &[&["annotate", "wfx", name], what].concat()));
    };
    let id = cluster.acknowledged("judged").await["id"].as_str().unwrap().to_owned();
    let early = cluster.acknowledged("early").await["id"].as_str().unwrap().to_owned();
    annotate("rita", "judged", &["dualaudit.dev/review=harmful", "dualaudit.dev/window=48h"]);
    annotate("olga", "judged", &["dualaudit.dev/hold=case 1"]);
    annotate("rita", "early", &["dualaudit.dev/review=harmful"]);
    annotate("olga", "stuck", &["dualaudit.dev/release-unrecorded=case 2"]);
    let shown = async |id: &str, part: &str| {
        eventually(&format!("{part} is recorded"), || async {
            let (_, found) = dualaudit.get(&format!("/api/v1/executions/{id}")).await;
            found[part].as_array()?.first().cloned()
        })
        .await
    };
    assert_eq!(shown(&id, "reviews").await["actor"], "rita");
    assert_eq!(shown(&id, "windows").await["actor"], "rita");
    let actor = shown(&early, "reviews").await["actor"].take();
    assert!(actor.as_str().unwrap().starts_with("unverified"), "{actor}");
    let hold = shown(&id, "holds").await;
    assert_eq!((&hold["actor"], &hold["reason"]), (&json!("olga"), &json!("case 1")));
    let gap = eventually("the broken glass is a gap", || async { cluster.gaps().pop() }).await;
    assert_eq!((&gap["actor"], &gap["reason"]), (&json!("olga"), &json!("case 2")));

    // Whoever takes the annotation of a hold off ends no hold.
    annotate("mallory", "judged", &["dualaudit.dev/hold-"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(shown(&id, "holds").await["released"], Value::Null);

    // A verdict stays with the attempt that it is on, though the API server was made to forget when it was written.
    let forget = r#"{"metadata":{"managedFields":[{}]}}"#;
    done(&cluster.as_user("mallory", &["patch", "wfx", "judged", "--type=merge", "-p", forget]));
    let began = SystemClock.now();
    let again = json!({"phase": "Completed", "startTime": began, "completionTime": began, "steps": []});
    cluster.status("judged", again).await;
    done(&cluster.as_user("mallory", &["patch", "wfx", "judged", "--type=merge", "-p", forget]));
    eventually("both attempts are recorded", || async {
        (dualaudit.recorded_as("judged").await.len() == 2).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_, found) = dualaudit.get(&format!("/api/v1/executions/{id}?attempt=2")).await;
    assert_eq!(found["reviews"], json!([]), "{found}");
    annotate("rita", "judged", &["--overwrite", "dualaudit.dev/review=effective: again"]);
    assert_eq!(shown(&id, "reviews").await["actor"], "rita");

    let of_nobody = async |verdict: &str| {
        eventually("the review is recorded, of nobody", || async {
            let newest = shown(&id, "reviews").await;
            (newest["verdict"] == verdict && newest["actor"].as_str()?.starts_with("unverified"))
                .then_some(())
        })
        .await;
    };
    // Without the guard anybody could have written the stamp.
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(cluster.admin.clone());
    bindings.delete("dualaudit-guard", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    annotate("mallory", "judged", &["--overwrite", "dualaudit.dev/review=harmful"]);
    of_nobody("harmful").await;
    eventually("the log says that the guard is gone", || async {
        let log = dualaudit.log();
        log.iter()
            .any(|line| line.contains("WARN") && line.contains("dualaudit-guard is not there"))
            .then_some(())
    })
    .await;
    // It is back, and what was there meanwhile is not believed.
    apply(&cluster.admin, "guard.yaml").await;
    tokio::time::sleep(SPREAD).await;
    annotate("rita", "judged", &["--overwrite", "dualaudit.dev/review=ineffective"]);
    of_nobody("ineffective").await;
    verified(&cluster);
    cluster.plane.end();
}

/// As on clusters that are too old for the policy that stamps.
#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_stamps_everybody_may_say_who_they_are_and_nobody_else() {
    const NO_OTHER: &str = "names who set the one beside it";
    let cluster = peopled().await;
    apply(&cluster.admin, "guard.yaml").await;
    let stamped = |by: &str, annotation: &str| {
        format!(
            "\"annotations\": {{\"dualaudit.dev/{annotation}\": \"48h\", \"dualaudit.dev/{annotation}-actor\": \"{by}\"}}"
        )
    };
    eventually("the guard is in force", || async {
        (!cluster.tried("mallory", RECEIPT).status.success()).then_some(())
    })
    .await;
    for annotation in ["review", "hold", "window"] {
        done(&cluster.tried("mallory", &stamped("mallory", annotation)));
        refused(&cluster.tried("mallory", &stamped("rita", annotation)), NO_OTHER);
    }
    done(&cluster.tried("olga", &stamped("olga", "release-unrecorded")));
    refused(&cluster.tried("olga", &stamped("rita", "release-unrecorded")), NO_OTHER);
    refused(
        &cluster.tried("mallory", "\"annotations\": {\"dualaudit.dev/hold-actor\": \"mallory\"}"),
        NO_OTHER,
    );

    done(&cluster.written_by("rita", &["create"], &execution("a", &stamped("rita", "review"))));
    let annotate = |user: &str, what: &[&str]| {
        cluster.as_user(user, &[&["annotate", "--overwrite", "wfx", "a"], what].concat())
    };
    done(&annotate("mallory", &["example.com/other=x"]));
    for (what, is_refused) in [
        (&["dualaudit.dev/review-actor=mallory"][..], true),
        (&["dualaudit.dev/review=effective"], true),
        (&["dualaudit.dev/review-"], true),
        (&["dualaudit.dev/review=effective", "dualaudit.dev/review-actor=rita"], true),
        (&["dualaudit.dev/review=effective", "dualaudit.dev/review-actor=mallory"], false),
        // Without a stamp it is of nobody.
        (&["dualaudit.dev/review=harmful", "dualaudit.dev/review-actor-"], false),
        (&["dualaudit.dev/review-actor=mallory"], true),
    ] {
        let output = annotate("mallory", what);
        if is_refused { refused(&output, NO_OTHER) } else { done(&output) }
    }
    cluster.plane.end();
}
