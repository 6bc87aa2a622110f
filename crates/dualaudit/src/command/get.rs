//! `dualaudit get ID`: one execution in full.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Context as _, anyhow};
use dualaudit_record::execution::{StepExecutionAudit, StoredExecution};

use serde_json::Value;

use super::{
    columns::{Cell, Look, styled},
    follow,
    kubectl::Reads,
    output::{self, Columns, Form, shown},
    reader::{Reader, ReaderArgs},
    wrong_usage,
};
use crate::{
    client::ClientError,
    query::{Found, GetError, LiveState, Revision, Wanted},
    store::Receipt,
};

const EXAMPLES: &str = "\
Examples:
  dualaudit get shop/web-1
  dualaudit get 3c6f1a52-0f55-4a0e-9d0c-0f2f2f1f8a11
  dualaudit get order-4711 --log http --attempt 1 -o yaml
  dualaudit get shop/web-1 --source -o json
  dualaudit get 3c6f1a52-0f55-4a0e-9d0c-0f2f2f1f8a11 --server http://127.0.0.1:8080 --follow";

/// Show one execution in full.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The execution's id: the resource's uid, or the producer's id. Or NAMESPACE/NAME of its resource, of which it is the
    /// newest.
    #[arg(value_name = "ID")]
    id: String,
    /// The namespace of a resource that is only named.
    #[arg(short, long)]
    namespace: Option<String>,
    /// The log it is in; needed where the id is in several.
    #[arg(long)]
    log: Option<String>,
    /// Which attempt; the latest unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    attempt: Option<u32>,
    /// While it is live, go on with its steps as they come along, until it is recorded. Takes a server. As JSON and YAML
    /// each change is a document of its own.
    #[arg(short, long)]
    follow: bool,
    /// Show the object that it was recorded from, as it was observed, with secret values replaced; as YAML unless JSON is
    /// asked for.
    #[arg(long, conflicts_with = "follow")]
    source: bool,
    #[command(flatten)]
    reader: ReaderArgs,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl Args {
    /// Where it reads, and in which namespace names are.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        Reads { reader: &mut self.reader, namespace: Some(&mut self.namespace) }
    }
}

/// Shows it.
///
/// # Errors
/// That there is none like that, or several; what could not be reached or written, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.follow && !args.reader.is_server() {
        return Ok(wrong_usage("--follow asks a server what happens: name one by --server"));
    }
    let reader = args.reader.open().await?;
    let wanted = Wanted { id: args.id, log: args.log, attempt: args.attempt };
    let found = find(&reader, wanted, args.namespace.as_deref()).await?;
    if args.source {
        let object = source(&reader, &found).await?;
        let mut out = output::stdout();
        let form = if args.output == Form::Table { Form::Yaml } else { args.output };
        output::document(&mut out, form, &object, String::new)?;
        return Ok(ExitCode::SUCCESS);
    }
    for warning in &found.warnings {
        eprintln!("warning: {}", shown(&warning.detail));
    }
    output::document(&mut output::stdout(), args.output, &found, || page(&found, Look::of_stdout()))?;
    if args.follow
        && let Reader::Server(client) = &reader
    {
        follow::steps(&mut output::stdout(), args.output, client, &found).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The object that what was found was recorded from.
async fn source(reader: &Reader, found: &Found) -> anyhow::Result<Value> {
    let live =
        found.live.as_ref().map(|LiveState { summary, .. }| (&summary.id, &summary.log, summary.attempt));
    let recorded = found.record.as_ref().zip(found.receipt.as_ref());
    let recorded = recorded.map(|(stored, receipt)| (&stored.record.id, &receipt.log, stored.record.attempt));
    let (id, log, attempt) = recorded.or(live).context("there is neither a record nor a resource")?;
    let wanted = Wanted { id: id.clone(), log: Some(log.clone()), attempt: Some(attempt) };
    Ok(serde_json::from_slice(&reader.source(&wanted).await?)?)
}

/// The execution of an id; where there is none, the newest of a resource that is called so.
///
/// # Errors
/// That there is none, or several; what could not be reached, and why.
pub(super) async fn find(reader: &Reader, wanted: Wanted, namespace: Option<&str>) -> anyhow::Result<Found> {
    let error = match reader.get(&wanted).await {
        Err(error) if is_unknown(&error) => error,
        answered => return answered,
    };
    let named = wanted.id.split_once('/').or_else(|| Some((namespace?, wanted.id.as_str())));
    let Some((namespace, name)) = named.filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())
    else {
        return Err(error);
    };
    let mut pairs: Vec<(String, String)> = [("namespace", namespace), ("name", name), ("limit", "1")]
        .map(|(of, is)| (of.to_owned(), is.to_owned()))
        .into();
    pairs.extend(wanted.log.iter().map(|log| ("log".to_owned(), log.clone())));
    match reader.list(&pairs).await?.items.into_iter().next() {
        Some(row) => {
            reader
                .get(&Wanted {
                    id: row.id,
                    log: Some(row.log),
                    attempt: wanted.attempt.or(Some(row.attempt)),
                })
                .await
        }
        None => Err(anyhow!("{error}, and none of a resource {namespace}/{name}")),
    }
}

