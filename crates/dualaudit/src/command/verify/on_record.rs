//! Puts on record that a log was verified: by the server that has it, or in the database by this process.

use std::sync::Arc;

use anyhow::anyhow;
use dualaudit_record::{
    Entry,
    access::{Access, Decision, Event, Verified},
};

use super::Args;
use crate::{
    access::{Act, Resource, Verb},
    client::Client,
    clock::{Clock as _, SystemClock, entropy},
    command::extending::ExtendingArgs,
    export::Recorder,
    store::{Answer, DraftContent, LogState},
    verify::{LogReport, Report},
};

/// Where that is said.
pub(super) enum Desk {
    /// To the server whose log it is.
    Server(Client),
    /// In the database.
    Database,
    /// Nowhere.
    Nowhere,
}

impl Desk {
    /// Says of each log how far it was verified, and with what result. Where that cannot be, the verification stands all the
    /// same: it is told to stderr.
    pub(super) async fn put(self, args: &Args, report: &Report) {
        let said = match self {
            Self::Server(client) => by_server(&client, args, report).await,
            Self::Database => in_database(args, report).await,
            Self::Nowhere => Ok(()),
        };
        if let Err(error) = said {
            eprintln!("dualaudit: that this was verified is not on record: {error:#}");
        }
    }
}

async fn by_server(client: &Client, args: &Args, report: &Report) -> anyhow::Result<()> {
    let actor = args.actor.name()?;
    for log in &report.logs {
        client.verified(&log.log, &verified(report, log), &actor).await?;
    }
    Ok(())
}

async fn in_database(args: &Args, report: &Report) -> anyhow::Result<()> {
    let actor = args.actor.name()?;
    let store = args.from.database.open_there().await?;
    let extending = ExtendingArgs::of(args.copy.clone(), args.cluster.clone());
    let heads = extending.heads(store.as_ref()).await?;
    let open: Vec<String> = store
        .logs()
        .await?
        .into_iter()
        .filter(|head| head.state == LogState::Open)
        .map(|head| head.log)
        .collect();
    let recorder = Recorder::new(store, Arc::new(SystemClock), Vec::new()).extending(heads);
    for log in report.logs.iter().filter(|log| open.contains(&log.log)) {
        let act = Act::in_log(Verb::Verify, Resource::Logs, &log.log);
        let verified = Some(verified(report, log));
        let event = Event { verified, ..act.event(Some(&actor), Decision::Allow) };
        let access = Access::of_one(hex::encode(entropy::<16>()), SystemClock.now(), event);
        let entry = Entry::Access(Box::new(access));
        match recorder.submit(&log.log, DraftContent::Note(Box::new(entry))).await? {
            Answer::Stored(_) => {}
            other => return Err(anyhow!("the database answered {other:?}")),
        }
    }
    Ok(())
}

fn verified(report: &Report, log: &LogReport) -> Verified {
    Verified { size: log.size, root: log.root, findings: report.findings_of(&log.log) }
}
