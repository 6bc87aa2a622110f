//! `dualaudit list`: what is recorded.

use std::{io::Write, process::ExitCode};

use serde::Serialize;

use super::{
    kubectl::Reads,
    output::{self, Out},
    pages::{Cells, PageArgs, Printer, Shape, asked_wrongly, ended},
    reader::{Reader, ReaderArgs},
};
use crate::{
    clock::{Clock, SystemClock},
    query::{ListRequest, Summary},
};

const EXAMPLES: &str = "\
Examples:
  dualaudit list --outcome failed --since 24h
  dualaudit list --workflow restart-pods --counted --completed-since 28d
  dualaudit list -n shop -l 'team in (a,b),!canary' --min-duration 5m -o json
  dualaudit list --server http://127.0.0.1:8080 --all -o csv > executions.csv";

/// List recorded executions, newest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    reader: ReaderArgs,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    pages: PageArgs,
}

impl Args {
    /// Where it reads, and which namespace it is about.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        Reads { reader: &mut self.reader, namespace: Some(self.filters.namespace()) }
    }
}

/// The filters of the API, as flags. What they may hold is checked where the API checks it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filters {
    /// The workflow's name.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// The workflow's version.
    #[arg(long)]
    version: Option<String>,
    /// success, failed or partial.
    #[arg(long)]
    outcome: Option<String>,
    /// completed, failed, cancelled, timed_out or deleted.
    #[arg(long)]
    status: Option<String>,
    /// The log it is in: a cluster's name, or http.
    #[arg(long)]
    log: Option<String>,
    /// The cluster it ran in.
    #[arg(long)]
    cluster: Option<String>,
    /// The namespace it ran in.
    #[arg(short, long)]
    namespace: Option<String>,
    /// What it set out to remediate.
    #[arg(long, value_name = "ID")]
    remediation_id: Option<String>,
    /// The kind of incident it answers.
    #[arg(long, value_name = "TYPE")]
    incident_type: Option<String>,
    /// What it worked on: KIND/NAME or NAME.
    #[arg(long)]
    target: Option<String>,
    /// The kind of what it worked on.
    #[arg(long, value_name = "KIND")]
    target_kind: Option<String>,
    /// A label selector, such as 'team=a,tier!=test'.
    #[arg(short, long, value_name = "SELECTOR")]
    labels: Option<String>,
    /// Created at or after: a time, or a time ago such as 24h.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Created before: a time, or a time ago such as 24h.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Ended at or after: a time, or a time ago such as 24h.
    #[arg(long, value_name = "TIME")]
    completed_since: Option<String>,
    /// Ended before: a time, or a time ago.
    #[arg(long, value_name = "TIME")]
    completed_until: Option<String>,
    /// Took at least, such as 90s or 5m.
    #[arg(long, value_name = "DURATION")]
    min_duration: Option<String>,
    /// Took at most.
    #[arg(long, value_name = "DURATION")]
    max_duration: Option<String>,
    /// Effectiveness score at least, from 0 to 1.
    #[arg(long, value_name = "SCORE")]
    min_score: Option<String>,
    /// Effectiveness score at most.
    #[arg(long, value_name = "SCORE")]
    max_score: Option<String>,
    /// Only those that the rates of `stats` are of: the last attempt of each, unless it was cancelled or deleted.
    #[arg(long)]
    counted: bool,
}

impl Filters {
    /// The namespace that is asked about.
    pub(super) fn namespace(&mut self) -> &mut Option<String> {
        &mut self.namespace
    }

