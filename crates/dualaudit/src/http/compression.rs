//! Answers in fewer bytes, for those who accept that: gzip or zstd.

use tower_http::compression::{
    CompressionLayer, Predicate,
    predicate::{NotForContentType, SizeAbove},
};

/// What is smaller is sent as it is: it fits a packet anyway.
const LEAST: u64 = 1024;

/// All but what is compressed already, and what is read event by event.
pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    let worth_it = SizeAbove::new(LEAST)
        .and(NotForContentType::const_new("application/vnd.apache.parquet"))
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES);
    CompressionLayer::new().compress_when(worth_it)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use serde_json::Value;

    use crate::http::tests::{Answered, Served, record};

    async fn accepting(served: &Served, path: &str, encoding: &str) -> Answered {
        let request = Request::get(path).header("accept-encoding", encoding);
        served.send(request.body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn what_is_large_comes_in_what_is_accepted_and_is_the_same() {
        let served = Served::new().await;
        let records: Vec<_> = (0..20).map(|n| record(&format!("r{n}"))).collect();
        assert_eq!(served.post_json(&Value::Array(records)).await.status, 201);
        let plain = served.get("/api/v1/executions").await;
        assert_eq!(plain.header("vary"), "accept-encoding");
        for (accepted, encoding) in
            [("gzip", "gzip"), ("zstd", "zstd"), ("gzip, zstd", "zstd"), ("br", ""), ("", "")]
        {
            let answered = accepting(&served, "/api/v1/executions", accepted).await;
            assert_eq!(answered.header("content-encoding"), encoding, "{accepted}");
            let body = match encoding {
                "" => answered.body,
                _ => {
                    assert!(answered.body.len() < plain.body.len() / 4, "{} bytes", answered.body.len());
                    unpacked(encoding, &answered.body)
                }
            };
            assert!(body == plain.body, "{accepted}");
        }
    }

    #[tokio::test]
    async fn what_is_streamed_comes_whole() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        for format in ["jsonl", "csv"] {
            let path = format!("/api/v1/export?format={format}&workflow=restart-deployment");
            for encoding in ["gzip", "zstd"] {
                let answered = accepting(&served, &path, encoding).await;
                assert_eq!(answered.header("content-encoding"), encoding);
                let text = String::from_utf8(unpacked(encoding, &answered.body)).unwrap();
                assert!(text.contains("restart-deployment") && text.ends_with('\n'), "{text}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_small_or_compressed_already_comes_as_it_is() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        for path in ["/api/v1/executions/nobody", "/healthz", "/api/v1/export?format=parquet"] {
            assert_eq!(accepting(&served, path, "zstd").await.header("content-encoding"), "", "{path}");
        }
    }

    /// By the programs that everybody has.
    fn unpacked(encoding: &str, bytes: &[u8]) -> Vec<u8> {
        use std::io::{Read, Write};
        if encoding == "zstd" {
            return zstd::decode_all(bytes).unwrap();
        }
        let mut gzip = std::process::Command::new("gzip")
            .arg("-dc")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        gzip.stdin.take().unwrap().write_all(bytes).unwrap();
        let mut unpacked = Vec::new();
        gzip.stdout.take().unwrap().read_to_end(&mut unpacked).unwrap();
        assert!(gzip.wait().unwrap().success());
        unpacked
    }
}