/// Whether it is said that there is none like that.
fn is_unknown(error: &anyhow::Error) -> bool {
    let by_server = error.downcast_ref::<ClientError>().and_then(ClientError::problem);
    by_server.is_some_and(|problem| problem.name() == "no-such-execution")
        || matches!(error.downcast_ref(), Some(GetError::NotFound(_)))
}

/// A resource's namespace and name, as far as there are any.
pub(super) fn resource(namespace: Option<&str>, name: Option<&str>) -> String {
    match (namespace, name) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (None, Some(name)) => name.to_owned(),
        (Some(namespace), None) => format!("{namespace}/"),
        (None, None) => String::new(),
    }
}

/// An execution for people.
fn page(found: &Found, look: Look) -> String {
    let head = head(found).into_iter().map(|row| styled(row, look));
    let mut page = Columns::default().lay_out_cells(None, head, look.in_colour);
    let mut section = |title: &str, header: &[&str], rows: Vec<Vec<Cell>>| {
        section(&mut page, title, header, rows, look);
    };
    let (steps, adjustments) = match (&found.record, &found.live) {
        (Some(StoredExecution { record, .. }), _) => {
            (&record.step_executions[..], &record.adaptive_adjustments[..])
        }
        (None, Some(live)) => (&live.step_executions[..], &live.adaptive_adjustments[..]),
        (None, None) => Default::default(),
    };
    const STEPS: &[&str] = &["STEP", "ACTION", "STATUS", "DURATION", "RETRIES", "ERROR"];
    section("Steps", STEPS, steps.iter().map(step).collect());
    if let Some(later) = later_attempt(found) {
        let title = format!("Steps of attempt {}, which is live", later.summary.attempt);
        section(&title, STEPS, later.step_executions.iter().map(step).collect());
    }
    let adjustments = adjustments.iter().map(|adjustment| {
        vec![
            adjustment.step_number.into(),
            output::name(&adjustment.adjustment_type).into(),
            adjustment.from.clone().into(),
            adjustment.to.clone().into(),
            output::time(adjustment.timestamp).into(),
            adjustment.reason.clone().into(),
        ]
    });
    section("Adjustments", &["STEP", "TYPE", "FROM", "TO", "AT", "REASON"], adjustments.collect());
    let erased = found.erased.iter().map(|erased| {
        let log = found.receipt.as_ref().map_or("", |receipt| &receipt.log);
        vec![output::time(erased.erased_at).into(), format!("{log}/{}", erased.index).into()]
    });
    section("Erased: what is shown is what is left", &["AT", "BY"], erased.collect());
    let reviews = found.reviews.iter().map(|review| {
        let verdict = Cell::Word(review.verdict.to_string());
        let (at, actor, note) = (review.recorded_at, review.actor.clone(), review.note.clone());
        vec![output::time(at).into(), verdict, actor.into(), note.into()]
    });
    section("Reviews", &["AT", "VERDICT", "BY", "NOTE"], reviews.collect());
    let windows = found.windows.iter().map(|window| {
        let (until, since) = (output::time(window.until), output::time(window.recorded_at));
        vec![until.into(), since.into(), window.actor.clone().into(), window.reason.clone().into()]
    });
    section("Windows", &["UNTIL", "SINCE", "BY", "REASON"], windows.collect());
    let holds = found.holds.iter().map(|held| {
        let (actor, reason) = (held.hold.actor.clone(), held.hold.reason.clone());
        vec![output::time(held.placed_at).into(), actor.into(), reason.into()]
    });
    section("Holds", &["SINCE", "ACTOR", "REASON"], holds.collect());
    // One revision is what the receipt says already.
    if found.revisions_total > 1 {
        let revisions = found.revisions.iter().map(|revision| {
            let Receipt { index, recorded_at, .. } = &revision.receipt;
            let record = &revision.record.record;
            vec![
                revision.record.revision.into(),
                output::time(*recorded_at).into(),
                index.to_string().into(),
                Cell::Word(output::name(&record.outcome)),
                Cell::Score(record.effectiveness_score),
                changed(revision).into(),
            ]
        });
        let shown = found.revisions.len();
        let title = match found.revisions_total {
            total if total as usize > shown => format!("Revisions (the latest {shown} of {total})"),
            _ => "Revisions".to_owned(),
        };
        section(
            &title,
            &["REVISION", "RECORDED", "INDEX", "OUTCOME", "SCORE", "CHANGED"],
            revisions.collect(),
        );
    }
    let receipt = found.receipt.iter().flat_map(|Receipt { log, index, leaf_hash, recorded_at, .. }| {
        [
            ("log", log.clone()),
            ("index", index.to_string()),
            ("leaf hash", leaf_hash.to_string()),
            ("recorded at", recorded_at.to_string()),
        ]
    });
    section(
        "Receipt",
        &[],
        receipt.map(|(name, value)| vec![name.to_owned().into(), value.into()]).collect(),
    );
    page
}

