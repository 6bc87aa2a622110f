//! `GET /api/v1/log/{log}/checkpoint` and `/tile/…`: a log as C2SP `tlog-tiles` has it, so that anybody's
//! verifier reads it.
//!
//! What a checkpoint covers never changes, so tiles may be kept for ever. Before the first checkpoint there is
//! nothing: 503, and a log without a key has unsigned ones.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use dualaudit_record::log::{TileId, TilePath, read_entry_bundle};
use serde_json::json;

use super::{
    Api,
    access::Caller,
    openapi::{Answer, Call, Header, Tag, parameters},
    path::Segments,
    problem::{Kind, Problem},
};
use crate::{
    access::{Resource, Verb},
    proof::Bundler,
};

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
const FOR_EVER: &str = "public, max-age=31536000, immutable";

fn kept(example: &'static str) -> Header {
    Header { name: "Cache-Control", description: "How long it may be kept.", example }
}

pub(super) fn checkpoint_call() -> Call {
    let note = "dualaudit.dev/http\n300\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n";
    Call::new(Tag::Proof, "getCheckpoint", "The newest checkpoint of a log")
        .saying("A C2SP `tlog-checkpoint`; of a log without a key, without signatures.")
        .given([parameters::log_in_path()])
        .answers(
            200,
            Answer::empty("The note.")
                .or("text/plain", json!({"type": "string"}))
                .example(json!(note))
                .header(kept("no-cache")),
        )
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchLog, Kind::NotYetSigned])
}

pub(super) fn tile_call() -> Call {
    let pattern = r"^(entries|[0-9]{1,2})/(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?$";
    Call::new(Tag::Proof, "getTile", "A tile or an entry bundle of a log")
        .saying("C2SP `tlog-tiles`: what a checkpoint covers, and never changes. The path goes on over slashes.")
        .given([
            parameters::log_in_path(),
            parameters::path(
                "path",
                "`L/N` of a tile of hashes, `entries/N` of a bundle of leaves; N in groups of three digits, all but the last \
                 with an x; of what is not full `.p/W` more.",
                json!({"type": "string", "pattern": pattern}),
                "entries/000.p/44",
            ),
        ])
        .answers(
            200,
            Answer::empty("The bytes.")
                .or("application/octet-stream", json!({"type": "string", "contentMediaType": "application/octet-stream"}))
                .header(kept(FOR_EVER)),
        )
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchLog, Kind::NoSuchTile, Kind::NotYetSigned])
}

