//! `list` and `get` of entries that have lists of their own: gaps, what is in quarantine, and purges.

use std::{fmt::Write as _, process::ExitCode};

use dualaudit_record::entry::{Gap, GapCause, Purge, Quarantine};
use serde_json::Value;

use super::{
    kubectl::Reads,
    output::{self, Columns, Form, shown, time},
    pages::{PageArgs, Printer, Shape, ended},
    reader::ReaderArgs,
};
use crate::{
    query::{EntriesRequest, ListedEntry, Listing},
    store::Receipt,
};

/// `list`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    reader: ReaderArgs,
    /// In this log only.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    #[command(flatten)]
    pages: PageArgs,
}

/// `get`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Get {
    /// The entry, as the list names it: its log and its index there.
    #[arg(value_name = "LOG/INDEX", value_parser = entry_name)]
    entry: (String, u64),
    #[command(flatten)]
    reader: ReaderArgs,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl List {
    /// Where it reads, which is about whole logs.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        Reads { reader: &mut self.reader, namespace: None }
    }
}

impl Get {
    /// Where it reads, which is about whole logs.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        Reads { reader: &mut self.reader, namespace: None }
    }
}

/// Lists, a page at a time.
///
/// # Errors
/// What could not be reached or written, and why.
pub(super) async fn list(listing: Listing, args: &List) -> anyhow::Result<ExitCode> {
    ended(write(listing, args).await)
}

async fn write(listing: Listing, args: &List) -> anyhow::Result<Option<String>> {
    let log = || args.log.iter().map(|log| ("log".to_owned(), log.clone()));
    // What is asked wrongly is told first, whatever becomes of the database.
    let cursor = args.pages.cursor.iter().map(|cursor| ("cursor".to_owned(), cursor.clone()));
    EntriesRequest::parse(listing, &log().chain(cursor).collect::<Vec<_>>())?;
    let reader = args.reader.open().await?;
    let fetch = async |mut pairs: Vec<(String, String)>| {
        pairs.extend(log());
        let page = reader.entries(listing, &pairs).await?;
        Ok((page.items, page.next_cursor))
    };
    let printer = Printer::new(args.pages.output, shape(listing));
    args.pages.write(printer, &mut output::stdout(), fetch).await
}

/// Shows one.
///
/// # Errors
/// That there is no such one; what could not be reached or written, and why.
pub(super) async fn get(listing: Listing, args: &Get) -> anyhow::Result<ExitCode> {
    let reader = args.reader.open().await?;
    let found = reader.entry(listing, &args.entry.0, args.entry.1).await?;
    output::document(&mut output::stdout(), args.output, &found, || page(listing, &found))?;
    Ok(ExitCode::SUCCESS)
}

fn entry_name(text: &str) -> Result<(String, u64), String> {
    let parsed = text.rsplit_once('/').and_then(|(log, index)| Some((log.to_owned(), index.parse().ok()?)));
    parsed.ok_or_else(|| "must be LOG/INDEX, such as prod/17, as the list prints it".to_owned())
}

static GAPS: Shape<ListedEntry> = Shape {
    table: &[
        ("ENTRY", name),
        ("EXECUTION", id),
        ("NAMESPACE/NAME", |entry| of_gap(entry, |gap| format!("{}/{}", gap.namespace, gap.name))),
        ("CAUSE", |entry| of_gap(entry, |gap| cause(gap).to_owned())),
        ("PHASE", |entry| of_gap(entry, |gap| gap.last_phase.clone())),
        ("LAST SEEN", |entry| of_gap(entry, |gap| time(gap.last_seen_at))),
        ("ENTERED", |entry| time(entry.recorded_at)),
        ("RECORDED SINCE", recorded),
    ],
    csv: &[
        ("log", |entry| entry.log.clone()),
        ("index", |entry| entry.index.to_string()),
        ("recorded_at", |entry| entry.recorded_at.to_string()),
        ("execution_id", id),
        ("namespace", |entry| of_gap(entry, |gap| gap.namespace.clone())),
        ("name", |entry| of_gap(entry, |gap| gap.name.clone())),
        ("cause", |entry| of_gap(entry, |gap| cause(gap).to_owned())),
        ("reason", |entry| {
            of_gap(entry, |gap| match &gap.cause {
                GapCause::ReleasedUnrecorded { reason } => reason.clone(),
                GapCause::Vanished | GapCause::Overtaken => String::new(),
            })
        }),
        ("started_at", |entry| {
            of_gap(entry, |gap| gap.started_at.map_or_else(String::new, |at| at.to_string()))
        }),
        ("last_phase", |entry| of_gap(entry, |gap| gap.last_phase.clone())),
        ("last_seen_at", |entry| of_gap(entry, |gap| gap.last_seen_at.to_string())),
        ("last_state", |entry| of_gap(entry, |gap| gap.last_state.clone())),
        ("recorded", recorded),
    ],
    nothing: "There are no gaps.",
};