/// Which parts of a record a revision changed; the other forms have how.
fn changed(revision: &Revision) -> String {
    let changes = revision.changes.as_ref().map_or(&[][..], |changes| &changes.0);
    let parts: Vec<_> = changes.iter().map(|change| change.path().as_str().trim_start_matches('/')).collect();
    parts.join(", ")
}

/// A step as a row.
pub(super) fn step(step: &StepExecutionAudit) -> Vec<Cell> {
    vec![
        step.step_number.into(),
        step.action.clone().into(),
        Cell::Word(output::name(&step.status)),
        Cell::Duration(step.duration),
        step.retries_attempted.into(),
        step.error_message.clone().into(),
    ]
}

fn head(found: &Found) -> Vec<Vec<Cell>> {
    let mut rows = found.record.as_ref().map(recorded).unwrap_or_default();
    if let Some(live) = &found.live {
        rows.extend(match later_attempt(found) {
            Some(LiveState { summary, .. }) => {
                vec![("Live", format!("attempt {}, {}", summary.attempt, summary.phase).into())]
            }
            None => self::live(live, rows.is_empty()),
        });
    }
    let told = rows.into_iter().filter(|(_, value)| *value != Cell::Text(String::new()));
    told.map(|(name, value)| vec![name.to_owned().into(), value]).collect()
}

/// What is live, where that is another attempt than the one that is recorded.
fn later_attempt(found: &Found) -> Option<&LiveState> {
    let recorded = found.record.as_ref()?.record.attempt;
    found.live.as_ref().filter(|live| live.summary.attempt != recorded)
}

/// What is live of it; `alone` where nothing is recorded.
fn live(live: &LiveState, alone: bool) -> Vec<(&'static str, Cell)> {
    let of = &live.summary;
    let steps = format!("{} of {} completed, {} failed", of.steps_completed, of.total_steps, of.steps_failed);
    let mut rows = Vec::new();
    if alone {
        rows.extend([
            ("ID", of.id.clone().into()),
            ("Attempt", of.attempt.into()),
            ("Workflow", format!("{} {}", of.workflow_name, of.workflow_version).trim().to_owned().into()),
            ("Resource", resource(of.namespace.as_deref(), of.name.as_deref()).into()),
            ("Remediation", of.remediation_id.clone().into()),
            ("Incident", of.incident_type.clone().into()),
            ("Steps", steps.into()),
            ("Error", of.error_message.clone().into()),
            ("Created", output::time(of.created_at).into()),
            ("Started", of.started_at.map(output::time).into()),
        ]);
    }
    rows.push(("Phase", Cell::Word(of.phase.clone())));
    rows.push(("In review until", of.review_until.map(output::time).into()));
    rows
}

