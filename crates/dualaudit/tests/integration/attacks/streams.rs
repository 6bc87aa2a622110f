//! Attacks by frames of HTTP/2 (RFC 9113), spoken without TLS by those who know that the server does.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::target::{LITTLE, SOON, Target};
use crate::{retention::Audit, support::record};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What ends a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// An answer on stream 1 whose body holds this.
    Body(&'static str),
    /// An answer on stream 1 that is h2's own, of this status as Huffman's code has it (RFC 7541, appendix B).
    Bare(&'static [u8]),
    /// The stream is given up for one of these reasons, and the connection goes on.
    Reset(&'static [u32]),
    /// The connection is given up for one of these reasons.
    GoAway(&'static [u32]),
    /// Either, or its end without a word.
    Refused,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field that is not indexed, in plain bytes (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// A string in plain bytes: a length of seven bits, and what is more of it (RFC 7541, section 5).
fn text(text: &str) -> Vec<u8> {
    [integer(text.len(), 7, 0), text.as_bytes().to_vec()].concat()
}

fn integer(number: usize, bits: u32, begin: u8) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if number < most {
        return vec![begin | u8::try_from(number).unwrap()];
    }
    let (mut bytes, mut rest) = (vec![begin | u8::try_from(most).unwrap()], number - most);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "localhost")];
const POST: [(&str, &str); 5] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/api/v1/executions"),
    (":authority", "localhost"),
    ("content-type", "application/json"),
];

/// A question with more fields.
fn asked(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&[&GET[..], more].concat()))
}

/// A question of these fields and no others.
fn only(of: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(of))
}

