//! Lines and headers of requests.

use std::fmt::Write as _;

use super::{EXECUTIONS, HOST, Row, answered, closed, get, no_http, post, with_length};

pub(super) fn headers() -> Vec<Row> {
    let many = |count: usize| {
        (0..count).fold(String::new(), |mut all, n| {
            let _ = write!(all, "x-{n}: 1\r\n");
            all
        })
    };
    vec![
        closed("a header of 70 KiB", get("/healthz", &format!("x: {}\r\n", "a".repeat(70 << 10))), (431, "")),
        closed(
            "a header that does not end",
            format!("GET /healthz HTTP/1.1\r\n{HOST}x: {}", "a".repeat(1 << 20)),
            (431, ""),
        ),
        closed("200 headers", get("/healthz", &many(200)), (431, "")),
        closed(
            "headers that do not end",
            format!("GET /healthz HTTP/1.1\r\n{HOST}{}", many(10_000)),
            (431, ""),
        ),
        answered("90 headers", get("/healthz", &many(90)), (200, "")),
        no_http("NUL in a header", get("/healthz", "x: a\0b\r\n")),
        no_http("CR in a header", get("/healthz", "x: a\rb: c\r\n")),
        no_http("a header folded over lines", get("/healthz", "x: a\r\n b\r\n")),
        no_http("a header without a colon", get("/healthz", "nonsense\r\n")),
        no_http("a header without a name", get("/healthz", ": x\r\n")),
        no_http("a space in a name", get("/healthz", "x y: a\r\n")),
        no_http("a space behind a name", get("/healthz", "x : a\r\n")),
        no_http("a name that is no token", get("/healthz", "x@y: a\r\n")),
        no_http("a name beyond ASCII", get("/healthz", "h\u{f6}st: a\r\n")),
        closed("two hosts", get("/healthz", "host: localhost\r\n"), (400, "malformed-request")),
        closed("two different hosts", get("/healthz", "host: evil.example\r\n"), (400, "malformed-request")),
        closed("no host", "GET /healthz HTTP/1.1\r\n\r\n", (400, "malformed-request")),
        closed("no host before HTTP/1.1", "GET /healthz HTTP/1.0\r\n\r\n", (200, "")),
        closed("an empty host", "GET /healthz HTTP/1.1\r\nhost: \r\n\r\n", (400, "malformed-request")),
        closed(
            "a host with a space",
            "GET /healthz HTTP/1.1\r\nhost: a b\r\n\r\n",
            (400, "malformed-request"),
        ),
        closed(
            "a host with a path",
            "GET /healthz HTTP/1.1\r\nhost: localhost/x\r\n\r\n",
            (400, "malformed-request"),
        ),
        closed(
            "a host with a user",
            "GET /healthz HTTP/1.1\r\nhost: a@localhost\r\n\r\n",
            (400, "malformed-request"),
        ),
        answered(
            "a name that was made to lead here",
            "GET /healthz HTTP/1.1\r\nhost: evil.example\r\n\r\n",
            (403, "foreign-site"),
        ),
        answered(
            "a page of another site",
            get(EXECUTIONS, "origin: http://evil.example\r\n"),
            (403, "foreign-site"),
        ),
        answered("a page of nowhere", get(EXECUTIONS, "origin: null\r\n"), (403, "foreign-site")),
        answered(
            "a form of another site",
            post(
                &format!("{EXECUTIONS}/x/reviews"),
                "origin: http://evil.example\r\ncontent-length: 2\r\n",
                "{}",
            ),
            (403, "foreign-site"),
        ),
        answered(
            "a picture of another site",
            get("/api/v1/export?actor=smuggled", "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n"),
            (403, "foreign-site"),
        ),
        answered(
            "other names in other headers",
            get(
                "/healthz",
                "x-forwarded-host: evil.example\r\nforwarded: host=evil.example\r\nx-original-url: /metrics\r\n",
            ),
            (200, ""),
        ),
        answered(
            "several authorizations where nobody is asked",
            get(EXECUTIONS, "authorization: Bearer a\r\nauthorization: Bearer b\r\n"),
            (200, ""),
        ),
        answered(
            "5,000 encodings",
            get(EXECUTIONS, &format!("accept-encoding: {}\r\n", "gzip;q=0.001,".repeat(4_500))),
            (200, ""),
        ),
        answered(
            "no encoding at all",
            get(EXECUTIONS, "accept-encoding: *;q=0, identity;q=0\r\n"),
            (406, ""),
        ),
        answered(
            "1,000 ranges",
            get(EXECUTIONS, &format!("range: bytes={}\r\n", "0-,".repeat(1000))),
            (200, ""),
        ),
        answered(
            "20,000 tags",
            get("/openapi.json", &format!("if-none-match: {}\r\n", "\"\",".repeat(15_000))),
            (200, ""),
        ),
        answered(
            "a revision that is none",
            with_length(&format!("{EXECUTIONS}?amend=true"), "{}")
                .replace(HOST, &format!("{HOST}if-match: {}\r\n", "9".repeat(20_000))),
            (400, "invalid-parameter"),
        ),
        answered(
            "a position that is none",
            get("/api/v1/watch", &format!("last-event-id: {}\r\n", "A".repeat(20_000))),
            (400, "invalid-parameter"),
        ),
    ]
}

