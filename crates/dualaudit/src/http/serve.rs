//! Connections: accepted within bounds, and finished at shutdown.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tower::{ServiceExt, service_fn};

use super::{handshake::Handshakes, rates::Peer, site::Encrypted, tls::Tls};

/// Connections beyond this wait to be accepted.
const CONNECTIONS: usize = 4096;
/// The most bytes of a request's line and headers.
const HEADER_BYTES: usize = 64 << 10;
/// How long a client may take to send its headers, and how long an idle connection is kept.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// How long what was accepted may take to finish: the longest request takes 27 s, and Kubernetes kills
/// after 30 s unless told otherwise.
const GRACE: Duration = Duration::from_secs(28);
/// How long to wait when the machine has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then finishes what was accepted: requests under way are answered, idle
/// connections closed, and nothing new is let in.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    accept(listener, None, router, shutdown).await;
}

/// The same over TLS. The certificate is renewed as its files are.
pub async fn serve_tls(listener: TcpListener, tls: Tls, router: Router, shutdown: impl Future<Output = ()>) {
    let handshakes = Handshakes::new(tls.config());
    let _renewing = AbortOnDropHandle::new(tokio::spawn(tls.keep_renewed()));
    accept(listener, Some(handshakes), router, shutdown).await;
}

async fn accept(
    listener: TcpListener,
    handshakes: Option<Handshakes>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let stopping = CancellationToken::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let room = Arc::clone(&connections).acquire_owned().await.expect("never closed");
            (listener.accept().await, room)
        };
        let (accepted, room) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = graceful.watcher();
        let (router, handshakes, stopping) = (router.clone(), handshakes.clone(), stopping.clone());
        tokio::spawn(async move {
            let peer = Peer(address.ip());
            // Answers are small and awaited.
            let _ = stream.set_nodelay(true);
            let ended = match handshakes {
                None => converse(stream, peer, false, router, connection).await,
                // Whoever is still at it at shutdown has sent nothing yet.
                Some(handshakes) => match stopping.run_until_cancelled(handshakes.encrypt(stream)).await {
                    None => Ok(()),
                    Some(Err(why)) => Err(why),
                    Some(Ok(stream)) => converse(stream, peer, true, router, connection).await,
                },
            };
            // A connection that breaks is the client's affair; what it sent is safe or unanswered.
            if let Err(error) = ended {
                tracing::debug!(error, "a connection ended early");
            }
            drop(room);
        });
    }
    drop(listener);
    stopping.cancel();
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were not done {GRACE:?} after the shutdown began");
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    is_encrypted: bool,
    router: Router,
    watcher: Watcher,
) -> Result<(), String> {
    let service = service_fn(move |mut request: axum::http::Request<_>| {
        request.extensions_mut().insert(peer);
        if is_encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}),
            )
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES).expect("64 KiB"))
        .keep_alive_interval(HEADER_TIME);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    watcher.watch(connection).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
    };

    use super::*;
    use crate::http::{
        limits::BODY_BYTES,
        tests::{Served, record},
    };

    async fn listening(served: &Served) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let server = serve(listener, served.router.clone(), async { stopped.await.unwrap() });
        (address, stop, tokio::spawn(server))
    }

    #[tokio::test]
    async fn what_was_accepted_is_finished_at_shutdown() {
        let served = Served::new().await;
        let (address, stop, server) = listening(&served).await;
        let mut idle = TcpStream::connect(&address).await.unwrap();
        let mut slow = TcpStream::connect(&address).await.unwrap();
        let body = record("a").to_string();
        let head = format!(
            "POST /api/v1/executions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{}",
            body.len(),
            &body[..10]
        );
        slow.write_all(head.as_bytes()).await.unwrap();
        // A whole exchange on a third connection shows that the first two were accepted.
        assert!(reqwest::get(format!("http://{address}/healthz")).await.unwrap().status().is_success());
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.send(()).unwrap();
        let mut rest = Vec::new();
        assert_eq!(idle.read_to_end(&mut rest).await.unwrap(), 0);
        assert!(TcpStream::connect(&address).await.is_err());
        slow.write_all(&body.as_bytes()[10..]).await.unwrap();
        slow.read_to_end(&mut rest).await.unwrap();
        let answer = String::from_utf8(rest).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_sends_too_much_still_reads_why_it_was_refused() {
        let served = Served::new().await;
        let (address, stop, server) = listening(&served).await;
        let client = reqwest::Client::new();
        for bytes in [BODY_BYTES + 1, 3 * BODY_BYTES] {
            let request = client
                .post(format!("http://{address}/api/v1/executions"))
                .header("content-type", "application/json")
                .body(vec![b' '; bytes]);
            assert_eq!(request.send().await.unwrap().status(), 413);
        }
        drop(client);
        stop.send(()).unwrap();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn headers_have_a_limit() {
        let served = Served::new().await;
        let (address, _stop, _server) = listening(&served).await;
        let request = reqwest::Client::new().get(format!("http://{address}/healthz"));
        let answer = request.header("x-large", "a".repeat(2 * HEADER_BYTES)).send().await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
    }
}
