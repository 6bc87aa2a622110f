//! A connection's beginning where TLS is spoken: bounded in time and in number.

use std::{sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::problem::{Kind, Problem};

/// How long a client may take until the connection is encrypted.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How many may be at it; further ones wait, within their time. Each costs a signature.
const HANDSHAKES: usize = 512;
/// The first byte of what TLS begins with (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// How much of what was sent without TLS is read, so that its sender reads the answer.
const PLAIN_BYTES: usize = 64 << 10;

/// Encrypts connections.
#[derive(Clone)]
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    room: Arc<Semaphore>,
    time: Duration,
}

impl Handshakes {
    pub(super) fn new(config: Arc<ServerConfig>) -> Self {
        Self {
            acceptor: TlsAcceptor::from(config),
            room: Arc::new(Semaphore::new(HANDSHAKES)),
            time: HANDSHAKE_TIME,
        }
    }

    /// The same with another time.
    #[cfg(test)]
    pub(super) fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// The encrypted connection. A client that speaks HTTP without TLS is told so.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn encrypt(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let encrypted = tokio::time::timeout(self.time, async {
            // Who says nothing takes no room.
            let mut first = [0];
            match stream.peek(&mut first).await {
                Ok(0) => return Err("it was closed before it began".to_owned()),
                Ok(_) if first[0] == TLS_HANDSHAKE => {}
                Ok(_) => {
                    if first[0].is_ascii_uppercase() {
                        refuse_plain(stream).await;
                    }
                    return Err("it began without TLS".to_owned());
                }
                Err(error) => return Err(error.to_string()),
            }
            let _room = self.room.acquire().await.expect("never closed");
            self.acceptor.accept(stream).await.map_err(|error| format!("no TLS: {error}"))
        });
        encrypted.await.unwrap_or_else(|_| Err(format!("no TLS within {:?}", self.time)))
    }
}

/// What somebody reads who asked with http:// in place of https://. Whatever happens to it is their affair.
async fn refuse_plain(mut stream: TcpStream) {
    let detail = "This port speaks TLS, and the request came without: ask with https:// in place of http://.";
    let problem = Problem::new(Kind::MalformedRequest, detail);
    let (status, body) = (problem.status(), serde_json::to_string(&problem).unwrap_or_default());
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    // A connection that is closed with something unread is reset, and the answer with it.
    let mut rest = [0; 4096];
    let mut read = 0;
    while read < PLAIN_BYTES {
        match stream.read(&mut rest).await {
            Ok(0) | Err(_) => return,
            Ok(more) => read += more,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustls::{
        ClientConfig, ClientConnection, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    };
    use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::Instant};
    use tokio_rustls::{TlsConnector, client};

    use super::*;
    use crate::http::{
        serve_tls,
        tests::{Served, record},
        tls::tests::Authority,
    };

    struct Listening {
        authority: Authority,
        address: String,
        stop: oneshot::Sender<()>,
        server: JoinHandle<()>,
    }

    async fn listening(served: &Served) -> Listening {
        let authority = Authority::new();
        authority.renew("localhost");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let tls = authority.open().unwrap();
        let server = serve_tls(listener, tls, served.router.clone(), async { stopped.await.unwrap() });
        Listening { authority, address, stop, server: tokio::spawn(server) }
    }

    impl Listening {
        async fn connect(&self, protocols: &[&str]) -> client::TlsStream<TcpStream> {
            let mut roots = RootCertStore::empty();
            let authority = CertificateDer::from_pem_file(self.authority.file("authority.pem")).unwrap();
            roots.add(authority).unwrap();
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
            let builder = builder.with_safe_default_protocol_versions().unwrap();
            let mut config = builder.with_root_certificates(roots).with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            let stream = TcpStream::connect(&self.address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
        }
    }

    fn shown(connection: &ClientConnection) -> Vec<u8> {
        connection.peer_certificates().unwrap()[0].to_vec()
    }

    async fn ask(stream: &mut client::TlsStream<TcpStream>) {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test]
    async fn http_2_is_spoken_where_the_client_can() {
        let served = Served::new().await;
        let listening = listening(&served).await;
        for (protocols, spoken) in
            [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
        {
            let mut stream = listening.connect(protocols).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), spoken.map(str::as_bytes));
            if spoken != Some("h2") {
                ask(&mut stream).await;
                continue;
            }
            // Each side begins with its settings (RFC 9113, section 3.4).
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            let mut frame = [0; 9];
            stream.read_exact(&mut frame).await.unwrap();
            assert_eq!(frame[3], 4, "{frame:?}");
        }
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_shown_to_those_who_come_and_drops_nobody() {
        let served = Served::new().await;
        let listening = listening(&served).await;
        let mut before = listening.connect(&[]).await;
        ask(&mut before).await;
        let renewed = listening.authority.renew("localhost");
        let renewed = CertificateDer::from_pem_slice(renewed.as_bytes()).unwrap();
        loop {
            let mut after = listening.connect(&[]).await;
            ask(&mut after).await;
            ask(&mut before).await;
            if shown(after.get_ref().1) == renewed.as_ref() {
                break;
            }
        }
        assert_ne!(shown(before.get_ref().1), renewed.as_ref());
        fs::write(listening.authority.file("tls.key"), "nothing").unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        ask(&mut listening.connect(&[]).await).await;
    }

    #[tokio::test]
    async fn whoever_asks_without_tls_is_told_so() {
        let served = Served::new().await;
        let listening = listening(&served).await;
        let mut stream = TcpStream::connect(&listening.address).await.unwrap();
        let body = record("a").to_string();
        let head = format!(
            "POST /api/v1/executions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("This port speaks TLS"), "{answer}");
        // What is neither is closed.
        let mut stream = TcpStream::connect(&listening.address).await.unwrap();
        stream.write_all(b"\0\x01\x02").await.unwrap();
        assert!(stream.read_to_end(&mut Vec::new()).await.map_or(true, |read| read == 0));
        assert_eq!(served.get("/api/v1/executions").await.json()["items"].as_array().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn who_dawdles_keeps_nobody_waiting_and_is_let_go() {
        let served = Served::new().await;
        let listening = listening(&served).await;
        let mut dawdling = Vec::new();
        for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00"].repeat(100) {
            let mut stream = TcpStream::connect(&listening.address).await.unwrap();
            stream.write_all(begun).await.unwrap();
            dawdling.push(stream);
        }
        ask(&mut listening.connect(&[]).await).await;
        // They are no reason to be slow in stopping, either.
        let mut idle = listening.connect(&[]).await;
        ask(&mut idle).await;
        let asked = Instant::now();
        listening.stop.send(()).unwrap();
        listening.server.await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(5));
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);

        let handshakes = Handshakes::new(listening.authority.open().unwrap().config());
        let handshakes = handshakes.within(Duration::from_millis(100));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n"] {
            let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            stream.write_all(begun).await.unwrap();
            let why = handshakes.encrypt(listener.accept().await.unwrap().0).await.err().unwrap();
            assert!(why.starts_with("no TLS within"), "{why}");
        }
    }
}