fn recorded(StoredExecution { record, revision, .. }: &StoredExecution) -> Vec<(&'static str, Cell)> {
    let target = record.target.as_ref().map_or_else(String::new, |target| {
        let kind = target.kind.as_ref().map_or_else(String::new, |kind| format!("{kind} "));
        format!("{kind}{}", resource(target.namespace.as_deref(), target.name.as_deref()))
    });
    let labels: Vec<_> = record.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let score = format!("{:.2}, {}", record.effectiveness_score, output::name(&record.score_source));
    let steps = format!(
        "{} of {} completed, {} failed, {} rolled back",
        record.steps_completed, record.total_steps, record.steps_failed, record.rollbacks_performed
    );
    vec![
        ("ID", record.id.clone().into()),
        ("Attempt", record.attempt.into()),
        ("Revision", (*revision).into()),
        (
            "Workflow",
            format!("{} {}", record.workflow_name, record.workflow_version).trim().to_owned().into(),
        ),
        ("Resource", resource(record.namespace.as_deref(), record.name.as_deref()).into()),
        ("Cluster", record.cluster.clone().into()),
        ("Remediation", record.remediation_id.clone().into()),
        ("Incident", record.incident_type.clone().into()),
        ("Target", target.into()),
        ("Labels", labels.join(", ").into()),
        ("Status", Cell::Word(output::name(&record.status))),
        ("Outcome", Cell::Word(output::name(&record.outcome))),
        ("Score", score.into()),
        ("Steps", steps.into()),
        ("Error", record.error_message.clone().into()),
        ("Created", output::time(record.created_at).into()),
        ("Started", record.started_at.map(output::time).into()),
        ("Completed", output::time(record.completed_at).into()),
        ("Queued", record.queued_duration.map(output::duration).into()),
        ("Duration", Cell::Duration(record.total_duration)),
    ]
}