pub(super) async fn checkpoint(
    State(api): State<Api>,
    caller: Caller,
    Segments(log): Segments<String>,
) -> Result<Response, Problem> {
    let seen = caller.whole(&api, (Verb::Get, Resource::Logs), Some(&log)).await?;
    let bundler = Bundler::published(seen.store, &log).await?;
    let note = bundler.checkpoint().as_str().to_owned();
    Ok(([(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-cache")], note).into_response())
}

pub(super) async fn tile(
    State(api): State<Api>,
    caller: Caller,
    Segments((log, path)): Segments<(String, String)>,
) -> Result<Response, Problem> {
    let tile: TilePath =
        path.parse().map_err(|error| Problem::new(Kind::NoSuchTile, format!("{path}: {error}")))?;
    let store = caller.whole(&api, (Verb::Get, Resource::Logs), Some(&log)).await?.store;
    let size = Bundler::published(store.clone(), &log).await?.checkpoint().head().size;
    let absent = || {
        let detail = format!("The checkpoint of the log {log} covers {size} entries, and so no tile/{tile}.");
        Problem::new(Kind::NoSuchTile, detail)
    };
    if tile.id.width(size) < tile.width {
        return Err(absent());
    }
    let found = store.tiles(&log, &[tile.id]).await?.into_iter().next().flatten();
    let bytes = found.and_then(|bytes| cut(tile, bytes)).ok_or_else(absent)?;
    Ok(([(header::CONTENT_TYPE, BYTES), (header::CACHE_CONTROL, FOR_EVER)], bytes).into_response())
}

/// As much of a tile as was asked for: it may have grown since.
fn cut(tile: TilePath, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let end = match tile.id {
        TileId::Hashes { .. } => tile.width * 32,
        TileId::Entries { .. } => {
            let entries = read_entry_bundle(&bytes).ok()?;
            let wanted = entries.get(..tile.width)?;
            wanted.iter().map(|entry| 2 + entry.len()).sum()
        }
    };
    if bytes.len() < end {
        return None;
    }
    bytes.truncate(end);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use dualaudit_record::{
        checkpoint::SignedCheckpoint,
        digest::Digest,
        log::{Leaf, Tree},
    };

    use super::*;
    use crate::http::tests::{Served, record};

    #[tokio::test]
    async fn a_log_is_served_in_tiles_that_make_its_checkpoint() {
        let served = Served::new().await;
        for n in 0..3 {
            let records: Vec<_> = (0..100).map(|m| record(&format!("{n}-{m}"))).collect();
            served.post_json(&serde_json::Value::Array(records)).await;
        }
        assert_eq!(served.get("/api/v1/log/http/checkpoint").await.problem(), "not-yet-signed");
        served.publish().await;
        let answered = served.get("/api/v1/log/http/checkpoint").await;
        assert_eq!((answered.status.as_u16(), answered.header("content-type")), (200, TEXT));
        let checkpoint: SignedCheckpoint = answered.text.parse().unwrap();
        assert_eq!(checkpoint.head().size, 300);

        let mut tree = Tree::empty();
        for path in ["entries/000", "entries/001.p/44"] {
            let answered = served.get(&format!("/api/v1/log/http/tile/{path}")).await;
            assert_eq!((answered.status.as_u16(), answered.header("cache-control")), (200, FOR_EVER));
            for entry in read_entry_bundle(&answered.body).unwrap() {
                let leaf: Leaf = serde_json::from_slice(entry).unwrap();
                assert_eq!(leaf.index, tree.size());
                assert_eq!(leaf.to_bytes(), entry);
                tree.push(leaf.hash());
            }
        }
        assert_eq!(tree.root(), checkpoint.head().root);
        for tile in tree.take_changed() {
            let width = tile.hashes.len() / 32;
            let path = TilePath { id: tile.id(), width };
            let answered = served.get(&format!("/api/v1/log/http/tile/{path}")).await;
            assert_eq!(Digest::sha256(&answered.body), Digest::sha256(&tile.hashes), "{path}");
            let partial = TilePath { id: tile.id(), width: 1 };
            let answered = served.get(&format!("/api/v1/log/http/tile/{partial}")).await;
            assert_eq!(answered.body[..], tile.hashes[..32]);
        }
    }

    #[tokio::test]
    async fn what_no_checkpoint_covers_is_not_there() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        served.publish().await;
        for path in [
            "/api/v1/log/other/checkpoint",
            "/api/v1/log/other/tile/0/000.p/1",
            "/api/v1/log/http/tile/0/000",
            "/api/v1/log/http/tile/0/000.p/2",
            "/api/v1/log/http/tile/0/001.p/1",
            "/api/v1/log/http/tile/1/000.p/1",
            "/api/v1/log/http/tile/63/000.p/1",
            "/api/v1/log/http/tile/entries/000",
            "/api/v1/log/http/tile/entries/x999/x999/x999/x999/x999/x999/999",
            "/api/v1/log/http/tile/0",
            "/api/v1/log/http/tile/x/000",
        ] {
            let answered = served.get(path).await;
            assert_eq!(answered.status, 404, "{path}");
            assert_eq!(answered.header("content-type"), "application/problem+json");
        }
        assert_eq!(served.get("/api/v1/log/http/tile/entries/000.p/1").await.status, 200);
    }
}
