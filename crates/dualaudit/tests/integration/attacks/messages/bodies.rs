//! Where bodies end, and what they are said to be.

use std::io::Read as _;

use super::{EXECUTIONS, Row, answered, closed, get, no_http, post, row, with_length};
use crate::support::record;

/// A whole request that records something, to be hidden in another.
fn hidden() -> String {
    with_length(EXECUTIONS, &record("smuggled").to_string())
}

pub(super) fn smuggling() -> Vec<Row> {
    let (hidden, one) = (hidden(), record("smuggled").to_string());
    let in_chunks = |header: &str, body: &str| post(EXECUTIONS, &format!("{header}\r\n"), body);
    let chunked = |body: &str| in_chunks("transfer-encoding: chunked", body);
    let chunk = format!("{:x}\r\n{one}\r\n0\r\n\r\n", one.len());
    let mut rows = vec![
        // By RFC 9112, section 6.1, chunks count, and nothing behind is read.
        closed(
            "a length and chunks",
            in_chunks(
                &format!("content-length: {}\r\ntransfer-encoding: chunked", hidden.len() + 5),
                &format!("0\r\n\r\n{hidden}"),
            ),
            (400, "invalid-json"),
        ),
        closed(
            "chunks and a length",
            in_chunks("transfer-encoding: chunked\r\ncontent-length: 3", &format!("0\r\n\r\n{hidden}")),
            (400, "invalid-json"),
        ),
        no_http(
            "two lengths",
            post(EXECUTIONS, &format!("content-length: 0\r\ncontent-length: {}\r\n", hidden.len()), &hidden),
        ),
        no_http(
            "two lengths in one",
            post(EXECUTIONS, &format!("content-length: 0, {}\r\n", hidden.len()), &hidden),
        ),
        answered(
            "one length twice",
            post(EXECUTIONS, "content-length: 2\r\ncontent-length: 2\r\n", "{}"),
            (422, "invalid-record"),
        ),
        closed(
            "an encoding and chunks",
            in_chunks("transfer-encoding: gzip, chunked", &chunk),
            (400, "malformed-request"),
        ),
        closed(
            "chunks twice",
            in_chunks("transfer-encoding: chunked\r\ntransfer-encoding: chunked", &chunk),
            (400, "malformed-request"),
        ),
        no_http("chunks before HTTP/1.1", chunked(&chunk).replace("HTTP/1.1", "HTTP/1.0")),
        row(
            "a body of a question",
            get("/healthz", &format!("content-length: {}\r\n", hidden.len())) + &hidden,
            &[(200, "")],
            true,
        ),
        row(
            "a body of a list",
            get(EXECUTIONS, &format!("content-length: {}\r\n", hidden.len())) + &hidden,
            &[(200, "")],
            true,
        ),
        row(
            "a body of a method that there is not",
            with_length(EXECUTIONS, &hidden).replace("POST", "PUT").replacen("PUT", "DELETE", 1),
            &[(405, "method-not-allowed")],
            true,
        ),
        row(
            "chunks of a question",
            get("/healthz", "transfer-encoding: chunked\r\n")
                + &format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()),
            &[(200, "")],
            true,
        ),
        answered(
            "an upgrade to HTTP/2",
            get(
                "/healthz",
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
            ),
            (200, ""),
        ),
        answered(
            "an upgrade to a socket",
            get(
                "/api/v1/watch?limit=1",
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAA\r\nsec-websocket-version: 13\r\n",
            ),
            (400, "invalid-parameter"),
        ),
        row(
            "what is to be waited for",
            post(EXECUTIONS, "content-length: 2\r\nexpect: 100-continue\r\n", "{}"),
            &[(100, ""), (422, "invalid-record")],
            true,
        ),
    ];
    for (name, length) in [
        ("a length with a plus", "+5"),
        ("a length below nothing", "-1"),
        ("a length in hexadecimal", "0x5"),
        ("a length with a tab", "1\t2"),
        ("a length with a space", "1 2"),
        ("a length beyond 64 bits", "99999999999999999999"),
        ("a length that is empty", ""),
        ("a length with a point", "5.0"),
        ("a length in other digits", "\u{665}"),
    ] {
        rows.push(no_http(name, post(EXECUTIONS, &format!("content-length: {length}\r\n"), "hello")));
    }
    for (name, coding) in [
        ("chunks that are no last encoding", "transfer-encoding: chunked, identity"),
        ("an encoding like chunks", "transfer-encoding: xchunked"),
        ("no encoding", "transfer-encoding: identity"),
        ("an encoding with a control", "transfer-encoding: \x0bchunked"),
        ("a space before the colon", "transfer-encoding : chunked"),
        ("an encoding in quotes", "transfer-encoding: \"chunked\""),
    ] {
        rows.push(no_http(name, in_chunks(coding, &format!("0\r\n\r\n{hidden}"))));
    }
    for (name, body) in [
        ("a chunk beyond 64 bits", "FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("a chunk below nothing", "-2\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("a chunk with a prefix", "0x2\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("a chunk that is shorter than it says", format!("2\r\n{{}}x\r\n0\r\n\r\n{hidden}")),
        ("a chunk of bare lines", format!("2\n{{}}\n0\n\n{hidden}")),
        ("an extension that does not end", format!("2;{}\r\n{{}}\r\n0\r\n\r\n{hidden}", "x".repeat(1 << 20))),
        ("many extensions", format!("{}0\r\n\r\n", "1;xxxxxxxxxxxxxxxx\r\n{\r\n".repeat(2_000))),
        ("trailers that do not end", format!("2\r\n{{}}\r\n0\r\n{}", "x: y\r\n".repeat(100_000))),
        ("a trailer of 1 MiB", format!("2\r\n{{}}\r\n0\r\nx: {}\r\n\r\n", "y".repeat(1 << 20))),
    ] {
        rows.push(closed(name, chunked(&body), (400, "malformed-request")));
    }
    rows
}

pub(super) fn bodies() -> Vec<Row> {
    let too_many = (8 << 20) + 1;
    let objects = [
        format!("{EXECUTIONS}/x/reviews"),
        format!("{EXECUTIONS}/x/window"),
        "/api/v1/holds".to_owned(),
        "/api/v1/holds/http/0/release".to_owned(),
    ];
    let mut rows = vec![
        closed(
            "a body that is announced too long",
            post(EXECUTIONS, &format!("content-length: {too_many}\r\n"), ""),
            (413, "payload-too-large"),
        ),
        closed(
            "one that waits to be asked for",
            post(EXECUTIONS, &format!("content-length: {too_many}\r\nexpect: 100-continue\r\n"), ""),
            (413, "payload-too-large"),
        ),
        closed(
            "one beyond every number",
            post(EXECUTIONS, "content-length: 18446744073709551613\r\n", ""),
            (413, "payload-too-large"),
        ),
        closed(
            "chunks that are too long",
            post(
                EXECUTIONS,
                "transfer-encoding: chunked\r\n",
                &format!("{:x}\r\n{}\r\n", 9 << 20, " ".repeat(9 << 20)),
            ),
            (413, "payload-too-large"),
        ),
    ];
    let bomb = zstd::encode_all(std::io::repeat(b' ').take(256 << 20), 3).unwrap();
    for path in objects.iter().map(String::as_str).chain([EXECUTIONS]) {
        for encoding in ["gzip", "zstd", "deflate", "br", "gzip, gzip"] {
            let mut sent = post(
                path,
                &format!("content-encoding: {encoding}\r\ncontent-length: {}\r\n", bomb.len()),
                "",
            )
            .into_bytes();
            sent.extend_from_slice(&bomb);
            rows.push(row("256 MiB in few bytes", sent, &[(415, "unsupported-media-type")], None));
        }
        for type_ in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            "application/json; charset=utf-7",
            "text/html",
            "",
        ] {
            let sent = with_length(path, "{}").replace("application/json", type_);
            rows.push(answered("a body of another type", sent, (415, "unsupported-media-type")));
        }
        rows.push(answered("a byte order mark", with_length(path, "\u{feff}{}"), (400, "invalid-json")));
        let mut utf_16 = post(path, "content-length: 4\r\n", "").into_bytes();
        utf_16.extend_from_slice(b"{\0}\0");
        rows.push(answered("UTF-16", utf_16, (400, "invalid-json")));
        rows.push(answered("nothing", with_length(path, ""), (400, "invalid-json")));
    }
    for path in &objects {
        rows.push(closed(
            "an object that is announced too long",
            post(path, "content-length: 1048577\r\n", ""),
            (413, "payload-too-large"),
        ));
        rows.push(closed(
            "an object in chunks that are too long",
            post(
                path,
                "transfer-encoding: chunked\r\n",
                &format!("{:x}\r\n{}\r\n", 2 << 20, " ".repeat(2 << 20)),
            ),
            (413, "payload-too-large"),
        ));
    }
    rows
}
