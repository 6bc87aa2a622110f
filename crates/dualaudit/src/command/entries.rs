//! `list` and `get` of entries that have lists of their own: gaps, what is in quarantine, purges, holds, and accesses.

use std::{fmt::Write as _, process::ExitCode};

use dualaudit_record::entry::{Gap, GapCause, Purge, Quarantine};
use serde_json::{Map, Value};

use super::{
    accesses,
    columns::{Cell, Column, Look, Shape},
    hold,
    kubectl::Reads,
    output::{self, Columns, Form, shown},
    pages::{Fetched, PageArgs, ended},
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

/// What a list of its own has, where that is all.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List them, oldest first; --all -o json or csv writes all there are, whole.
    List(Box<List>),
    /// Show one, with all that it says.
    Get(Box<Get>),
}

impl Action {
    /// Where it reads, which is about whole logs.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        match self {
            Self::List(args) => args.reads(),
            Self::Get(args) => args.reads(),
        }
    }

    /// Lists or shows.
    ///
    /// # Errors
    /// What could not be reached or written, and why.
    pub(super) async fn run(&self, listing: Listing) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => list(listing, args).await,
            Self::Get(args) => get(listing, args).await,
        }
    }
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
    list_with(listing, args, &[]).await
}

/// Lists what else is asked of the API.
///
/// # Errors
/// What could not be reached or written, and why.
pub(super) async fn list_with(
    listing: Listing,
    args: &List,
    more: &[(String, String)],
) -> anyhow::Result<ExitCode> {
    ended(write(listing, args, more).await)
}

async fn write(listing: Listing, args: &List, more: &[(String, String)]) -> anyhow::Result<Option<String>> {
    let log = || args.log.iter().map(|log| ("log".to_owned(), log.clone())).chain(more.iter().cloned());
    // What is asked wrongly is told first, whatever becomes of the database.
    let cursor = args.pages.cursor.iter().map(|cursor| ("cursor".to_owned(), cursor.clone()));
    EntriesRequest::parse(listing, &log().chain(cursor).collect::<Vec<_>>())?;
    let printer = args.pages.printer(shape(listing), Look::of_stdout())?;
    let reader = args.reader.open().await?;
    let fetch = async |mut pairs: Vec<(String, String)>| {
        pairs.extend(log());
        let page = reader.entries(listing, &pairs).await?;
        Ok(Fetched { items: page.items, next_cursor: page.next_cursor, beside: Map::new() })
    };
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
    columns: &[
        ENTRY,
        LOG,
        INDEX,
        RECORDED_AT,
        EXECUTION_ID,
        RESOURCE,
        NAMESPACE,
        NAME,
        Column {
            name: "cause",
            header: "CAUSE",
            of: |entry| of_gap(entry, |gap| cause(gap).to_owned().into()),
        },
        Column {
            name: "reason",
            header: "REASON",
            of: |entry| {
                of_gap(entry, |gap| match &gap.cause {
                    GapCause::ReleasedUnrecorded { reason, .. } => reason.clone().into(),
                    GapCause::Vanished | GapCause::Overtaken => String::new().into(),
                })
            },
        },
        Column {
            name: "actor",
            header: "BY",
            of: |entry| {
                of_gap(entry, |gap| match &gap.cause {
                    GapCause::ReleasedUnrecorded { actor, .. } => actor.clone().unwrap_or_default().into(),
                    GapCause::Vanished | GapCause::Overtaken => String::new().into(),
                })
            },
        },
        Column {
            name: "started_at",
            header: "STARTED",
            of: |entry| of_gap(entry, |gap| gap.started_at.into()),
        },
        Column {
            name: "last_phase",
            header: "PHASE",
            of: |entry| of_gap(entry, |gap| Cell::Word(gap.last_phase.clone())),
        },
        Column {
            name: "last_seen_at",
            header: "LAST SEEN",
            of: |entry| of_gap(entry, |gap| Cell::Time(gap.last_seen_at)),
        },
        Column {
            name: "last_state",
            header: "LAST STATE",
            of: |entry| of_gap(entry, |gap| gap.last_state.clone().into()),
        },
        RECORDED,
    ],
    table: &[
        "entry",
        "execution_id",
        "resource",
        "cause",
        "last_phase",
        "last_seen_at",
        "recorded_at",
        "recorded",
    ],
    wide: &["started_at", "reason", "actor"],
    csv: &[
        "log",
        "index",
        "recorded_at",
        "execution_id",
        "namespace",
        "name",
        "cause",
        "reason",
        "actor",
        "started_at",
        "last_phase",
        "last_seen_at",
        "last_state",
        "recorded",
    ],
    name,
    nothing: "There are no gaps.",
};

