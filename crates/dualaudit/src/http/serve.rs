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

use super::{
    attention::{Attention, Patience},
    handshake::Handshakes,
    peers::Peers,
    rates::Peer,
    site::Encrypted,
    tls::Tls,
};

/// Connections beyond this wait to be accepted,
const CONNECTIONS: usize = 4096;
/// and those of one address beyond this are closed, so that others find room: whoever asks after its health among them.
const CONNECTIONS_EACH: usize = CONNECTIONS / 4 * 3;
/// The most bytes of a request's line and headers.
const HEADER_BYTES: usize = 64 << 10;
/// How long a client may take to send its headers, how long an idle connection is kept, and how long a part of an answer waits
/// to be taken.
const PATIENCE: Patience = Patience { idle: Duration::from_secs(30), answer: Duration::from_secs(30) };
/// Requests under way on one connection over HTTP/2.
const STREAMS: u32 = 100;
/// What a client may send of one body over HTTP/2, and of all on a connection, before anybody reads it.
const STREAM_BYTES: u32 = 64 << 10;
const CONNECTION_BYTES: u32 = 256 << 10;
/// What of an answer over HTTP/2 lies ready to be sent.
const SENT_BYTES: usize = 64 << 10;
/// Requests over HTTP/2 that a client may take back before they are looked at, and errors of its streams that are borne,
/// before its connection is given up: <https://www.kb.cert.org/vuls/id/767506> and
/// <https://nvd.nist.gov/vuln/detail/CVE-2023-44487>.
const TAKEN_BACK: usize = 20;
const ERRORS: usize = 100;
/// How long what was accepted may take to finish: the longest request takes 27 s, and Kubernetes kills
/// after 30 s unless told otherwise.
const GRACE: Duration = Duration::from_secs(28);
/// How long to wait when the machine has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then finishes what was accepted: requests under way are answered, idle
/// connections closed, and nothing new is let in.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    accept(listener, None, PATIENCE, router, shutdown).await;
}

/// The same over TLS. The certificate is renewed as its files are.
pub async fn serve_tls(listener: TcpListener, tls: Tls, router: Router, shutdown: impl Future<Output = ()>) {
    let handshakes = Handshakes::new(tls.config());
    let _renewing = AbortOnDropHandle::new(tokio::spawn(tls.keep_renewed()));
    accept(listener, Some(handshakes), PATIENCE, router, shutdown).await;
}

async fn accept(
    listener: TcpListener,
    handshakes: Option<Handshakes>,
    patience: Patience,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let peers = Peers::new(CONNECTIONS_EACH);
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
        let peer = Peer(address.ip());
        let Some(place) = peers.place(peer) else {
            tracing::debug!(address = %address.ip(), "it has {CONNECTIONS_EACH} connections, which is the limit for one address");
            continue;
        };
        let connection = graceful.watcher();
        let (router, handshakes, stopping) = (router.clone(), handshakes.clone(), stopping.clone());
        tokio::spawn(async move {
            // Answers are small and awaited.
            let _ = stream.set_nodelay(true);
            let ended = match handshakes {
                None => converse(stream, peer, false, patience, router, connection).await,
                // Whoever is still at it at shutdown has sent nothing yet.
                Some(handshakes) => match stopping.run_until_cancelled(handshakes.encrypt(stream)).await {
                    None => Ok(()),
                    Some(Err(why)) => Err(why),
                    Some(Ok(stream)) => converse(stream, peer, true, patience, router, connection).await,
                },
            };
            // A connection that breaks is the client's affair; what it sent is safe or unanswered.
            if let Err(error) = ended {
                tracing::debug!(error, "a connection ended early");
            }
            drop((room, place));
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
    patience: Patience,
    router: Router,
    watcher: Watcher,
) -> Result<(), String> {
    let attention = Attention::new();
    let asking = attention.clone();
    let service = service_fn(move |mut request: axum::http::Request<_>| {
        request.extensions_mut().insert(peer);
        if is_encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        let (router, asked) = (router.clone(), asking.asked());
        async move {
            let response =
                router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {});
            Ok::<_, Infallible>(response.map(|body| asked.answered(body)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience.idle).max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES).expect("64 KiB"))
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .max_send_buf_size(SENT_BYTES)
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_local_error_reset_streams(ERRORS)
        .keep_alive_interval(patience.idle);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    tokio::select! {
        ended = watcher.watch(connection) => ended.map_err(|error| error.to_string()),
        why = attention.lost(patience) => Err(format!("it was let go: {why} for too long")),
    }
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

    /// With a patience that a test can wait for.
    async fn listening_for(served: &Served, patience: Patience) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(accept(listener, None, patience, served.router.clone(), std::future::pending()));
        address
    }

    #[tokio::test]
    async fn who_asks_nothing_or_never_ends_asking_is_let_go() {
        let served = Served::new().await;
        let short = Duration::from_millis(300);
        let address = listening_for(&served, Patience { idle: short, answer: short }).await;
        let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        // The headers of a request over HTTP/2 that are to be gone on with.
        let begun = [&settings[..], b"\0\0\x01\x01\0\0\0\0\x01\x82"].concat();
        let half = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n";
        for sent in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", half, settings, &begun] {
            let asked = tokio::time::Instant::now();
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            let dripping = half.starts_with(sent) && !sent.is_empty();
            let mut rest = [0; 4096];
            while asked.elapsed() < Duration::from_secs(10) {
                if dripping {
                    let _ = stream.write_all(b"a").await;
                }
                if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(short / 10, stream.read(&mut rest)).await {
                    break;
                }
            }
            let took = asked.elapsed();
            assert!(took >= short && took < Duration::from_secs(5), "{took:?}: {sent:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_given_up_and_one_that_is_taken_slowly_is_not() {
        let served = Served::new().await;
        let large = |n: usize| {
            let mut record = record(&format!("r{n}"));
            record["step_executions"][0]["error_message"] = "x".repeat(1 << 20).into();
            record
        };
        // More than the kernel keeps on their way.
        for n in 0..2 {
            let records = serde_json::json!([0, 1, 2, 3].map(|m| large(4 * n + m)));
            assert_eq!(served.post_json(&records).await.status, 201);
        }
        let short = Duration::from_secs(2);
        let address = listening_for(&served, Patience { idle: short, answer: short }).await;
        let ask = async || {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(256 << 10).unwrap();
            let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
            let path = "/api/v1/export?format=csv&actor=x";
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
                .await
                .unwrap();
            stream
        };
        let (untouched, mut slow) = (ask().await, ask().await);
        let (mut read, mut part) = (Vec::new(), vec![0; 256 << 10]);
        let asked = tokio::time::Instant::now();
        while !read.ends_with(b"\r\n0\r\n\r\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let length = slow.read(&mut part).await.unwrap();
            assert!(length > 0, "given up after {:?} and {} bytes", asked.elapsed(), read.len());
            read.extend_from_slice(&part[..length]);
        }
        assert!(read.len() > 8 << 20);
        // By now the other was given up: what the kernel held of it comes, and then its end.
        tokio::time::sleep(short * 2).await;
        let mut untouched = untouched;
        let mut rest = Vec::new();
        let ended = untouched.read_to_end(&mut rest).await;
        assert!(ended.is_err() || !rest.ends_with(b"\r\n0\r\n\r\n"), "{} bytes", rest.len());
    }
}