fn section(page: &mut String, title: &str, header: &[&str], rows: Vec<Vec<Cell>>, look: Look) {
    if rows.is_empty() {
        return;
    }
    let header = Some(header).filter(|header| !header.is_empty());
    let _ = writeln!(page, "\n{}", shown(title));
    let rows = rows.into_iter().map(|row| styled(row, look));
    for line in Columns::default().lay_out_cells(header, rows, look.in_colour).lines() {
        let _ = writeln!(page, "  {line}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        http::tests::{Served, now, posting, record},
        query::{self, Sides, Summary},
    };

    #[tokio::test]
    async fn an_execution_is_a_page_for_people() {
        let served = Served::new().await;
        let mut full = record("order-4711");
        for (field, value) in [
            ("namespace", json!("shop")),
            ("name", json!("web-1")),
            ("cluster", json!("prod")),
            ("incident_type", json!("oom")),
            ("target", json!({"kind": "Deployment", "namespace": "shop", "name": "web"})),
            ("labels", json!({"team": "a", "tier": "front"})),
            ("started_at", json!("2026-05-01T07:58:30Z")),
            ("queued_duration", json!(1_500_000)),
            ("status", json!("failed")),
            ("outcome", json!("partial")),
            ("steps_completed", json!(1)),
            ("steps_failed", json!(1)),
            ("error_message", json!("step 2: \u{1b}[31mno quota\nleft")),
            (
                "adaptive_adjustments",
                json!([{"step_number": 2, "adjustment_type": "timeout", "reason": "slow nodes",
                        "timestamp": "2026-05-01T07:59:00Z", "from": "30s", "to": "60s"}]),
            ),
        ] {
            full[field] = value;
        }
        served.post_json(&full).await;
        full["effectiveness_score"] = json!(0.4);
        let amendment = posting("/api/v1/executions?amend=true").header("if-match", "1");
        let answered = served.send(amendment.body(full.to_string().into()).unwrap()).await;
        assert_eq!(answered.status, 201, "{answered:?}");
        let review = posting("/api/v1/executions/order-4711/reviews");
        let said = json!({"verdict": "ineffective", "note": "the\nquota is the cause", "actor": "jo"});
        assert_eq!(served.send(review.body(said.to_string().into()).unwrap()).await.status, 201);
        let wanted = Wanted { id: "order-4711".into(), log: None, attempt: None };
        let found =
            query::get(Sides { store: served.store.inner.as_ref(), live: None }, &wanted).await.unwrap();
        let leaf = found.receipt.as_ref().unwrap().leaf_hash.to_string();
        let look = Look { on_terminal: false, in_colour: false, now: now() };
        insta::assert_snapshot!(page(&found, look).replace(&leaf, "LEAF"), @r#"
        ID           order-4711
        Attempt      1
        Revision     2
        Workflow     restart-deployment v1.2.0
        Resource     shop/web-1
        Cluster      prod
        Remediation  rem-1
        Incident     oom
        Target       Deployment shop/web
        Labels       team=a, tier=front
        Status       failed
        Outcome      partial
        Score        0.40, reported
        Steps        1 of 2 completed, 1 failed, 0 rolled back
        Error        step 2: \u{1b}[31mno quota\nleft
        Created      2026-05-01T07:58:30Z
        Started      2026-05-01T07:58:30Z
        Completed    2026-05-01T08:00:00Z
        Queued       1ms
        Duration     1m30s

        Steps
          STEP  ACTION   STATUS     DURATION  RETRIES  ERROR
          1     drain    completed  30.0s     0
          2     restart  completed  1m00s     1

        Adjustments
          STEP  TYPE     FROM  TO   AT                    REASON
          2     timeout  30s   60s  2026-05-01T07:59:00Z  slow nodes

        Reviews
          AT                    VERDICT      BY  NOTE
          2026-05-01T12:00:00Z  ineffective  jo  the\nquota is the cause

        Revisions
          REVISION  RECORDED              INDEX  OUTCOME  SCORE  CHANGED
          2         2026-05-01T12:00:00Z  1      partial  0.40   effectiveness_score
          1         2026-05-01T12:00:00Z  0      partial  0.95

        Receipt
          log          http
          index        1
          leaf hash    LEAF
          recorded at  2026-05-01T12:00:00.000004Z
        "#);
        let coloured = page(&found, Look { in_colour: true, ..look });
        let coloured: Vec<_> = coloured.lines().filter(|line| line.contains('\u{1b}')).collect();
        insta::assert_snapshot!(coloured.join("\n").replace('\u{1b}', "␛"), @r"
        Status       ␛[38;5;1mfailed                                     ␛[39m
        Outcome      ␛[38;5;3mpartial                                    ␛[39m
          1     drain    ␛[38;5;2mcompleted  ␛[39m30.0s     0
          2     restart  ␛[38;5;2mcompleted  ␛[39m1m00s     1
          2026-05-01T12:00:00Z  ␛[38;5;3mineffective  ␛[39mjo  the\nquota is the cause
          2         2026-05-01T12:00:00Z  1      ␛[38;5;3mpartial  ␛[39m0.40   effectiveness_score
          1         2026-05-01T12:00:00Z  0      ␛[38;5;3mpartial  ␛[39m0.95
        ");
        let mut again = found.clone();
        let record = again.record.clone().unwrap();
        let steps = record.record.step_executions[..1].to_vec();
        let mut summary = Summary::recorded("http", record, None);
        (summary.attempt, summary.phase) = (2, "Executing".to_owned());
        again.live = Some(LiveState {
            summary,
            held: false,
            step_executions: steps,
            adaptive_adjustments: Vec::new(),
            resource: None,
        });
        let (page, again) = (page(&found, look), page(&again, look));
        let more: Vec<_> = again.lines().filter(|line| !page.lines().any(|known| known == *line)).collect();
        insta::assert_snapshot!(more.join("\n"), @r"
        Live         attempt 2, Executing
        Steps of attempt 2, which is live
          STEP  ACTION  STATUS     DURATION  RETRIES  ERROR
          1     drain   completed  30.0s     0
        ");
        let yaml = output::yaml(&found).unwrap();
        assert_eq!(serde_saphyr::from_str::<Found>(&yaml).unwrap(), found, "{yaml}");
    }
}