static QUARANTINE: Shape<ListedEntry> = Shape {
    columns: &[
        ENTRY,
        LOG,
        INDEX,
        RECORDED_AT,
        EXECUTION_ID,
        RESOURCE,
        NAMESPACE,
        NAME,
        Column {
            name: "reason",
            header: "REASON",
            of: |entry| of_quarantine(entry, |it| it.reason.clone().into()),
        },
        Column {
            name: "source_digest",
            header: "SOURCE DIGEST",
            of: |entry| of_quarantine(entry, |it| it.source_digest.to_string().into()),
        },
        RECORDED,
    ],
    table: &["entry", "execution_id", "resource", "recorded_at", "recorded", "reason"],
    wide: &["source_digest"],
    csv: &[
        "log",
        "index",
        "recorded_at",
        "execution_id",
        "namespace",
        "name",
        "reason",
        "source_digest",
        "recorded",
    ],
    name,
    nothing: "Nothing was put in quarantine.",
};

static PURGES: Shape<ListedEntry> = Shape {
    columns: &[
        ENTRY,
        LOG,
        INDEX,
        RECORDED_AT,
        Column {
            name: "plan",
            header: "PLAN",
            of: |entry| of_purge(entry, |purge| purge.plan.clone().into()),
        },
        Column { name: "part", header: "PART", of: part },
        Column {
            name: "parts",
            header: "PARTS",
            of: |entry| of_purge(entry, |purge| purge.parts.to_string().into()),
        },
        Column {
            name: "as_of",
            header: "AS OF",
            of: |entry| of_purge(entry, |purge| Cell::Time(purge.as_of)),
        },
        Column {
            name: "policy",
            header: "POLICY",
            of: |entry| of_purge(entry, |purge| purge.policy.clone().into()),
        },
        Column {
            name: "actor",
            header: "BY",
            of: |entry| of_purge(entry, |purge| purge.actor.clone().into()),
        },
        Column {
            name: "executions",
            header: "EXECUTIONS",
            of: |entry| of_purge(entry, |purge| purge.executions.to_string().into()),
        },
        Column {
            name: "entries",
            header: "ENTRIES",
            of: |entry| of_purge(entry, |purge| entries(purge).to_string().into()),
        },
    ],
    table: &["entry", "plan", "part", "executions", "entries", "actor", "recorded_at"],
    wide: &["as_of", "policy"],
    csv: &[
        "log",
        "index",
        "recorded_at",
        "plan",
        "part",
        "parts",
        "as_of",
        "policy",
        "actor",
        "executions",
        "entries",
    ],
    name,
    nothing: "Nothing was purged.",
};

pub(super) const ENTRY: Column<ListedEntry> =
    Column { name: "entry", header: "ENTRY", of: |entry| name(entry).into() };
pub(super) const LOG: Column<ListedEntry> =
    Column { name: "log", header: "LOG", of: |entry| entry.log.clone().into() };
pub(super) const INDEX: Column<ListedEntry> =
    Column { name: "index", header: "INDEX", of: |entry| entry.index.to_string().into() };
pub(super) const RECORDED_AT: Column<ListedEntry> =
    Column { name: "recorded_at", header: "ENTERED", of: |entry| Cell::Time(entry.recorded_at) };
const EXECUTION_ID: Column<ListedEntry> =
    Column { name: "execution_id", header: "EXECUTION", of: |entry| entry.execution_id.clone().into() };