pub(super) fn request_lines() -> Vec<Row> {
    let other = |line: &str| format!("{line}\r\n{HOST}\r\n");
    vec![
        answered("a whole URL", other("GET http://localhost/healthz HTTP/1.1"), (200, "")),
        answered(
            "a whole URL of another host",
            other("GET http://evil.example/healthz HTTP/1.1"),
            (403, "foreign-site"),
        ),
        answered("a host alone", other("GET localhost:80 HTTP/1.1"), (404, "no-such-path")),
        answered("a tunnel", other("CONNECT localhost:22 HTTP/1.1"), (404, "no-such-path")),
        answered("a tunnel elsewhere", other("CONNECT evil.example:22 HTTP/1.1"), (403, "foreign-site")),
        answered("TRACE", other("TRACE /api/v1/executions HTTP/1.1"), (405, "method-not-allowed")),
        answered("OPTIONS of all", other("OPTIONS * HTTP/1.1"), (404, "no-such-path")),
        answered(
            "OPTIONS of a call",
            other("OPTIONS /api/v1/executions HTTP/1.1"),
            (405, "method-not-allowed"),
        ),
        answered(
            "a method that there is not",
            other("BREW /api/v1/executions HTTP/1.1"),
            (405, "method-not-allowed"),
        ),
        answered(
            "a method in small letters",
            other("get /api/v1/executions HTTP/1.1"),
            (405, "method-not-allowed"),
        ),
        no_http("a method that is no token", other("G(T /healthz HTTP/1.1")),
        no_http("HTTP/0.9", "GET /healthz\r\n\r\n"),
        no_http("HTTP/1.2", other("GET /healthz HTTP/1.2")),
        no_http("HTTP/2.0 in a line", other("GET /healthz HTTP/2.0")),
        no_http("HTTP/3.0", other("GET /healthz HTTP/3.0")),
        no_http("no path", other("GET  HTTP/1.1")),
        no_http("a space in a path", other("GET /health z HTTP/1.1")),
        no_http("a tab in a path", other("GET /health\tz HTTP/1.1")),
        no_http("NUL in a path", other("GET /health\0z HTTP/1.1")),
        no_http("what is no HTTP at all", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n"),
        answered(
            "a path of 60,000 bytes",
            get(&format!("/{}", "a".repeat(60_000)), ""),
            (404, "no-such-path"),
        ),
        closed("a path of 100,000 bytes", get(&format!("/{}", "a".repeat(100_000)), ""), (431, "")),
        answered(
            "20,000 parameters",
            get(
                &format!(
                    "{EXECUTIONS}?{}",
                    (0..11_000).fold(String::new(), |mut all, n| {
                        let _ = write!(all, "{n:x}&");
                        all
                    })
                ),
                "",
            ),
            (400, "invalid-parameter"),
        ),
        answered(
            "a parameter 10,000 times",
            get(&format!("{EXECUTIONS}?{}", "log=a&".repeat(10_000)), ""),
            (400, "invalid-parameter"),
        ),
    ]
}

pub(super) fn paths() -> Vec<Row> {
    let mut rows = Vec::new();
    for (path, answer) in [
        ("//api/v1/executions", (404, "no-such-path")),
        ("/api//v1/executions", (404, "no-such-path")),
        ("/./healthz", (404, "no-such-path")),
        ("/docs/../metrics", (404, "no-such-path")),
        ("/docs/..", (404, "no-such-path")),
        ("/docs/%2e%2e", (404, "no-such-path")),
        ("/docs/%2e%2e%2fmetrics", (404, "no-such-path")),
        ("/docs/..%2f..%2f..%2fetc%2fpasswd", (404, "no-such-path")),
        ("/docs/..%5c..%5cetc%5cpasswd", (404, "no-such-path")),
        ("/docs/%252e%252e%252fmetrics", (404, "no-such-path")),
        ("/docs/begin.js%00.css", (404, "no-such-path")),
        ("/docs/begin.js;x", (404, "no-such-path")),
        ("/docs/begin.js/", (404, "no-such-path")),
        ("/docs//etc/passwd", (404, "no-such-path")),
        ("/docs/%c0%ae%c0%ae%c0%afetc", (400, "malformed-request")),
        ("/healthz;x=1", (404, "no-such-path")),
        ("/healthz/", (404, "no-such-path")),
        ("/HEALTHZ", (404, "no-such-path")),
        ("/healthz%00", (404, "no-such-path")),
        ("/healthz%zz", (404, "no-such-path")),
        ("/api/v1/executions/%00", (404, "no-such-execution")),
        ("/api/v1/executions/a%00b/proof", (404, "no-such-execution")),
        ("/api/v1/executions/a%2fb", (404, "no-such-execution")),
        ("/api/v1/executions/..%2fexecutions", (404, "no-such-execution")),
        ("/api/v1/executions/%zz", (404, "no-such-execution")),
        ("/api/v1/executions/%", (404, "no-such-execution")),
        ("/api/v1/executions/%c0%af", (400, "malformed-request")),
        ("/api/v1/executions/%ed%a0%80", (400, "malformed-request")),
        ("/api/v1/executions/a/source/..", (404, "no-such-path")),
        ("/api/v1/log/http/tile/../checkpoint", (404, "no-such-tile")),
        ("/api/v1/log/http/tile/0/../../../../etc/passwd", (404, "no-such-tile")),
        ("/api/v1/log/http/tile/..%2f..%2fetc%2fpasswd", (404, "no-such-tile")),
        ("/api/v1/log/http/tile/0/000%00", (404, "no-such-tile")),
        ("/api/v1/log/http/tile/%2f0/000", (404, "no-such-tile")),
        ("/api/v1/log/http/tile/0//000", (404, "no-such-tile")),
        ("/api/v1/log/http/tile/%c0%af", (400, "malformed-request")),
        ("/api/v1/log/..%2fhttp/tile/0/000", (404, "no-such-log")),
        ("/api/v1/log/%00/checkpoint", (404, "no-such-log")),
        ("/api/v1/gaps/http/18446744073709551616", (400, "malformed-request")),
        ("/api/v1/gaps/http/-1", (400, "malformed-request")),
        ("/api/v1/gaps/http/0x0", (400, "malformed-request")),
        ("/api/v1/holds/http/18446744073709551615", (404, "no-such-entry")),
        ("/api/v1/export/..%2f..%2fetc%2fpasswd", (404, "no-such-export")),
    ] {
        rows.push(answered(path, get(path, ""), answer));
    }
    rows
}