fn rows() -> Vec<(&'static str, Vec<u8>, Expected)> {
    use Expected::{Bare, Body, GoAway, Refused, Reset};
    // h2 gives up the stream, or the connection where it cannot read on.
    const MALFORMED: Expected = Reset(&[PROTOCOL_ERROR]);
    const UNREADABLE: Expected = GoAway(&[PROTOCOL_ERROR]);
    let hidden = record("smuggled").to_string();
    let large = "a".repeat(16_000);
    // One field that is put into the table, and then named again and again by its number there.
    let table = [vec![0x40], text("x"), text(&"y".repeat(3_900))].concat();
    let bomb = [fields(&GET), table, vec![0xbe; 8_000]].concat();
    vec![
        ("a plain question", asked(&[]), Body("ok\n")),
        (
            "another host",
            only(&[GET[0], GET[1], GET[2], (":authority", "evil.example")]),
            Body("foreign-site"),
        ),
        ("another host beside", asked(&[("host", "evil.example")]), Body("foreign-site")),
        ("a page of another site", asked(&[("origin", "http://evil.example")]), Body("foreign-site")),
        ("connection", asked(&[("connection", "close")]), MALFORMED),
        ("keep-alive", asked(&[("keep-alive", "1")]), MALFORMED),
        ("an upgrade", asked(&[("upgrade", "h2c")]), MALFORMED),
        ("chunks", asked(&[("transfer-encoding", "chunked")]), MALFORMED),
        ("te other than trailers", asked(&[("te", "gzip")]), MALFORMED),
        ("a name in capitals", asked(&[("X-Y", "z")]), UNREADABLE),
        ("a name with a colon", asked(&[("x:y", "z")]), UNREADABLE),
        ("a line end in a value", asked(&[("x", "y\r\nz: 1")]), UNREADABLE),
        ("NUL in a value", asked(&[("x", "y\0z")]), UNREADABLE),
        (
            "a line end in a path",
            only(&[GET[0], GET[1], (":path", "/healthz HTTP/1.1\r\nx: "), GET[3]]),
            MALFORMED,
        ),
        ("no path", only(&[GET[0], GET[1], GET[3]]), MALFORMED),
        ("an empty path", only(&[GET[0], GET[1], (":path", ""), GET[3]]), MALFORMED),
        ("no method", only(&GET[1..]), MALFORMED),
        ("two methods", asked(&[(":method", "POST")]), MALFORMED),
        ("an unknown part of a line", asked(&[(":proto", "x")]), UNREADABLE),
        ("a part of an answer's line", asked(&[(":status", "200")]), MALFORMED),
        ("a part of the line behind headers", only(&[GET[0], GET[1], ("x", "y"), GET[2], GET[3]]), MALFORMED),
        ("a length that is none", asked(&[("content-length", "x")]), MALFORMED),
        (
            "a body that is longer than it says",
            [
                frame(HEADERS, END_HEADERS, 1, &fields(&[&POST[..], &[("content-length", "2")]].concat())),
                frame(DATA, END_STREAM, 1, hidden.as_bytes()),
            ]
            .concat(),
            MALFORMED,
        ),
        (
            "a body that is shorter than it says",
            [
                frame(HEADERS, END_HEADERS, 1, &fields(&[&POST[..], &[("content-length", "999")]].concat())),
                frame(DATA, END_STREAM, 1, hidden.as_bytes()),
            ]
            .concat(),
            MALFORMED,
        ),
        (
            "a compressed body",
            [
                frame(
                    HEADERS,
                    END_HEADERS,
                    1,
                    &fields(&[&POST[..], &[("content-encoding", "zstd")]].concat()),
                ),
                frame(DATA, END_STREAM, 1, &[0; 100]),
            ]
            .concat(),
            Body("unsupported-media-type"),
        ),
        (
            "headers of 80 KiB",
            [
                frame(
                    HEADERS,
                    END_STREAM,
                    1,
                    &fields(&[&GET[..], &[("x", large.as_str())]].concat())[..16_000],
                ),
                frame(CONTINUATION, 0, 1, &[fields(&GET), field("x", &large)].concat()[16_000..]),
                frame(CONTINUATION, 0, 1, &field("x", &large)),
                frame(CONTINUATION, 0, 1, &field("x", &large)),
                frame(CONTINUATION, 0, 1, &field("x", &large)),
                frame(CONTINUATION, END_HEADERS, 1, &field("x", &large)),
            ]
            .concat(),
            Bare(&[0x69, 0x90, 0xff]),
        ),
        ("headers that become 30 MiB", frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb), Refused),
        (
            "headers that do not end",
            [
                frame(HEADERS, END_STREAM, 1, &fields(&GET)),
                frame(CONTINUATION, 0, 1, &field("x", "y")).repeat(100_000),
            ]
            .concat(),
            GoAway(&[PROTOCOL_ERROR, ENHANCE_YOUR_CALM, COMPRESSION_ERROR]),
        ),
        (
            "headers of nothing that do not end",
            [frame(HEADERS, END_STREAM, 1, &fields(&GET)), frame(CONTINUATION, 0, 1, &[]).repeat(100_000)]
                .concat(),
            GoAway(&[PROTOCOL_ERROR, ENHANCE_YOUR_CALM]),
        ),
        (
            "headers between headers",
            [frame(HEADERS, END_STREAM, 1, &fields(&GET)), frame(PING, 0, 0, &[0; 8])].concat(),
            GoAway(&[PROTOCOL_ERROR]),
        ),
        (
            "a field that there is not",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            UNREADABLE,
        ),
        (
            "a table of 4 GiB",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            UNREADABLE,
        ),
        (
            "50,000 requests that are taken back",
            (0..50_000u32)
                .flat_map(|n| {
                    [
                        frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &fields(&GET)),
                        frame(RST_STREAM, 0, 2 * n + 1, &8u32.to_be_bytes()),
                    ]
                    .concat()
                })
                .collect(),
            GoAway(&[ENHANCE_YOUR_CALM]),
        ),
        (
            "50,000 requests that are none",
            (0..50_000u32)
                .flat_map(|n| {
                    frame(
                        HEADERS,
                        END_HEADERS | END_STREAM,
                        2 * n + 1,
                        &fields(&[&GET[..], &[("connection", "close")]].concat()),
                    )
                })
                .collect(),
            GoAway(&[ENHANCE_YOUR_CALM]),
        ),
        (
            "300 bodies at once that do not come",
            (0..300u32).flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &fields(&POST))).collect(),
            Reset(&[REFUSED_STREAM]),
        ),
        (
            "a window beyond every window",
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes()).repeat(2),
            GoAway(&[FLOW_CONTROL_ERROR]),
        ),
        ("a window of nothing more", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), GoAway(&[PROTOCOL_ERROR])),
        (
            "more than the window has",
            [
                frame(HEADERS, END_HEADERS, 1, &fields(&POST)),
                frame(DATA, 0, 1, &[b' '; 16_384]).repeat(1_000),
            ]
            .concat(),
            Refused,
        ),
        ("a frame that is too long", frame(DATA, 0, 1, &vec![0; 1 << 20]), GoAway(&[FRAME_SIZE_ERROR])),
        ("data of no stream", frame(DATA, 0, 0, b"x"), GoAway(&[PROTOCOL_ERROR])),
        ("data of a stream that was not begun", frame(DATA, 0, 7, b"x"), GoAway(&[PROTOCOL_ERROR])),
        (
            "a promise of a client",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            GoAway(&[PROTOCOL_ERROR]),
        ),
        (
            "a stream of a server",
            frame(HEADERS, END_HEADERS | END_STREAM, 2, &fields(&GET)),
            GoAway(&[PROTOCOL_ERROR]),
        ),
        ("settings that are cut off", frame(SETTINGS, 0, 0, &[0; 5]), UNREADABLE),
        (
            "a window of 4 GiB by settings",
            frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
            GoAway(&[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]),
        ),
        (
            "100,000 settings",
            [frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).repeat(100_000), asked(&[])].concat(),
            Body("ok\n"),
        ),
        ("100,000 pings", [frame(PING, 0, 0, &[0; 8]).repeat(100_000), asked(&[])].concat(), Body("ok\n")),
        (
            "50,000 data of nothing",
            [
                frame(HEADERS, END_HEADERS, 1, &fields(&POST)),
                frame(DATA, 0, 1, &[]).repeat(50_000),
                frame(DATA, END_STREAM, 1, b"{}"),
            ]
            .concat(),
            Refused,
        ),
    ]
}

