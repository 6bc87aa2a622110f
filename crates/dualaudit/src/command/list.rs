//! `dualaudit list`: what is recorded.

mod columns;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    io::Write,
    process::ExitCode,
};

use serde_json::Map;

use super::{
    columns::Look,
    follow::Rows,
    kubectl::Reads,
    output::{self, Out},
    pages::{Fetched, PageArgs, Printer, asked_wrongly, ended},
    reader::{Reader, ReaderArgs},
    wrong_usage,
};
use crate::{
    clock::{Clock, SystemClock},
    query::{Count, ListRequest, Summary},
};

pub(super) use columns::{COLUMNS, SHAPE};

const EXAMPLES: &str = "\
Examples:
  dualaudit list --outcome failed --since 24h
  dualaudit list --workflow restart-pods --counted --completed-since 28d
  dualaudit list -n shop -l 'team in (a,b),!canary' --min-duration 5m -o json
  dualaudit list --server http://127.0.0.1:8080 -n shop --watch
  dualaudit list --columns id,status,completed_at,error_message
  dualaudit list --server http://127.0.0.1:8080 --all -o csv > executions.csv";

/// List executions, those that are live and those that are recorded, newest first.
///
/// A database alone has what is recorded; a server also sees what is live in its cluster.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    reader: ReaderArgs,
    #[command(flatten)]
    filters: Filters,
    /// In this phase, such as executing; of what has ended completed, failed, cancelled, timed_out or deleted.
    #[arg(long)]
    phase: Option<String>,
    /// live: in the cluster, as far as the server sees it; stored: in the database.
    #[arg(long, value_name = "SIDE")]
    tier: Option<String>,
    /// Say how many there are in all.
    #[arg(long)]
    count: bool,
    /// After the list, go on with what is recorded and what changes in the cluster, a line each, as it happens. Takes a
    /// server. As JSON and YAML each is a document of its own.
    #[arg(short, long, conflicts_with_all = ["all", "cursor", "count"])]
    watch: bool,
    #[command(flatten)]
    pages: PageArgs,
}

