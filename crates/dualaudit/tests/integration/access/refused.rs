//! Who is let in at all, and what nobody is let in for.

use super::*;
use crate::support::{FaultProxy, Seam, Verdict};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_nobodys_are_refused_and_so_is_everybody_while_nobody_can_be_asked() {
    let fixture = Fixture::new().await;
    let list = "/api/v1/executions";
    let status = async |value: &str| {
        let answer =
            asked(&fixture.dualaudit, Method::GET, list).header(AUTHORIZATION, value).send().await.unwrap();
        (answer.status().as_u16(), answer.headers().get("www-authenticate").is_some())
    };
    let good = &fixture.tokens["auditor"];
    // The last character of a signature may have bits that mean nothing.
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let altered = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{altered}{}", &signature[1..]);
    let elsewhere = token(&fixture.shop, "auditor", &["elsewhere"]).await;
    let key = fixture.shop.plane.service_account_key();
    assert_eq!(
        status(&format!("Bearer {}", ending(good, 60, &key))).await.0,
        200,
        "signed as Kubernetes does"
    );
    let over = ending(good, -60, &key);
    for value in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer nonsense".to_owned(),
        format!("Bearer {forged}"),
        format!("Bearer {elsewhere}"),
        format!("Bearer {over}"),
        format!("Bearer {}", "x".repeat(40_000)),
        format!("Basic {good}"),
        good.clone(),
    ] {
        assert_eq!(status(&value).await, (401, true), "{value}");
    }
    assert_eq!(status(&format!("bearer  {good}")).await, (200, false));
    let twice =
        fixture.ask("auditor", Method::GET, list).header(AUTHORIZATION, "Bearer x").send().await.unwrap();
    assert_eq!(twice.status(), 401);

    // A token counts no longer than its account, within the time that answers are remembered.
    let accounts: Api<ServiceAccount> = Api::namespaced(fixture.shop.admin.clone(), &fixture.shop.namespace);
    assert_eq!(fixture.get("operator", list).await.0, 200);
    accounts.delete("operator", &DeleteParams::default()).await.unwrap();
    eventually("the token is nobody's", || async {
        (fixture.get("operator", list).await.0 == 401).then_some(())
    })
    .await;

    // Of a namespace that went and came again, what was before is not for those who may read it now.
    let old = fixture.bank.namespace.clone();
    bind(&fixture.shop, &old, "reviewer", &fixture.shop.namespace).await;
    let ended = format!("{list}/{}", fixture.ids[1]);
    eventually("the reviewer may read it", || async {
        (fixture.get("reviewer", &ended).await.0 == 200).then_some(())
    })
    .await;
    let namespaces: Api<Namespace> = Api::all(fixture.shop.admin.clone());
    namespaces.delete(&old, &DeleteParams::default()).await.unwrap();
    eventually("the namespace is gone", || async {
        namespaces.get_opt(&old).await.unwrap().is_none().then_some(())
    })
    .await;
    // Kubernetes counts in seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let renewed: Namespace = serde_json::from_value(json!({"metadata": {"name": old}})).unwrap();
    namespaces.create(&PostParams::default(), &renewed).await.unwrap();
    bind(&fixture.shop, &old, "reviewer", &fixture.shop.namespace).await;
    fixture.bank.create("renewed").await;
    fixture.bank.finish("renewed").await;
    let renewed = fixture.bank.acknowledged("renewed").await["id"].as_str().unwrap().to_owned();
    let in_it = format!("{list}?namespace={old}");
    eventually("the reviewer reads what is new in it", || async {
        let (_, page) = fixture.get("reviewer", &in_it).await;
        let ids: Vec<_> = page["items"].as_array()?.iter().map(|it| it["id"].clone()).collect();
        (ids == [json!(renewed)]).then_some(())
    })
    .await;
    assert_eq!(fixture.get("reviewer", &ended).await.0, 404);
    assert_eq!(fixture.get("auditor", &ended).await.0, 200);

    // Nobody is let in while the API server is silent, once what it said is forgotten.
    fixture.shop.plane.command("stop", "apiserver");
    eventually("nobody is let in", || async {
        let answer = fixture.ask("auditor", Method::GET, list).send().await.unwrap();
        let is_told = answer.headers().contains_key("retry-after");
        (answer.status() == 503 && is_told).then_some(())
    })
    .await;
    let (status, said) = fixture.get("auditor", list).await;
    assert_eq!(status, 503);
    assert!(said["type"].as_str().unwrap().ends_with("/access-unchecked"), "{said}");
    assert_eq!(fixture.get("nobody", "/healthz").await.0, 200);
    fixture.shop.plane.command("continue", "apiserver");
    eventually("they are let in again", || async {
        (fixture.get("auditor", list).await.0 == 200).then_some(())
    })
    .await;
    fixture.shop.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_may_be_meant_for_dualaudit_alone() {
    let shop = Cluster::alone().await;
    apply(&shop.admin, "roles.yaml").await;
    account(&shop, "auditor").await;
    bind_everywhere(&shop, "auditor").await;
    let dualaudit = run(&shop, &shop.kubeconfig, &["--token-audience", AUDIENCE]);
    let status = async |token: String| {
        let request = asked(&dualaudit, Method::GET, "/api/v1/executions").bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(token(&shop, "auditor", &[AUDIENCE]).await).await, 200);
    assert_eq!(status(token(&shop, "auditor", &[]).await).await, 401);
    shop.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_looks_like_what_is_not_there_also_while_nobody_says_who_may_read_it() {
    let cluster = Cluster::alone().await;
    let proxy = FaultProxy::start(&cluster).await;
    let fixture = Fixture::through(cluster, &proxy.kubeconfig).await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let both = async || {
        let mut said = Vec::new();
        for id in [&fixture.ids[1], unknown] {
            let (status, problem) = fixture.get("reviewer", &format!("/api/v1/executions/{id}")).await;
            said.push((status, problem.to_string().replace(id, "ID")));
        }
        said
    };
    let began = std::time::Instant::now();
    let said = both().await;
    assert_eq!((said[0].0, &said[0]), (404, &said[1]));
    // How long it takes to see that it may not be read is nothing to be seen from outside.
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    proxy.judge(|seam| if seam == Seam::Access { Verdict::DropBefore } else { Verdict::Pass });
    let said = eventually("what Kubernetes said is forgotten", || async {
        let said = both().await;
        said.iter().all(|(status, _)| *status == 503).then_some(said)
    })
    .await;
    assert_eq!(said[0], said[1]);
    assert!(said[0].1.contains("/access-unchecked"), "{}", said[0].1);
    fixture.shop.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_tokens_does_not_take_the_time_of_the_api_server_from_others() {
    let fixture = Fixture::new().await;
    let list = "/api/v1/executions";
    assert_eq!(fixture.get("auditor", list).await.0, 200);
    let tried = (0..200).map(async |n| {
        let request = asked(&fixture.dualaudit, Method::GET, list).bearer_auth(format!("guess-{n}"));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    });
    let tried = futures::future::join_all(tried).await;
    let of = |answer| tried.iter().filter(|it| **it == answer).count();
    assert_eq!(of((401, false)) + of((429, true)), 200, "{tried:?}");
    assert!(of((401, false)) >= 16 && of((429, true)) > 0, "{tried:?}");
    // Who is known is let in as before, or was lately; and so is everybody else a little later, however many ask with one token.
    tokio::time::sleep(REMEMBERED).await;
    assert_eq!(fixture.get("auditor", list).await.0, 200);
    eventually("another one is let in", || async {
        let (status, _) = fixture.get("reviewer", list).await;
        assert!([200, 429].contains(&status), "{status}");
        (status == 200).then_some(())
    })
    .await;
    let fresh = token(&fixture.shop, "auditor", &[]).await;
    let many = (0..100).map(async |_| {
        let request = asked(&fixture.dualaudit, Method::GET, list).bearer_auth(&fresh);
        request.send().await.unwrap().status().as_u16()
    });
    assert_eq!(futures::future::join_all(many).await, [200; 100]);
    fixture.shop.plane.end();
}

#[test]
fn everybody_is_let_in_on_a_loopback_address_alone() {
    let dir = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", dir.path().join("audit.db").display());
    let mut command = command(&dir.path().join("none"));
    command.args([
        "run",
        "--api-only",
        "--database",
        &database,
        "--listen",
        "0.0.0.0:0",
        "--access",
        "anonymous",
    ]);
    let output = crate::support::ended(command);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Listen on a loopback address"), "{said}");
}

/// The same token, over in so many seconds, and signed by this key.
fn ending(token: &str, seconds: i64, key: &str) -> String {
    use base64::{Engine as _, prelude::*};
    use dualaudit::clock::{Clock as _, SystemClock};
    use ring::{rand::SystemRandom, signature};
    let [header, claims, _] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let mut claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let now = SystemClock.now().as_micros() / 1_000_000;
    for (claim, at) in [("exp", now + seconds), ("iat", now - 700), ("nbf", now - 700)] {
        claims[claim] = json!(at);
    }
    let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    let der: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = BASE64_STANDARD.decode(der).unwrap();
    // RFC 5915: version, the private key of 32 bytes, the curve, and at the end the public key of 65.
    let (private, public) = (&der[7..39], &der[der.len() - 65..]);
    let (algorithm, random) = (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let pair = signature::EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, &random);
    let signature = pair.unwrap().sign(&random, signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
