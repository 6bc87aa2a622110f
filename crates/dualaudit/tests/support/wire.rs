//! A wire to PostgreSQL that can be cut in the middle of an append, and that can fall silent.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What the rows of a binary COPY begin with.
const ROWS: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// COMMIT as a simple query.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// How long a server may take to commit whose answer nobody will get.
const COMMITTING: Duration = Duration::from_millis(100);

/// A point in an append at which its connection can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Half of the rows have arrived.
    AmidRows,
    /// All has arrived but the word to commit.
    BeforeCommit,
    /// It is committed, and the answer is lost.
    AfterCommit,
}

/// A running proxy of a TCP port.
pub struct Wire {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    silent: watch::Sender<bool>,
    breaks: Mutex<Option<(Break, usize)>>,
    seen: AtomicUsize,
    broken: AtomicUsize,
}

/// One connection through it.
struct Line {
    /// It has carried rows since the last COMMIT, so it appends.
    appends: AtomicBool,
    /// What comes back is dropped.
    mute: AtomicBool,
    cut: watch::Sender<bool>,
}

impl Wire {
    /// Starts one to this address.
    pub async fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            upstream,
            silent: watch::Sender::new(false),
            breaks: Mutex::default(),
            seen: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(Arc::clone(&serving), client));
            }
        });
        Self { address, shared }
    }

    /// From now on every so many appends one's connection breaks there.
    pub fn break_every(&self, appends: usize, at: Break) {
        self.shared.seen.store(0, Ordering::SeqCst);
        self.shared.broken.store(0, Ordering::SeqCst);
        *self.shared.breaks.lock().expect("nobody panics with it") = Some((at, appends));
    }

    /// From now on nothing breaks.
    pub fn mend(&self) {
        *self.shared.breaks.lock().expect("nobody panics with it") = None;
    }

    /// How often it broke since [`Self::break_every`].
    pub fn broken(&self) -> usize {
        self.shared.broken.load(Ordering::SeqCst)
    }

    /// Connections stay open, new ones are accepted, and nothing gets through.
    pub fn fall_silent(&self) {
        self.shared.silent.send_replace(true);
    }

    /// All that was held back gets through.
    pub fn speak(&self) {
        self.shared.silent.send_replace(false);
    }
}

impl Shared {
    /// Whether the connection that carries these bytes breaks now, and how.
    fn judge(&self, line: &Line, bytes: &[u8]) -> Option<Break> {
        let rows = contains(bytes, ROWS) && !line.appends.swap(true, Ordering::SeqCst);
        let commit = contains(bytes, COMMIT) && line.appends.swap(false, Ordering::SeqCst);
        let (at, every) = (*self.breaks.lock().expect("nobody panics with it"))?;
        let here = if at == Break::AmidRows { rows } else { commit };
        if !here || !(self.seen.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(every) {
            return None;
        }
        self.broken.fetch_add(1, Ordering::SeqCst);
        Some(at)
    }

    async fn until_it_speaks(&self) {
        let _ = self.silent.subscribe().wait_for(|silent| !silent).await;
    }
}

async fn carry(shared: Arc<Shared>, client: TcpStream) {
    shared.until_it_speaks().await;
    let Ok(server) = TcpStream::connect(shared.upstream).await else { return };
    let line = Line {
        appends: AtomicBool::new(false),
        mute: AtomicBool::new(false),
        cut: watch::Sender::new(false),
    };
    let mut cut = line.cut.subscribe();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = ask(&shared, &line, from_client, to_server) => {}
        () = answer(&shared, &line, from_server, to_client) => {}
        _ = cut.wait_for(|cut| *cut) => {}
    }
}

/// Carries what the client sends.
async fn ask(shared: &Shared, line: &Line, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        shared.until_it_speaks().await;
        let bytes = &buffer[..length];
        let sent = match shared.judge(line, bytes) {
            None => to.write_all(bytes).await,
            Some(Break::AmidRows) => {
                let _ = to.write_all(&bytes[..length / 2]).await;
                line.cut.send_replace(true);
                return;
            }
            Some(Break::BeforeCommit) => {
                let _ = to.write_all(&bytes[..position(bytes, COMMIT).unwrap_or_default()]).await;
                line.cut.send_replace(true);
                return;
            }
            Some(Break::AfterCommit) => {
                line.mute.store(true, Ordering::SeqCst);
                let _ = to.write_all(bytes).await;
                tokio::time::sleep(COMMITTING).await;
                line.cut.send_replace(true);
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Carries what the server answers.
async fn answer(shared: &Shared, line: &Line, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        shared.until_it_speaks().await;
        if !line.mute.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    position(bytes, part).is_some()
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