impl Args {
    /// As parameters of the API.
    fn pairs(&self) -> Vec<(String, String)> {
        let more = [("phase", self.phase.clone()), ("tier", self.tier.clone())];
        let more = more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let count = self.count.then(|| ("count".to_owned(), "true".to_owned()));
        self.filters.pairs().into_iter().chain(more).chain(count).collect()
    }

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
    /// The name of its resource.
    #[arg(long)]
    name: Option<String>,
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
    /// none: nobody has said anything of it; any: somebody has; else what was said last, such as harmful.
    #[arg(long, value_name = "VERDICT")]
    review: Option<String>,
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
            ("name", &self.name),
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
            ("review", &self.review),
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
    let mut asked = args.pairs();
    asked.extend(args.pages.cursor.iter().map(|cursor| ("cursor".to_owned(), cursor.clone())));
    if let Err(bad) = ListRequest::parse(&asked, SystemClock.now()) {
        return Ok(asked_wrongly(&bad));
    }
    let printer = match args.pages.printer(&SHAPE, Look::of_stdout()) {
        Ok(printer) => printer,
        Err(bad) => return Ok(asked_wrongly(&bad)),
    };
    if args.watch
        && let Err(bad) = ListRequest::of_watch(&args.pairs(), SystemClock.now())
    {
        return Ok(asked_wrongly(&bad));
    }
    if args.watch && !args.reader.is_server() {
        return Ok(wrong_usage("--watch asks a server what happens: name one by --server"));
    }
    let reader = args.reader.open().await?;
    if args.watch
        && let Reader::Server(client) = &reader
    {
        let mut out = output::stdout();
        let rows = Rows::new(printer, args.pages.output, &mut out);
        let listed: Vec<_> = args.pairs().into_iter().chain([args.pages.first()]).collect();
        rows.follow(client, &listed, &args.pairs()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    ended(write(&args, &reader, printer, &mut output::stdout()).await)
}

/// Writes the pages asked for; returns where a further list would begin.
async fn write<W: Write>(
    args: &Args,
    reader: &Reader,
    printer: Printer<Summary>,
    out: &mut Out<W>,
) -> anyhow::Result<Option<String>> {
    let told = RefCell::new(BTreeSet::new());
    let (warnings, count) = (RefCell::new(Vec::new()), Cell::new(None));
    // What is said of the list, each once, however many pages say it.
    let tell = |said: String| {
        if told.borrow_mut().insert(said.clone()) {
            eprintln!("{}", output::shown(&said));
        }
    };
    let fetch = async |mut pairs: Vec<(String, String)>| {
        pairs.extend(args.pairs());
        let page = reader.list(&pairs).await?;
        for warning in page.warnings {
            tell(format!("warning: {}", warning.detail));
            if !warnings.borrow().contains(&warning) {
                warnings.borrow_mut().push(warning);
            }
        }
        page.count.as_ref().map(in_all).into_iter().for_each(tell);
        count.set(page.count.or(count.get()));
        let mut beside = Map::new();
        if let Some(count) = count.get() {
            beside.insert("count".to_owned(), serde_json::to_value(count)?);
        }
        if !warnings.borrow().is_empty() {
            beside.insert("warnings".to_owned(), serde_json::to_value(&*warnings.borrow())?);
        }
        Ok(Fetched { items: page.items, next_cursor: page.next_cursor, beside })
    };
    args.pages.write(printer, out, fetch).await
}

fn in_all(count: &Count) -> String {
    let more = if count.at_least { "≥" } else { "" };
    let recorded =
        count.recorded.map(|recorded| format!("; {recorded} were ever recorded")).unwrap_or_default();
    format!("{more}{} in all{recorded}.", count.value)
}

#[cfg(test)]
mod tests {
    use std::{io::BufWriter, sync::Arc};

    use clap::{Args as _, FromArgMatches};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        command::output::Pipe,
        http::{
            serve,
            tests::{Served, now, posting, record},
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
        shown_by(reader, line, Look { on_terminal: false, in_colour: false, now: now() }).await
    }

    async fn shown_by(reader: &Reader, line: &str, look: Look) -> (String, Option<String>) {
        let mut out = BufWriter::new(Pipe::new(Vec::new()));
        let args = args(line);
        let printer = args.pages.printer(&SHAPE, look).unwrap();
        let next = write(&args, reader, printer, &mut out).await.unwrap();
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
        ID     NAMESPACE/NAME  WORKFLOW            VERSION  PHASE      OUTCOME  SCORE  STEPS  DURATION  COMPLETED  TIERS   LOG
        r0000  shop/web-0      restart-deployment  v1.2.0   Completed  success  0.95   2/2    1m30s     3h59m ago  stored  http
        r0001  shop/web-1      restart-deployment  v1.2.0   Completed  success  0.95   2/2    1m30s     3h59m ago  stored  http
        ");
        let (rest, end) = listed(&served, &format!("--cursor {}", next.unwrap())).await;
        insta::assert_snapshot!(rest, @r"
        ID     NAMESPACE/NAME  WORKFLOW            VERSION  PHASE      OUTCOME  SCORE  STEPS  DURATION  COMPLETED  TIERS   LOG
        r0002  shop/web-2      restart-deployment  v1.2.0   Completed  success  0.95   2/2    1m30s     3h59m ago  stored  http
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
        let printed = async |form: &str, on_terminal| {
            let look = Look { on_terminal, in_colour: false, now: now() };
            shown_by(&reader, &format!("-o {form} --all"), look).await.0
        };
        for form in ["table", "wide", "json", "yaml", "csv", "name"] {
            let text = printed(form, true).await;
            assert!(!text.contains(['\u{1b}', '\u{9b}']), "{form} {text:?}");
        }
        assert!(printed("csv", false).await.contains("\u{1b}[2J\u{9b}2J"));
    }

    #[tokio::test]
    async fn a_list_is_written_in_the_form_and_the_columns_that_are_asked_for() {
        let served = served_with(1).await;
        let failed = posting("/api/v1/executions");
        let mut record = record("x");
        for (field, value) in [
            ("outcome", json!("partial")),
            ("status", json!("timed_out")),
            ("error_message", json!("no quota")),
            ("target", json!({"kind": "Deployment", "name": "web"})),
            ("labels", json!({"team": "a", "tier": "b"})),
            ("completed_at", json!("2026-05-01T11:57:00Z")),
        ] {
            record[field] = value;
        }
        assert_eq!(served.send(failed.body(record.to_string().into()).unwrap()).await.status, 201);
        insta::assert_snapshot!(listed(&served, "-o wide").await.0, @r"
        ID     NAMESPACE/NAME  WORKFLOW            VERSION  PHASE      OUTCOME  SCORE  STEPS  DURATION  COMPLETED  TIERS   LOG   CLUSTER  REMEDIATION  INCIDENT  TARGET          REVISION  REVIEW UNTIL  CREATED    RECORDED  ERROR
        x                      restart-deployment  v1.2.0   TimedOut   partial  0.95   2/2    1m30s     3m ago     stored  http           rem-1                  Deployment/web  1                       4m30s ago  0s ago    no quota
        r0000  shop/web-0      restart-deployment  v1.2.0   Completed  success  0.95   2/2    1m30s     3h59m ago  stored  http           rem-1                                  1                       26h ago    0s ago
        ");
        insta::assert_snapshot!(listed(&served, "--outcome partial -o json").await.0, @r#"
        {"items":[
        {"id":"x","attempt":1,"remediation_id":"rem-1","workflow_name":"restart-deployment","workflow_version":"v1.2.0","total_steps":2,"steps_completed":2,"steps_failed":0,"total_duration":90000000000,"outcome":"partial","effectiveness_score":0.95,"score_source":"reported","rollbacks_performed":0,"completed_at":"2026-05-01T11:57:00.000000Z","status":"timed_out","error_message":"no quota","created_at":"2026-05-01T11:55:30.000000Z","target":{"kind":"Deployment","name":"web"},"labels":{"team":"a","tier":"b"},"revision":1,"recorded_at":"2026-05-01T12:00:00.000004Z","log":"http","tiers":["stored"],"phase":"TimedOut"}
        ],"next_cursor":null}
        "#);
        insta::assert_snapshot!(listed(&served, "--outcome partial -o yaml").await.0, @r#"
        items:
        - id: x
          attempt: 1
          remediation_id: rem-1
          workflow_name: restart-deployment
          workflow_version: v1.2.0
          total_steps: 2
          steps_completed: 2
          steps_failed: 0
          total_duration: 90000000000
          outcome: partial
          effectiveness_score: 0.95
          score_source: reported
          rollbacks_performed: 0
          completed_at: "2026-05-01T11:57:00.000000Z"
          status: timed_out
          error_message: no quota
          created_at: "2026-05-01T11:55:30.000000Z"
          target:
            kind: Deployment
            name: web
          labels:
            team: a
            tier: b
          revision: 1
          recorded_at: "2026-05-01T12:00:00.000004Z"
          log: http
          tiers:
          - stored
          phase: TimedOut
        next_cursor: null
        "#);
        insta::assert_snapshot!(listed(&served, "--outcome partial -o csv").await.0, @r"
        id,attempt,revision,log,cluster,namespace,name,remediation_id,workflow_name,workflow_version,incident_type,status,outcome,effectiveness_score,score_source,total_steps,steps_completed,steps_failed,rollbacks_performed,total_duration,created_at,completed_at,recorded_at,error_message,phase,tiers,review_until
        x,1,1,http,,,,rem-1,restart-deployment,v1.2.0,,timed_out,partial,0.95,reported,2,2,0,0,90000000000,2026-05-01T11:55:30.000000Z,2026-05-01T11:57:00.000000Z,2026-05-01T12:00:00.000004Z,no quota,TimedOut,stored,
        ");
        insta::assert_snapshot!(listed(&served, "-o name").await.0, @r"
        x
        r0000
        ");
        insta::assert_snapshot!(listed(&served, "--columns id,status,labels,steps_failed,created_at").await.0, @r"
        ID     STATUS     LABELS         FAILED  CREATED
        x      timed_out  team=a,tier=b  0       4m30s ago
        r0000  completed                 0       26h ago
        ");
        insta::assert_snapshot!(listed(&served, "-o csv --columns completed_at,total_duration,id").await.0, @r"
        completed_at,total_duration,id
        2026-05-01T11:57:00.000000Z,90000000000,x
        2026-05-01T08:00:00.123456Z,90000000000,r0000
        ");
        insta::assert_snapshot!(listed(&served, "-o csv --no-headers --columns id --columns steps").await.0, @r"
        x,2/2
        r0000,2/2
        ");
        assert_eq!(listed(&served, "--no-headers -n none").await.0, "");
        insta::assert_snapshot!(listed(&served, "--no-headers --columns id,outcome").await.0, @r"
        x      partial
        r0000  success
        ");
        let reader = Reader::Database(Arc::clone(&served.store.inner));
        let look = Look { on_terminal: true, in_colour: true, now: now() };
        let coloured = shown_by(&reader, "--columns status,outcome,id", look).await.0;
        insta::assert_snapshot!(coloured.replace('\u{1b}', "␛"), @r"
        STATUS     OUTCOME  ID
        ␛[38;5;1mtimed_out  ␛[39m␛[38;5;3mpartial  ␛[39mx
        ␛[38;5;2mcompleted  ␛[39m␛[38;5;2msuccess  ␛[39mr0000
        ");
    }

    #[test]
    fn columns_that_there_are_not_are_answered_by_those_there_are() {
        let look = Look { on_terminal: false, in_colour: false, now: now() };
        let refused = |line: &str| args(line).pages.printer(&SHAPE, look).err().unwrap().rule;
        let said = refused("--columns id,colour");
        assert!(
            said.starts_with("is no column of this list; there are id, attempt, revision, log"),
            "{said}"
        );
        for form in ["json", "yaml", "name"] {
            assert!(refused(&format!("-o {form} --columns id")).contains("is for table, wide and csv"));
        }
        for names in [SHAPE.table, SHAPE.wide, SHAPE.csv] {
            assert_eq!(SHAPE.named(names.iter().copied()).unwrap().len(), names.len());
        }
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