/// What comes back, until it is what is expected or nothing comes any more.
async fn comes(target: &Target, sent: Vec<u8>, expected: Expected) -> Result<(), String> {
    let (mut from, mut to) = TcpStream::connect(target.address).await.unwrap().into_split();
    let sent = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &sent].concat();
    let sending = tokio::spawn(async move {
        let _ = to.write_all(&sent).await;
        to
    });
    let mut seen = Vec::new();
    let (mut body, mut head) = (Vec::new(), [0; 9]);
    let reading = async {
        while from.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            if from.read_exact(&mut payload).await.is_err() {
                break;
            }
            let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match head[3] {
                DATA => {
                    body.extend_from_slice(&payload);
                    if let Expected::Body(part) = expected
                        && String::from_utf8_lossy(&body).contains(part)
                    {
                        return true;
                    }
                }
                HEADERS => {
                    seen.push(format!("headers {payload:?}"));
                    if let Expected::Bare(status) = expected
                        && payload.windows(status.len()).any(|part| part == status)
                    {
                        return true;
                    }
                }
                RST_STREAM => {
                    seen.push(format!("reset {}", number(0)));
                    match expected {
                        Expected::Reset(codes) if codes.contains(&number(0)) => return true,
                        Expected::Refused => return true,
                        _ => {}
                    }
                }
                GOAWAY => {
                    seen.push(format!("go away {}", number(4)));
                    match expected {
                        Expected::GoAway(codes) if codes.contains(&number(4)) => return true,
                        Expected::Refused if number(4) != 0 => return true,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        expected == Expected::Refused
    };
    let came = tokio::time::timeout(SOON, reading).await;
    sending.abort();
    match came {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("closed after {seen:?} {:?}", String::from_utf8_lossy(&body))),
        Err(_) => Err(format!("open after {seen:?} {:?}", String::from_utf8_lossy(&body))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_wrong_or_too_many_end_a_stream_or_a_connection_and_nothing_else() {
    let target = Target::new(Audit::in_a_file(), LITTLE).await;
    let mut wrong = Vec::new();
    for (name, sent, expected) in rows() {
        if let Err(why) = comes(&target, sent, expected).await {
            wrong.push(format!("{name}: {why}; expected {expected:?}"));
        }
        target.still_serves(name).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(target.dualaudit.recorded().await.is_empty());
    target.is_unharmed();
}