static QUARANTINE: Shape<ListedEntry> = Shape {
    table: &[
        ("ENTRY", name),
        ("EXECUTION", id),
        ("NAMESPACE/NAME", |entry| of_quarantine(entry, |it| format!("{}/{}", it.namespace, it.name))),
        ("ENTERED", |entry| time(entry.recorded_at)),
        ("RECORDED SINCE", recorded),
        ("REASON", |entry| of_quarantine(entry, |it| it.reason.clone())),
    ],
    csv: &[
        ("log", |entry| entry.log.clone()),
        ("index", |entry| entry.index.to_string()),
        ("recorded_at", |entry| entry.recorded_at.to_string()),
        ("execution_id", id),
        ("namespace", |entry| of_quarantine(entry, |it| it.namespace.clone())),
        ("name", |entry| of_quarantine(entry, |it| it.name.clone())),
        ("reason", |entry| of_quarantine(entry, |it| it.reason.clone())),
        ("source_digest", |entry| of_quarantine(entry, |it| it.source_digest.to_string())),
        ("recorded", recorded),
    ],
    nothing: "Nothing was put in quarantine.",
};

static PURGES: Shape<ListedEntry> = Shape {
    table: &[
        ("ENTRY", name),
        ("PLAN", |entry| of_purge(entry, |purge| purge.plan.clone())),
        ("PART", |entry| of_purge(entry, |purge| format!("{}/{}", purge.part, purge.parts))),
        ("EXECUTIONS", |entry| of_purge(entry, |purge| purge.executions.to_string())),
        ("ENTRIES", |entry| of_purge(entry, |purge| entries(purge).to_string())),
        ("BY", |entry| of_purge(entry, |purge| purge.actor.clone())),
        ("ENTERED", |entry| time(entry.recorded_at)),
    ],
    csv: &[
        ("log", |entry| entry.log.clone()),
        ("index", |entry| entry.index.to_string()),
        ("recorded_at", |entry| entry.recorded_at.to_string()),
        ("plan", |entry| of_purge(entry, |purge| purge.plan.clone())),
        ("part", |entry| of_purge(entry, |purge| purge.part.to_string())),
        ("parts", |entry| of_purge(entry, |purge| purge.parts.to_string())),
        ("as_of", |entry| of_purge(entry, |purge| purge.as_of.to_string())),
        ("policy", |entry| of_purge(entry, |purge| purge.policy.clone())),
        ("actor", |entry| of_purge(entry, |purge| purge.actor.clone())),
        ("executions", |entry| of_purge(entry, |purge| purge.executions.to_string())),
        ("entries", |entry| of_purge(entry, |purge| entries(purge).to_string())),
    ],
    nothing: "Nothing was purged.",
};

fn shape(listing: Listing) -> &'static Shape<ListedEntry> {
    match listing {
        Listing::Gaps => &GAPS,
        Listing::Quarantine => &QUARANTINE,
        Listing::Purges => &PURGES,
    }
}

fn name(entry: &ListedEntry) -> String {
    format!("{}/{}", entry.log, entry.index)
}

fn id(entry: &ListedEntry) -> String {
    entry.execution_id.clone().unwrap_or_default()
}

/// Empty where the body is gone, as in what follows.
fn of_gap(entry: &ListedEntry, of: fn(&Gap) -> String) -> String {
    entry.gap.as_ref().map_or_else(String::new, of)
}

fn of_quarantine(entry: &ListedEntry, of: fn(&Quarantine) -> String) -> String {
    entry.quarantine.as_ref().map_or_else(String::new, of)
}

fn of_purge(entry: &ListedEntry, of: fn(&Purge) -> String) -> String {
    entry.purge.as_ref().map_or_else(String::new, of)
}

fn cause(gap: &Gap) -> &'static str {
    match gap.cause {
        GapCause::Vanished => "vanished",
        GapCause::Overtaken => "overtaken",
        GapCause::ReleasedUnrecorded { .. } => "released_unrecorded",
    }
}

/// How many entries a purge took the bodies of.
fn entries(purge: &Purge) -> u64 {
    purge.entries.iter().map(|(first, last)| last.saturating_sub(*first) + 1).sum()
}

/// The entry by which the execution was recorded since.
fn recorded(entry: &ListedEntry) -> String {
    entry.recorded.as_ref().map_or_else(String::new, |Receipt { log, index, .. }| format!("{log}/{index}"))
}

/// An entry for people: what the list says of it, line by line, and what it is too long for there.
fn page(listing: Listing, entry: &ListedEntry) -> String {
    let rows: Vec<Vec<String>> = shape(listing)
        .csv
        .iter()
        .filter(|(name, _)| *name != "last_state")
        .map(|(name, of)| vec![(*name).to_owned(), of(entry)])
        .filter(|row| !row[1].is_empty())
        .collect();
    let mut page = Columns::default().lay_out(None, &rows);
    let state = entry.gap.as_ref().and_then(|gap| serde_json::from_str::<Value>(&gap.last_state).ok());
    for (title, object) in [("Last state", state.as_ref()), ("Object", entry.object.as_ref())] {
        let Some(object) = object else { continue };
        let _ = writeln!(page, "\n{title}");
        for line in serde_json::to_string_pretty(object).unwrap_or_default().lines() {
            let _ = writeln!(page, "  {}", shown(line));
        }
    }
    page
}
