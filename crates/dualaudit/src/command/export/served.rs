//! Exports by a server.

use anyhow::{Context as _, bail};
use dualaudit_record::{
    digest::Hashing,
    export::{ExportFormat, Manifest, Scope},
};

use super::Args;
use crate::{client::Client, command::reader::Reader, export::Sink};

/// What a server is asked for.
pub(super) struct Asked {
    client: Client,
    pairs: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn of(
        reader: &Reader,
        mut pairs: Vec<(String, String)>,
        args: &Args,
        actor: &str,
    ) -> anyhow::Result<Self> {
        let Reader::Server(client) = reader else { bail!("name a server by --server") };
        let scope = match args.scope() {
            Scope::Latest => "latest",
            Scope::Revisions => "revisions",
            Scope::Entries => "entries",
        };
        let format: ExportFormat = args.format();
        for (name, value) in [("format", format.as_str()), ("scope", scope), ("actor", actor)] {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { client: client.clone(), pairs })
    }

    /// Hands on what the server sends, and then gets the manifest, which has to be one of it.
    pub(super) async fn export(
        &self,
        sink: &mut dyn Sink,
        name: &str,
        mut step: impl FnMut(u64),
    ) -> anyhow::Result<Manifest> {
        let host = self.client.server();
        let mut export = self.client.export(&self.pairs).await?;
        let (mut hashing, mut bytes) = (Hashing::default(), 0);
        let broken_off = || format!("the server {host} broke the export off; its log says why");
        while let Some(chunk) = export.chunk().await.with_context(broken_off)? {
            hashing.update(&chunk);
            bytes += chunk.len() as u64;
            sink.give(chunk.to_vec()).await.context("the export cannot be written")?;
            step(bytes);
        }
        sink.close();
        let manifest = self.client.manifest(export.id()).await;
        let mut manifest = manifest.context("the export has no manifest")?;
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
}
