//! Clients that make the server wait: each row takes as long as the server is patient, so all run at once.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use super::target::{LITTLE, Target, answers};
use crate::{producer::post, retention::Audit, support::record};

/// How long the server waits for headers, for a question, for whoever is to read, and for a request as a whole.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a row may take more.
const MORE: Duration = Duration::from_secs(15);

/// What the server may grow by while 700 MiB of answers are asked for and not read, in KiB: 128 MiB wait, and others are made and refused
/// at once.
const UNREAD: u64 = 512 << 10;

const HEAD: &str = "HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What somebody does who sends a beginning and then a byte a second: the answers until the connection is closed, and when
/// that was.
async fn drips(target: &Target, begin: &[u8], byte: Option<u8>) -> (Vec<u8>, Duration) {
    let asked = Instant::now();
    let (mut from, mut to) = TcpStream::connect(target.address).await.unwrap().into_split();
    to.write_all(begin).await.unwrap();
    let dripping = tokio::spawn(async move {
        while let Some(byte) = byte {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if to.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        to
    });
    let (mut told, mut part) = (Vec::new(), vec![0; 64 << 10]);
    let reading = async {
        while let Ok(length @ 1..) = from.read(&mut part).await {
            told.extend_from_slice(&part[..length]);
        }
    };
    let ended = tokio::time::timeout(PATIENCE + MORE, reading).await;
    dripping.abort();
    assert!(ended.is_ok(), "still open: {:?}", String::from_utf8_lossy(begin));
    (told, asked.elapsed())
}

/// Let go without an answer: nobody knows to what.
async fn is_let_go(target: &Target, begin: &[u8], byte: Option<u8>) {
    let (told, took) = drips(target, begin, byte).await;
    let told = if begin.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM") { &[] } else { &told[..] };
    assert!(told.is_empty() && took > PATIENCE / 2, "{took:?} {:?}", String::from_utf8_lossy(told));
}

/// Answered that it took too long.
async fn is_too_slow(target: &Target, path: &str, length: &str, begin: &str, byte: u8) {
    let begin = format!("POST {path} {HEAD}{length}\r\n\r\n{begin}");
    let (told, took) = drips(target, begin.as_bytes(), Some(byte)).await;
    let briefs: Vec<_> = answers(&told).iter().map(super::target::Said::brief).collect();
    assert_eq!(briefs, [(503, "timeout".to_owned())], "{path} {length}");
    assert!(took > PATIENCE / 2, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dawdles_is_let_go_keeps_nobody_waiting_and_fills_nothing() {
    let target = &Target::new(Audit::in_a_file(), LITTLE).await;
    let (status, _) = post(&target.dualaudit, &record("plain").to_string()).await;
    assert_eq!(status, 201);
    let executions = "/api/v1/executions";
    let unfinished_headers = [PREFACE, b"\0\0\x01\x01\x01\0\0\0\x01\x82"].concat();
    let let_go = join_all([
        is_let_go(target, b"", None),
        is_let_go(target, b"P", None),
        is_let_go(target, b"PRI * HTTP/2.0\r\n", None),
        is_let_go(target, b"GET /healthz HTTP/1.1\r\nx: ", Some(b'a')),
        is_let_go(target, b"GET /", Some(b'a')),
        is_let_go(target, b"", Some(b'G')),
        is_let_go(target, PREFACE, None),
        is_let_go(target, &unfinished_headers, None),
    ]);
    let too_slow = join_all([
        is_too_slow(target, executions, "content-length: 1000", "{", b' '),
        is_too_slow(target, executions, "transfer-encoding: chunked", "fff\r\n{", b' '),
        is_too_slow(target, executions, "transfer-encoding: chunked", "2;", b'x'),
        is_too_slow(target, "/api/v1/executions/plain/reviews", "content-length: 1000", "{", b' '),
        is_too_slow(target, "/api/v1/holds", "content-length: 1000000", "{", b' '),
    ]);
    // Far more than bodies may take together is announced, and never comes.
    let announced = async {
        let begin =
            format!("POST {executions} {HEAD}content-length: {}\r\n\r\n{}", 8 << 20, " ".repeat(100_000));
        let all = join_all((0..100).map(|_| drips(target, begin.as_bytes(), None))).await;
        for (told, _) in all {
            let told = answers(&told);
            assert!(
                told.len() <= 1 && told.iter().all(|said| said.brief() == (503, "timeout".to_owned())),
                "{told:?}"
            );
        }
    };
    // Meanwhile everybody else is answered.
    let meanwhile = async {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            target.still_serves("others dawdle").await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::join!(let_go, too_slow, announced, meanwhile);
    assert_eq!(target.dualaudit.recorded().await.len(), 1);
    assert_eq!(post(&target.dualaudit, &record("after").to_string()).await.0, 201);
    target.is_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_fill_nothing_and_are_given_up() {
    let target = &Target::new(Audit::in_a_file(), UNREAD).await;
    // A page of some 6 MiB.
    let large = |n: usize| {
        let mut record = record(&format!("r{n}"));
        record["error_message"] = "x".repeat(1_000).into();
        record["labels"] = (0..30).map(|n| (format!("label-{n}"), "y".repeat(200))).collect();
        record
    };
    for part in 0..4 {
        let records: Vec<_> = (250 * part..250 * (part + 1)).map(large).collect();
        assert_eq!(post(&target.dualaudit, &serde_json::json!(records).to_string()).await.0, 201);
    }
    let page = reqwest::get(format!("{}/api/v1/executions?limit=1000", target.dualaudit.url)).await.unwrap();
    let page = page.bytes().await.unwrap().len();
    assert!(page > 4 << 20, "{page} bytes");
    let ask = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(target.address).await.unwrap();
        stream.write_all(format!("GET /api/v1/executions?limit=1000 {HEAD}\r\n").as_bytes()).await.unwrap();
        stream
    };
    // Five times what answers may take together. While pages are made for them, others may be told that it is too much.
    let begun = Instant::now();
    let unread = join_all((0..120).map(|_| ask())).await;
    let status = async |limit: u32| {
        let url = format!("{}/api/v1/executions?limit={limit}", target.dualaudit.url);
        reqwest::get(url).await.unwrap().status().as_u16()
    };
    while status(1).await != 200 {
        assert!(begun.elapsed() < PATIENCE * 2, "nobody else is answered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Until nobody waits any more.
    while status(1000).await != 200 {
        target.still_serves("answers are not read").await;
        assert!(begun.elapsed() < PATIENCE * 3, "what nobody reads is kept");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (mut refused, mut given_up) = (0, 0);
    for mut stream in unread {
        let mut read = Vec::new();
        let ended = tokio::time::timeout(PATIENCE + MORE, stream.read_to_end(&mut read)).await;
        assert!(ended.is_ok() && read.len() < page, "{} of {page} bytes", read.len());
        let counted = if read.starts_with(b"HTTP/1.1 503 ") { &mut refused } else { &mut given_up };
        *counted += 1;
    }
    assert!(refused > 0 && given_up > 0, "{refused} were refused, and {given_up} given up");
    target.is_unharmed();
}
