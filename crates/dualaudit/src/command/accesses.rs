//! `dualaudit accesses list | get`: who asked for what.

use std::{collections::BTreeSet, process::ExitCode};

use dualaudit_record::access::{Access, Act, Decision, Event};

use super::{
    columns::{Cell, Column, Shape},
    entries::{self, Action, ENTRY, INDEX, LOG, RECORDED_AT},
    kubectl::Reads,
    output::{Columns, shown},
};
use crate::query::{ListedEntry, Listing};

const EXAMPLES: &str = "\
Examples:
  dualaudit accesses list
  dualaudit accesses list --all -o json | jq '.[].access.acts[] | select(.decision == \"forbid\")'
  dualaudit accesses get default/4711";

/// List and show who read objects, who says they verified a log, and who was refused what. Exports, reviews, holds, purges and
/// erasures are entries of their own, with who made them.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

impl Args {
    /// Where it reads.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        self.action.reads()
    }
}

/// Lists or shows.
///
/// # Errors
/// What could not be reached or written, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.action.run(Listing::Accesses).await
}

pub(super) static SHAPE: Shape<ListedEntry> = Shape {
    columns: &[
        ENTRY,
        LOG,
        INDEX,
        RECORDED_AT,
        Column { name: "since", header: "SINCE", of: |entry| of(entry, |access| Cell::Time(access.since)) },
        Column { name: "until", header: "UNTIL", of: |entry| of(entry, |access| Cell::Time(access.until)) },
        Column {
            name: "requests",
            header: "REQUESTS",
            of: |entry| of(entry, |access| access.count().to_string().into()),
        },
        Column {
            name: "refused",
            header: "REFUSED",
            of: |entry| of(entry, |access| refused(access).to_string().into()),
        },
        Column { name: "actors", header: "BY", of: |entry| of(entry, |access| actors(access).into()) },
        Column { name: "what", header: "WHAT", of: |entry| of(entry, |access| what(access).into()) },
    ],
    table: &["entry", "until", "requests", "refused", "actors", "what"],
    wide: &["since", "recorded_at"],
    csv: &["log", "index", "recorded_at", "since", "until", "requests", "refused", "actors", "what"],
    name: entries::name,
    nothing: "Nobody read an object, verified a log, or was refused anything.",
};

/// Empty where the body is gone.
fn of(entry: &ListedEntry, of: fn(&Access) -> Cell) -> Cell {
    entry.access.as_ref().map_or_else(|| Cell::Text(String::new()), of)
}

/// How many requests were refused.
fn refused(access: &Access) -> u64 {
    let forbidden = access.acts.iter().filter(|act| act.event.decision == Decision::Forbid);
    forbidden.map(|act| act.count).fold(access.others, u64::saturating_add)
}

/// Who asked, each once.
fn actors(access: &Access) -> String {
    let actors: BTreeSet<&str> = access.acts.iter().map(|act| actor(&act.event)).collect();
    actors.into_iter().collect::<Vec<_>>().join(", ")
}

fn actor(event: &Event) -> &str {
    event.actor.as_deref().unwrap_or("nobody known")
}

/// What was asked for, each verb on each resource once.
fn what(access: &Access) -> String {
    let acts = access.acts.iter().map(|Act { event, .. }| format!("{} {}", event.verb, event.resource));
    acts.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// All that an entry tells of, for people.
pub(super) fn page(access: &Access) -> String {
    let row = |Act { event, count }: &Act| {
        let verified =
            event.verified.as_ref().map(|it| format!("{} entries, {} findings", it.size, it.findings));
        let text = |text: &Option<String>| text.as_deref().map(shown).unwrap_or_default();
        vec![
            shown(actor(event)),
            event.decision.to_string(),
            shown(&event.verb),
            shown(&event.resource),
            text(&event.namespace),
            text(&event.log),
            verified.unwrap_or_else(|| text(&event.execution_id)),
            count.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = access.acts.iter().map(row).collect();
    let headers = ["BY", "DECISION", "VERB", "RESOURCE", "NAMESPACE", "LOG", "WHAT", "REQUESTS"];
    let mut page = Columns::default().lay_out(Some(&headers), &rows);
    if access.others > 0 {
        page.push_str(&format!("and {} more that were refused\n", access.others));
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        command::{columns::Look, pages::Paged},
        http::tests::now,
    };

    #[test]
    fn accesses_are_listed_in_every_form_and_shown_whole() {
        let root = "07".repeat(32);
        let entry: ListedEntry = serde_json::from_value(json!({
            "log": "prod", "index": 9, "recorded_at": "2026-05-01T11:00:00Z", "leaf_hash": root,
            "access": {
                "access": "a", "since": "2026-05-01T10:59:59Z", "until": "2026-05-01T11:00:00Z", "others": 3,
                "acts": [
                    {"decision": "forbid", "verb": "get", "resource": "/api/v1/executions", "count": 40},
                    {"actor": "jo", "decision": "allow", "verb": "get", "resource": "executionrecords/source",
                     "namespace": "shop", "log": "prod", "execution_id": "uid-1", "count": 2},
                    {"actor": "jo", "decision": "allow", "verb": "verify", "resource": "logs", "log": "prod", "count": 1,
                     "verified": {"size": 300, "root": root, "findings": 0}},
                ],
            },
        }))
        .unwrap();
        insta::assert_snapshot!(page(entry.access.as_ref().unwrap()), @r"
        BY            DECISION  VERB    RESOURCE                 NAMESPACE  LOG   WHAT                     REQUESTS
        nobody known  forbid    get     /api/v1/executions                                                 40
        jo            allow     get     executionrecords/source  shop       prod  uid-1                    2
        jo            allow     verify  logs                                prod  300 entries, 0 findings  1
        and 3 more that were refused
        ");
        let look = Look { on_terminal: false, in_colour: false, now: now() };
        let forms = ["table", "wide", "csv", "name"];
        let entries = [entry];
        let forms = forms.map(|form| Paged::of(&format!("-o {form}")).written(&SHAPE, look, &entries));
        insta::assert_snapshot!(forms.join("\n"), @r#"
        ENTRY   UNTIL    REQUESTS  REFUSED  BY                WHAT
        prod/9  60m ago  46        43       jo, nobody known  get /api/v1/executions, get executionrecords/source, verify logs

        ENTRY   UNTIL    REQUESTS  REFUSED  BY                WHAT                                                              SINCE    ENTERED
        prod/9  60m ago  46        43       jo, nobody known  get /api/v1/executions, get executionrecords/source, verify logs  60m ago  60m ago

        log,index,recorded_at,since,until,requests,refused,actors,what
        prod,9,2026-05-01T11:00:00.000000Z,2026-05-01T10:59:59.000000Z,2026-05-01T11:00:00.000000Z,46,43,"jo, nobody known","get /api/v1/executions, get executionrecords/source, verify logs"

        prod/9
        "#);
    }
}
