//! As whom the server is asked: the user of the kubeconfig, whose token it is shown.

use kube::{
    Config,
    client::{Body, ConfigExt as _},
};
use reqwest::header::AUTHORIZATION;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};

use crate::client::Token;

/// What to do where the kubeconfig has nothing that a server could be shown.
pub(super) const NO_TOKEN: &str = "the kubeconfig's user has no token but something else, such as a client certificate, \
    which is for the API server alone: show the server a token, \
    `kubectl create token ACCOUNT >FILE` and --token-file FILE";

/// The token of a kubeconfig's user, however it comes about: as it stands there, from a file, or from a plugin that is
/// run; renewed as kubectl does it. `None` where the user is known by something else.
///
/// # Errors
/// A plugin or a file that cannot be used.
pub(super) fn token(config: &Config) -> Result<Option<Token>, kube::Error> {
    let Some(layer) = config.auth_layer()? else { return Ok(None) };
    // A password has no place in a token's stead.
    if config.auth_info.password.is_some() && config.auth_info.token.is_none() {
        return Ok(None);
    }
    // Answers what it is asked with.
    let echo = service_fn(|request: http::Request<Body>| {
        let mut answer = http::Response::new(());
        *answer.headers_mut() = request.into_parts().0.headers;
        std::future::ready(Ok::<_, BoxError>(answer))
    });
    let user = BoxCloneSyncService::new(layer.layer(echo));
    Ok(Some(Token::asked(move || {
        let asked = user.clone().oneshot(http::Request::new(Body::empty()));
        Box::pin(async move {
            let answer = asked.await.map_err(|error| format!("the kubeconfig's user: {error}"))?;
            answer.headers().get(AUTHORIZATION).cloned().ok_or_else(|| NO_TOKEN.to_owned())
        })
    })))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use kube::config::{KubeConfigOptions, Kubeconfig};
    use serde_json::{Value, json};

    use super::*;

    async fn header(user: Value) -> Option<String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = json!({
            "current-context": "c",
            "clusters": [{ "name": "k", "cluster": { "server": "https://127.0.0.1:1" } }],
            "users": [{ "name": "u", "user": user }],
            "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
        });
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let token = token(&config).unwrap()?;
        assert!(!format!("{token:?}").contains("hunter2"), "{token:?}");
        Some(token.header().await.unwrap().to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn the_token_is_taken_from_wherever_kubectl_takes_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            path
        };
        let credential = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": { "token": "hunter2", "expirationTimestamp": "2100-01-01T00:00:00Z" },
        });
        let plugin = file("plugin", &format!("#!/bin/sh\necho '{credential}'\n"));
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "interactiveMode": "Never",
        });
        for user in [
            json!({ "token": "hunter2" }),
            json!({ "tokenFile": file("token", "hunter2") }),
            json!({ "exec": exec }),
        ] {
            assert_eq!(header(user.clone()).await.as_deref(), Some("Bearer hunter2"), "{user}");
        }
        for user in [json!({}), json!({ "username": "me", "password": "hunter2" })] {
            assert_eq!(header(user.clone()).await, None, "{user}");
        }
    }
}
