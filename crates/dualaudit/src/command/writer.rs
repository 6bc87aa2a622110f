//! Where somebody's word is recorded: by a server, or in a database by this process itself.

use super::{
    extending::ExtendingArgs,
    reader::{Reader, ReaderArgs},
};
use crate::{client::Client, retention::Heads, store::SharedStore};

/// Where a command records.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WriterArgs {
    #[command(flatten)]
    pub(super) to: ReaderArgs,
    #[command(flatten)]
    extending: ExtendingArgs,
}

/// What records.
pub(super) enum Writer {
    /// A server.
    Server(Client),
    /// This process, to logs that extend these heads.
    Database(SharedStore, Heads),
}

impl WriterArgs {
    /// Opens what the flags name.
    ///
    /// # Errors
    /// An unusable URL; a database that is not there or cannot be written; a copy of checkpoints that cannot be read.
    pub(super) async fn open(&self) -> anyhow::Result<Writer> {
        if self.to.is_server()
            && let Reader::Server(client) = self.to.open().await?
        {
            return Ok(Writer::Server(client));
        }
        let store = self.to.database.open_there().await?;
        let heads = self.extending.heads(store.as_ref()).await?;
        Ok(Writer::Database(store, heads))
    }
}
