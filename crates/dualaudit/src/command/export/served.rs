//! Exports by a server.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use dualaudit_record::{
    digest::Hashing,
    export::{ExportFormat, Manifest, Scope},
};
use reqwest::{Client, StatusCode, Url};

use super::Args;
use crate::{
    command::reader::{Reader, at, fetch, problem},
    export::Sink,
};

const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may look for the next of what fits.
const SILENCE: Duration = Duration::from_secs(300);
/// How often the manifest is asked for, which is there once the entry is proved.
const TRIES: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// What a server is asked for.
pub(super) struct Asked {
    client: Client,
    base: Url,
    pairs: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn of(
        reader: &Reader,
        mut pairs: Vec<(String, String)>,
        args: &Args,
        actor: &str,
    ) -> anyhow::Result<Self> {
        let Reader::Server { base, .. } = reader else { bail!("name a server by --server") };
        let scope = match args.scope() {
            Scope::Latest => "latest",
            Scope::Revisions => "revisions",
            Scope::Entries => "entries",
        };
        let format: ExportFormat = args.format();
        for (name, value) in [("format", format.as_str()), ("scope", scope), ("actor", actor)] {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        // Without a time for the whole, which may be long.
        let client = Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).build()?;
        Ok(Self { client, base: base.clone(), pairs })
    }

    /// Hands on what the server sends, and then gets the manifest, which has to be one of it.
    pub(super) async fn export(
        &self,
        sink: &mut dyn Sink,
        name: &str,
        mut step: impl FnMut(u64),
    ) -> anyhow::Result<Manifest> {
        let host = self.base.origin().ascii_serialization();
        let url = at(&self.base, &["api", "v1", "export"]);
        let response = self.client.get(url).query(&self.pairs).send().await;
        let mut response = response.with_context(|| format!("no answer from the server {host}"))?;
        if !response.status().is_success() {
            let status = response.status();
            let body = response.bytes().await.unwrap_or_default();
            return Err(problem(&body).unwrap_or_else(|| anyhow!("the server {host} answers {status}")));
        }
        let id = response.headers().get("dualaudit-export").and_then(|id| id.to_str().ok());
        let id = id.with_context(|| format!("{host} answers unlike a dualaudit server"))?.to_owned();
        let (mut hashing, mut bytes) = (Hashing::default(), 0);
        let broken_off = || format!("the server {host} broke the export off; its log says why");
        while let Some(chunk) = response.chunk().await.with_context(broken_off)? {
            hashing.update(&chunk);
            bytes += chunk.len() as u64;
            sink.give(chunk.to_vec()).await.context("the export cannot be written")?;
            step(bytes);
        }
        sink.close();
        let mut manifest = self.manifest(&id).await?;
        let (sent, sha256) = (&manifest.export, hashing.finish());
        if (sent.bytes, sent.sha256) != (bytes, sha256) {
            bail!(
                "what came is not what {host} exported: expected {} bytes with the SHA-256 {}, found {bytes} with {sha256}",
                sent.bytes,
                sent.sha256
            );
        }
        name.clone_into(&mut manifest.file);
        Ok(manifest)
    }

    async fn manifest(&self, id: &str) -> anyhow::Result<Manifest> {
        let url = at(&self.base, &["api", "v1", "export", id]);
        for _ in 0..TRIES {
            let asked = self.client.get(url.clone()).send().await;
            if asked.is_ok_and(|answer| answer.status() != StatusCode::NOT_FOUND) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        fetch(&self.client, url, &[]).await.context("the export has no manifest")
    }
}