    /// As parameters of the API.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let pairs = [
            ("workflow", &self.workflow),
            ("version", &self.version),
            ("outcome", &self.outcome),
            ("status", &self.status),
            ("log", &self.log),
            ("cluster", &self.cluster),
            ("namespace", &self.namespace),
            ("remediation_id", &self.remediation_id),
            ("incident_type", &self.incident_type),
            ("target", &self.target),
            ("target_kind", &self.target_kind),
            ("labels", &self.labels),
            ("since", &self.since),
            ("until", &self.until),
            ("completed_since", &self.completed_since),
            ("completed_until", &self.completed_until),
            ("min_duration", &self.min_duration),
            ("max_duration", &self.max_duration),
            ("min_score", &self.min_score),
            ("max_score", &self.max_score),
        ];
        let given = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        given.chain(self.counted.then(|| ("counted".to_owned(), "true".to_owned()))).collect()
    }
}

/// Lists.
///
/// # Errors
/// What could not be reached or written, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // What is asked wrongly is told first, whatever becomes of the database.
    let mut asked = args.filters.pairs();
    asked.extend(args.pages.cursor.iter().map(|cursor| ("cursor".to_owned(), cursor.clone())));
    if let Err(bad) = ListRequest::parse(&asked, SystemClock.now()) {
        return Ok(asked_wrongly(&bad));
    }
    let reader = args.reader.open().await?;
    let printer = Printer::new(args.pages.output, &SHAPE);
    ended(write(&args, &reader, printer, &mut output::stdout()).await)
}

/// Writes the pages asked for; returns where a further list would begin.
async fn write<W: Write>(
    args: &Args,
    reader: &Reader,
    printer: Printer<Summary>,
    out: &mut Out<W>,
) -> anyhow::Result<Option<String>> {
    let fetch = async |mut pairs: Vec<(String, String)>| {
        pairs.extend(args.filters.pairs());
        let page = reader.list(&pairs).await?;
        Ok((page.items, page.next_cursor))
    };
    args.pages.write(printer, out, fetch).await
}

static SHAPE: Shape<Summary> = Shape { table: TABLE, csv: CSV, nothing: "Nothing is recorded that fits." };

const TABLE: Cells<Summary> = &[
    ("ID", |item| match item.attempt {
        1 => item.id.clone(),
        attempt => format!("{} (attempt {attempt})", item.id),
    }),
    ("NAMESPACE/NAME", |item| super::get::resource(item.namespace.as_deref(), item.name.as_deref())),
    ("WORKFLOW", |item| item.workflow_name.clone()),
    ("VERSION", |item| item.workflow_version.clone()),
    ("PHASE", |item| item.phase.clone()),
    ("OUTCOME", |item| named(item.outcome.as_ref())),
    ("SCORE", |item| item.effectiveness_score.map_or_else(String::new, |score| format!("{score:.2}"))),
    ("STEPS", |item| format!("{}/{}", item.steps_completed, item.total_steps)),
    ("DURATION", |item| item.total_duration.map_or_else(String::new, output::duration)),
    ("COMPLETED", |item| item.completed_at.map_or_else(String::new, output::time)),
    ("TIERS", |item| item.tiers.iter().map(output::name).collect::<Vec<_>>().join(",")),
    ("LOG", |item| item.log.clone()),
];

/// What has no value yet is empty.
fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn named<T: Serialize>(value: Option<&T>) -> String {
    value.map_or_else(String::new, output::name)
}

const CSV: Cells<Summary> = &[
    ("id", |item| item.id.clone()),
    ("attempt", |item| item.attempt.to_string()),
    ("revision", |item| text(item.revision)),
    ("log", |item| item.log.clone()),
    ("cluster", |item| item.cluster.clone().unwrap_or_default()),
    ("namespace", |item| item.namespace.clone().unwrap_or_default()),
    ("name", |item| item.name.clone().unwrap_or_default()),
    ("remediation_id", |item| item.remediation_id.clone()),
    ("workflow_name", |item| item.workflow_name.clone()),
    ("workflow_version", |item| item.workflow_version.clone()),
    ("incident_type", |item| item.incident_type.clone().unwrap_or_default()),
    ("status", |item| named(item.status.as_ref())),
    ("outcome", |item| named(item.outcome.as_ref())),
    ("effectiveness_score", |item| text(item.effectiveness_score)),
    ("score_source", |item| named(item.score_source.as_ref())),
    ("total_steps", |item| item.total_steps.to_string()),
    ("steps_completed", |item| item.steps_completed.to_string()),
    ("steps_failed", |item| item.steps_failed.to_string()),
    ("rollbacks_performed", |item| item.rollbacks_performed.to_string()),
    ("total_duration", |item| text(item.total_duration)),
    ("created_at", |item| item.created_at.to_string()),
    ("completed_at", |item| text(item.completed_at)),
    ("recorded_at", |item| text(item.recorded_at)),
    ("error_message", |item| item.error_message.clone()),
    ("phase", |item| item.phase.clone()),
    ("tiers", |item| item.tiers.iter().map(output::name).collect::<Vec<_>>().join(" ")),
    ("review_until", |item| text(item.review_until)),
];