const RESOURCE: Column<ListedEntry> = Column {
    name: "resource",
    header: "NAMESPACE/NAME",
    of: |entry| resource(entry).map(|(namespace, name)| format!("{namespace}/{name}")).into(),
};
const NAMESPACE: Column<ListedEntry> = Column {
    name: "namespace",
    header: "NAMESPACE",
    of: |entry| resource(entry).map(|(namespace, _)| namespace.to_owned()).into(),
};
const NAME: Column<ListedEntry> = Column {
    name: "name",
    header: "NAME",
    of: |entry| resource(entry).map(|(_, name)| name.to_owned()).into(),
};
/// The entry by which the execution was recorded since.
const RECORDED: Column<ListedEntry> = Column {
    name: "recorded",
    header: "RECORDED SINCE",
    of: |entry| entry.recorded.as_ref().map(|Receipt { log, index, .. }| format!("{log}/{index}")).into(),
};

fn shape(listing: Listing) -> &'static Shape<ListedEntry> {
    match listing {
        Listing::Gaps => &GAPS,
        Listing::Quarantine => &QUARANTINE,
        Listing::Purges => &PURGES,
        Listing::Holds => &hold::SHAPE,
        Listing::Accesses => &accesses::SHAPE,
    }
}

pub(super) fn name(entry: &ListedEntry) -> String {
    format!("{}/{}", entry.log, entry.index)
}

/// The namespace and the name of the resource that it is about.
fn resource(entry: &ListedEntry) -> Option<(&str, &str)> {
    let of_gap = entry.gap.as_ref().map(|it| (it.namespace.as_str(), it.name.as_str()));
    of_gap.or_else(|| entry.quarantine.as_ref().map(|it| (it.namespace.as_str(), it.name.as_str())))
}

/// Empty where the body is gone, as in what follows.
fn of_gap(entry: &ListedEntry, of: fn(&Gap) -> Cell) -> Cell {
    entry.gap.as_ref().map_or_else(|| Cell::Text(String::new()), of)
}

fn of_quarantine(entry: &ListedEntry, of: fn(&Quarantine) -> Cell) -> Cell {
    entry.quarantine.as_ref().map_or_else(|| Cell::Text(String::new()), of)
}

fn of_purge(entry: &ListedEntry, of: fn(&Purge) -> Cell) -> Cell {
    entry.purge.as_ref().map_or_else(|| Cell::Text(String::new()), of)
}

