//! A server that is attacked: what it says on a bare connection, and the memory it takes.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{retention::Audit, support::Dualaudit};

/// What no answer to an attack that need not wait takes longer than.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// What the server may grow by over a whole table that has it keep nothing, in KiB: bodies have 64 MiB together (`Limits::bodies`), and
/// the rest is what allocators keep. Measured: 2 to 30 MiB; the 800 MiB that are announced by those who dawdle would show.
pub(super) const LITTLE: u64 = 96 << 10;

/// The same where answers are large: those that wait to be read have 128 MiB together (`Limits::answers`), and the 20,000 problems of one
/// request take 60 MiB until they are written. Measured: 145 MiB, from the first such request on.
pub(super) const MUCH: u64 = 256 << 10;

pub(super) struct Target {
    pub(super) audit: Audit,
    pub(super) dualaudit: Dualaudit,
    pub(super) address: SocketAddr,
    before: u64,
    growth: u64,
}

/// One answer as it came.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Said {
    /// The status, and of a problem the last part of its type; nothing where hyper answers by itself, without a body.
    pub(super) fn brief(&self) -> (u16, String) {
        if self.header("content-type") != Some("application/problem+json") {
            return (self.status, String::new());
        }
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
        let kind = problem["type"].as_str().unwrap().rsplit_once('/').unwrap().1;
        (self.status, kind.to_owned())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Target {
    /// One that has answered before, so that what that takes is there already, and may grow by so many KiB.
    pub(super) async fn new(audit: Audit, growth: u64) -> Self {
        audit.done(&["migrate"]);
        let serve = ["run", "--api-only", "--listen", "127.0.0.1:0", "--client-rate", "0"];
        let dualaudit = Dualaudit::spawn(audit.command(&serve));
        let address = dualaudit.url.strip_prefix("http://").unwrap().parse().unwrap();
        let mut target = Self { audit, dualaudit, address, before: 0, growth };
        for _ in 0..50 {
            target.still_serves("nothing").await;
        }
        target.before = target.memory("VmRSS");
        target
    }

    /// One of what the system says of its memory, in KiB.
    pub(super) fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.dualaudit.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }

    /// It answers a plain request, at once, and has not grown.
    pub(super) async fn still_serves(&self, after: &str) {
        let asked = Instant::now();
        let answer = reqwest::get(format!("{}/api/v1/executions?limit=1", self.dualaudit.url)).await;
        assert_eq!(answer.unwrap().status(), 200, "after {after}");
        assert!(asked.elapsed() < SOON, "{:?} after {after}", asked.elapsed());
        if self.before > 0 {
            self.has_not_grown("VmRSS", after);
        }
    }

    /// By one of these measures: `VmHWM` is the most that it ever was.
    fn has_not_grown(&self, what: &str, after: &str) {
        let (before, now) = (self.before, self.memory(what));
        assert!(now < before + self.growth, "{what} was {before} KiB, and is {now} after {after}");
    }

    /// It never grew, does not panic, and its log verifies.
    pub(super) fn is_unharmed(&self) {
        println!(
            "{} KiB at first, at most {}, now {}",
            self.before,
            self.memory("VmHWM"),
            self.memory("VmRSS")
        );
        self.has_not_grown("VmHWM", "all of it");
        let log = self.dualaudit.log();
        assert!(!log.iter().any(|line| line.contains("panicked") || line.contains("ERROR")), "{log:#?}");
        self.audit.done(&["verify"]);
    }

    /// What is said to these bytes, until the connection is closed.
    pub(super) async fn exchange(&self, sent: &[u8]) -> Vec<Said> {
        let told = self.told(sent, SOON).await;
        answers(&told)
    }

    /// The bytes that come back until the connection is closed, which is a failure if it takes longer.
    pub(super) async fn told(&self, sent: &[u8], within: Duration) -> Vec<u8> {
        let (mut from, mut to) = TcpStream::connect(self.address).await.unwrap().into_split();
        let sent = sent.to_vec();
        // Beside: who is refused early need not take all of it.
        let sending = tokio::spawn(async move {
            let _ = to.write_all(&sent).await;
            to
        });
        let mut told = Vec::new();
        let reading = async {
            let mut part = vec![0; 64 << 10];
            loop {
                match from.read(&mut part).await {
                    Ok(0) => break,
                    Ok(length) => told.extend_from_slice(&part[..length]),
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let ended = tokio::time::timeout(within, reading).await;
        sending.abort();
        assert!(ended.is_ok(), "open after {within:?}: {:?}", String::from_utf8_lossy(&told));
        told
    }
}

/// The answers over HTTP/1.1 in these bytes, interim ones among them.
pub(super) fn answers(mut told: &[u8]) -> Vec<Said> {
    let mut answers = Vec::new();
    while let Some(end) = told.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let head = String::from_utf8(told[..end].to_vec()).unwrap();
        assert!(head.starts_with("HTTP/1."), "{head}");
        let status: u16 = head[9..12].parse().unwrap();
        let mut said = Said { status, head, body: Vec::new() };
        told = &told[end + 4..];
        let bodiless = (100..200).contains(&status) || status == 304;
        if said.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = told.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
                let length = usize::from_str_radix(std::str::from_utf8(&told[..line]).unwrap(), 16).unwrap();
                told = &told[line + 2..];
                said.body.extend_from_slice(&told[..length]);
                told = &told[length + 2..];
                if length == 0 {
                    break;
                }
            }
        } else if !bodiless {
            let length = said.header("content-length").map_or(0, |length| length.parse().unwrap());
            said.body = told[..length].to_vec();
            told = &told[length..];
        }
        answers.push(said);
    }
    assert!(told.is_empty(), "{:?}", String::from_utf8_lossy(told));
    answers
}