#[cfg(test)]
mod tests {
    use std::{io::BufWriter, sync::Arc};

    use clap::{Args as _, FromArgMatches};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        command::{output::Pipe, pages::ListForm},
        http::{
            serve,
            tests::{Served, record},
        },
    };

    fn args(line: &str) -> Args {
        let command = Args::augment_args(clap::Command::new("list"));
        let words = std::iter::once("list").chain(line.split_whitespace());
        Args::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    async fn served_with(count: usize) -> Served {
        let served = Served::new().await;
        let records: Vec<_> = (0..count)
            .map(|n| {
                let mut record = record(&format!("r{n:04}"));
                record["created_at"] = "2026-04-30T10:00:00Z".into();
                record["namespace"] = "shop".into();
                record["name"] = format!("web-{n}").into();
                record
            })
            .collect();
        assert!(served.post_json(&json!(records)).await.status.is_success());
        served
    }

    async fn listed_by(reader: &Reader, line: &str) -> (String, Option<String>) {
        let mut out = BufWriter::new(Pipe::new(Vec::new()));
        let args = args(line);
        let next =
            write(&args, reader, Printer::on(args.pages.output, &SHAPE, false), &mut out).await.unwrap();
        (String::from_utf8(out.into_inner().unwrap().into_inner()).unwrap(), next)
    }

    async fn listed(served: &Served, line: &str) -> (String, Option<String>) {
        listed_by(&Reader::Database(Arc::clone(&served.store.inner)), line).await
    }

    #[tokio::test]
    async fn a_list_is_a_table_for_people() {
        let served = served_with(3).await;
        let (text, next) = listed(&served, "--limit 2").await;
        insta::assert_snapshot!(text, @r"
        ID     NAMESPACE/NAME  WORKFLOW            VERSION  PHASE      OUTCOME  SCORE  STEPS  DURATION  COMPLETED             TIERS   LOG
        r0000  shop/web-0      restart-deployment  v1.2.0   Completed  success  0.95   2/2    1m30s     2026-05-01T08:00:00Z  stored  http
        r0001  shop/web-1      restart-deployment  v1.2.0   Completed  success  0.95   2/2    1m30s     2026-05-01T08:00:00Z  stored  http
        ");
        let (rest, end) = listed(&served, &format!("--cursor {}", next.unwrap())).await;
        insta::assert_snapshot!(rest, @r"
        ID     NAMESPACE/NAME  WORKFLOW            VERSION  PHASE      OUTCOME  SCORE  STEPS  DURATION  COMPLETED             TIERS   LOG
        r0002  shop/web-2      restart-deployment  v1.2.0   Completed  success  0.95   2/2    1m30s     2026-05-01T08:00:00Z  stored  http
        ");
        assert_eq!((end, listed(&served, "-n none").await.0.as_str()), (None, ""));
    }

    #[tokio::test]
    async fn every_form_holds_the_same_however_many_pages_it_takes() {
        let served = served_with(2300).await;
        let json: Value = serde_json::from_str(&listed(&served, "--all -o json").await.0).unwrap();
        let ids: Vec<_> = json["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        assert_eq!((ids.len(), &ids[0], &json["next_cursor"]), (2300, &json!("r0000"), &Value::Null));
        let yaml: Value = serde_saphyr::from_str(&listed(&served, "--all -o yaml").await.0).unwrap();
        assert!(yaml == json);
        let (csv, _) = listed(&served, "--all -o csv").await;
        let mut csv = csv::Reader::from_reader(csv.as_bytes());
        let rows: Vec<_> = csv.records().map(|row| row.unwrap()[0].to_owned()).collect();
        assert_eq!(json!(rows), json!(ids));
        let (table, _) = listed(&served, "--limit 2100").await;
        assert_eq!((table.lines().count(), table.matches("OUTCOME").count()), (2101, 1));
    }

    #[tokio::test]
    async fn a_record_cannot_command_a_terminal_in_any_form() {
        let served = Served::new().await;
        let mut record = record("a");
        record["error_message"] = "\u{1b}[2J\u{9b}2J".into();
        assert_eq!(served.post_json(&record).await.status, 201);
        let reader = Reader::Database(Arc::clone(&served.store.inner));
        let printed = async |form: ListForm, on_terminal| {
            let mut out = BufWriter::new(Pipe::new(Vec::new()));
            write(&args(""), &reader, Printer::on(form, &SHAPE, on_terminal), &mut out).await.unwrap();
            String::from_utf8(out.into_inner().unwrap().into_inner()).unwrap()
        };
        for form in [ListForm::Table, ListForm::Json, ListForm::Yaml, ListForm::Csv] {
            let text = printed(form, true).await;
            assert!(!text.contains(['\u{1b}', '\u{9b}']), "{form:?} {text:?}");
        }
        assert!(printed(ListForm::Csv, false).await.contains("\u{1b}[2J\u{9b}2J"));
    }

    #[tokio::test]
    async fn a_list_of_nothing_is_whole_in_every_form() {
        let served = served_with(0).await;
        insta::assert_snapshot!(listed(&served, "-o json").await.0, @r#"{"items":[],"next_cursor":null}"#);
        insta::assert_snapshot!(listed(&served, "-o yaml").await.0, @r"
        items: []
        next_cursor: null
        ");
        insta::assert_snapshot!(listed(&served, "-o csv").await.0, @"id,attempt,revision,log,cluster,namespace,name,remediation_id,workflow_name,workflow_version,incident_type,status,outcome,effectiveness_score,score_source,total_steps,steps_completed,steps_failed,rollbacks_performed,total_duration,created_at,completed_at,recorded_at,error_message,phase,tiers,review_until");
    }

    #[tokio::test]
    async fn a_server_and_a_database_list_the_same() {
        let served = served_with(5).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("--server http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, served.router.clone(), std::future::pending()));
        let reader = args(&server).reader.open().await.unwrap();
        for line in ["-o json --limit 2", "-n shop --labels !x --since 2026-04-30T00:00:00Z -o json --all"] {
            let (by_server, by_database) = (listed_by(&reader, line).await, listed(&served, line).await);
            // The cursor holds when the list was first asked for.
            let of = |text: &str| serde_json::from_str::<Value>(text).unwrap()["items"].clone();
            assert_eq!(of(&by_server.0), of(&by_database.0));
        }
    }

    #[tokio::test]
    async fn a_filter_that_cannot_be_used_is_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", dir.path().join("a.db").display());
        let missing = run(args(&format!("--database {database}"))).await.unwrap_err();
        assert!(format!("{missing:#}").contains("there is no database"), "{missing:#}");
        args(&format!("--database {database}")).reader.database.open().await.unwrap();
        let code = run(args(&format!("--database {database} --outcome superb"))).await.unwrap();
        assert_eq!(code, ExitCode::from(2));
        assert_eq!(run(args(&format!("--database {database}"))).await.unwrap(), ExitCode::SUCCESS);
    }
}