/// Which part of how many; data has the two apart.
fn part(entry: &ListedEntry) -> Cell {
    of_purge(entry, |purge| Cell::Either(format!("{}/{}", purge.part, purge.parts), purge.part.to_string()))
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

/// An entry for people: what the list says of it, line by line, and what it is too long for there.
fn page(listing: Listing, entry: &ListedEntry) -> String {
    let shape = shape(listing);
    let columns = shape.columns.iter().filter(|column| shape.csv.contains(&column.name));
    let rows: Vec<Vec<String>> = columns
        .filter(|column| column.name != "last_state")
        .map(|column| vec![column.name.to_owned(), (column.of)(entry).data()])
        .filter(|row| !row[1].is_empty())
        .collect();
    let mut page = Columns::default().lay_out(None, &rows);
    if let Some(access) = &entry.access {
        let _ = write!(page, "\n{}", accesses::page(access));
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{command::pages::Paged, http::tests::now};

    fn entry(index: u64, kind: &str, says: &Value) -> ListedEntry {
        let entry = json!({
            "log": "prod", "index": index, "recorded_at": "2026-05-01T11:00:00Z", "leaf_hash": "07".repeat(32),
            "execution_id": says.get("execution_id"), kind: says,
        });
        serde_json::from_value(entry).unwrap()
    }

    /// A list of it in every form that has columns, one below the other.
    fn forms(listing: Listing, entries: &[ListedEntry]) -> String {
        let look = Look { on_terminal: false, in_colour: false, now: now() };
        let forms = ["table", "wide", "csv", "name"];
        forms.map(|form| Paged::of(&format!("-o {form}")).written(shape(listing), look, entries)).join("\n")
    }

    #[test]
    fn gaps_are_listed_in_every_form() {
        let gap = json!({
            "cause": "vanished", "execution_id": "uid-1", "namespace": "shop", "name": "web-1",
            "started_at": "2026-05-01T09:00:00Z", "last_phase": "Executing", "last_state": "{}",
            "last_seen_at": "2026-05-01T10:00:00Z",
        });
        let mut since = entry(17, "gap", &gap);
        since.recorded = serde_json::from_value(json!({
            "id": "uid-1", "log": "prod", "index": 18, "leaf_hash": "07".repeat(32),
            "recorded_at": "2026-05-01T11:30:00Z", "result": "created",
        }))
        .unwrap();
        insta::assert_snapshot!(forms(Listing::Gaps, &[since]), @r"
        ENTRY    EXECUTION  NAMESPACE/NAME  CAUSE     PHASE      LAST SEEN  ENTERED  RECORDED SINCE
        prod/17  uid-1      shop/web-1      vanished  Executing  120m ago   60m ago  prod/18

        ENTRY    EXECUTION  NAMESPACE/NAME  CAUSE     PHASE      LAST SEEN  ENTERED  RECORDED SINCE  STARTED  REASON  BY
        prod/17  uid-1      shop/web-1      vanished  Executing  120m ago   60m ago  prod/18         3h ago

        log,index,recorded_at,execution_id,namespace,name,cause,reason,actor,started_at,last_phase,last_seen_at,last_state,recorded
        prod,17,2026-05-01T11:00:00.000000Z,uid-1,shop,web-1,vanished,,,2026-05-01T09:00:00.000000Z,Executing,2026-05-01T10:00:00.000000Z,{},prod/18

        prod/17
        ");
    }

    #[test]
    fn what_is_in_quarantine_is_listed_in_every_form() {
        let kept = json!({
            "execution_id": "uid-1", "namespace": "shop", "name": "web-1", "reason": "completed_at: is missing",
            "source_digest": "08".repeat(32),
        });
        insta::assert_snapshot!(forms(Listing::Quarantine, &[entry(3, "quarantine", &kept)]), @r"
        ENTRY   EXECUTION  NAMESPACE/NAME  ENTERED  RECORDED SINCE  REASON
        prod/3  uid-1      shop/web-1      60m ago                  completed_at: is missing

        ENTRY   EXECUTION  NAMESPACE/NAME  ENTERED  RECORDED SINCE  REASON                    SOURCE DIGEST
        prod/3  uid-1      shop/web-1      60m ago                  completed_at: is missing  0808080808080808080808080808080808080808080808080808080808080808

        log,index,recorded_at,execution_id,namespace,name,reason,source_digest,recorded
        prod,3,2026-05-01T11:00:00.000000Z,uid-1,shop,web-1,completed_at: is missing,0808080808080808080808080808080808080808080808080808080808080808,

        prod/3
        ");
    }

    #[test]
    fn purges_are_listed_in_every_form() {
        let purge = json!({
            "plan": "20261125T012345Z-0123456789abcdef", "part": 1, "parts": 2, "as_of": "2026-04-25T01:23:45Z",
            "policy": "7y", "actor": "jo", "executions": 5, "entries": [[1, 3], [7, 9]], "statistics": [],
        });
        insta::assert_snapshot!(forms(Listing::Purges, &[entry(20, "purge", &purge)]), @r"
        ENTRY    PLAN                               PART  EXECUTIONS  ENTRIES  BY  ENTERED
        prod/20  20261125T012345Z-0123456789abcdef  1/2   5           6        jo  60m ago

        ENTRY    PLAN                               PART  EXECUTIONS  ENTRIES  BY  ENTERED  AS OF      POLICY
        prod/20  20261125T012345Z-0123456789abcdef  1/2   5           6        jo  60m ago  6d10h ago  7y

        log,index,recorded_at,plan,part,parts,as_of,policy,actor,executions,entries
        prod,20,2026-05-01T11:00:00.000000Z,20261125T012345Z-0123456789abcdef,1,2,2026-04-25T01:23:45.000000Z,7y,jo,5,6

        prod/20
        ");
    }
}
