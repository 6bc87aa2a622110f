//! `dualaudit get ID`: one execution in full.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::anyhow;
use dualaudit_record::execution::StoredExecution;

use super::{
    follow,
    kubectl::Reads,
    output::{self, Columns, Form, shown},
    reader::{Reader, ReaderArgs},
    wrong_usage,
};
use crate::{
    client::ClientError,
    query::{Found, GetError, LiveState, Wanted},
    store::Receipt,
};

const EXAMPLES: &str = "\
Examples:
  dualaudit get shop/web-1
  dualaudit get 3c6f1a52-0f55-4a0e-9d0c-0f2f2f1f8a11
  dualaudit get order-4711 --log http --attempt 1 -o yaml
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
    for warning in &found.warnings {
        eprintln!("warning: {}", shown(&warning.detail));
    }
    output::document(&mut output::stdout(), args.output, &found, || page(&found))?;
    if args.follow
        && let Reader::Server(client) = &reader
    {
        follow::steps(&mut output::stdout(), args.output, client, &found).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The execution of an id; where there is none, the newest of a resource that is called so.
async fn find(reader: &Reader, wanted: Wanted, namespace: Option<&str>) -> anyhow::Result<Found> {
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
fn page(found: &Found) -> String {
    let mut page = Columns::default().lay_out(None, &head(found));
    let (steps, adjustments) = match (&found.record, &found.live) {
        (Some(StoredExecution { record, .. }), _) => {
            (&record.step_executions[..], &record.adaptive_adjustments[..])
        }
        (None, Some(live)) => (&live.step_executions[..], &live.adaptive_adjustments[..]),
        (None, None) => Default::default(),
    };
    let steps = steps.iter().map(|step| {
        vec![
            step.step_number.to_string(),
            step.action.clone(),
            output::name(&step.status),
            output::duration(step.duration),
            step.retries_attempted.to_string(),
            step.error_message.clone(),
        ]
    });
    section(&mut page, "Steps", &["STEP", "ACTION", "STATUS", "DURATION", "RETRIES", "ERROR"], steps);
    let adjustments = adjustments.iter().map(|adjustment| {
        let or_nothing = |value: &Option<String>| value.clone().unwrap_or_default();
        vec![
            adjustment.step_number.to_string(),
            output::name(&adjustment.adjustment_type),
            or_nothing(&adjustment.from),
            or_nothing(&adjustment.to),
            output::time(adjustment.timestamp),
            adjustment.reason.clone(),
        ]
    });
    section(&mut page, "Adjustments", &["STEP", "TYPE", "FROM", "TO", "AT", "REASON"], adjustments);
    let erased = found.erased.iter().map(|erased| {
        let log = found.receipt.as_ref().map_or("", |receipt| &receipt.log);
        vec![output::time(erased.erased_at), format!("{log}/{}", erased.index)]
    });
    section(&mut page, "Erased: what is shown is what is left", &["AT", "BY"], erased);
    let reviews = found.reviews.iter().map(|review| {
        let (verdict, note) = (review.verdict.to_string(), review.note.clone());
        vec![output::time(review.recorded_at), verdict, review.actor.clone(), note]
    });
    section(&mut page, "Reviews", &["AT", "VERDICT", "BY", "NOTE"], reviews);
    let windows = found.windows.iter().map(|window| {
        let (actor, reason) = (window.actor.clone(), window.reason.clone());
        vec![output::time(window.until), output::time(window.recorded_at), actor, reason]
    });
    section(&mut page, "Windows", &["UNTIL", "SINCE", "BY", "REASON"], windows);
    let holds = found
        .holds
        .iter()
        .map(|held| vec![output::time(held.placed_at), held.hold.actor.clone(), held.hold.reason.clone()]);
    section(&mut page, "Holds", &["SINCE", "ACTOR", "REASON"], holds);
    // One revision is what the receipt says already.
    if found.revisions_total > 1 {
        let revisions = found.revisions.iter().map(|revision| {
            let Receipt { index, recorded_at, .. } = &revision.receipt;
            let record = &revision.record.record;
            vec![
                revision.record.revision.to_string(),
                output::time(*recorded_at),
                index.to_string(),
                output::name(&record.outcome),
                format!("{:.2}", record.effectiveness_score),
            ]
        });
        let shown = found.revisions.len();
        let title = match found.revisions_total {
            total if total as usize > shown => format!("Revisions (the latest {shown} of {total})"),
            _ => "Revisions".to_owned(),
        };
        section(&mut page, &title, &["REVISION", "RECORDED", "INDEX", "OUTCOME", "SCORE"], revisions);
    }
    let receipt = found.receipt.iter().flat_map(|Receipt { log, index, leaf_hash, recorded_at, .. }| {
        [
            ("log", log.clone()),
            ("index", index.to_string()),
            ("leaf hash", leaf_hash.to_string()),
            ("recorded at", recorded_at.to_string()),
        ]
    });
    section(&mut page, "Receipt", &[], receipt.map(|(name, value)| vec![name.to_owned(), value]));
    page
}

fn head(found: &Found) -> Vec<Vec<String>> {
    let mut rows = found.record.as_ref().map(recorded).unwrap_or_default();
    if let Some(live) = &found.live {
        rows.extend(self::live(live, rows.is_empty()));
    }
    rows
}

/// What is live of it; `alone` where nothing is recorded.
fn live(live: &LiveState, alone: bool) -> Vec<Vec<String>> {
    let of = &live.summary;
    let steps = format!("{} of {} completed, {} failed", of.steps_completed, of.total_steps, of.steps_failed);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut rows = Vec::new();
    if alone {
        rows.extend([
            ("ID", of.id.clone()),
            ("Attempt", of.attempt.to_string()),
            ("Workflow", format!("{} {}", of.workflow_name, of.workflow_version).trim().to_owned()),
            ("Resource", resource(of.namespace.as_deref(), of.name.as_deref())),
            ("Remediation", of.remediation_id.clone()),
            ("Incident", text(&of.incident_type)),
            ("Steps", steps),
            ("Error", of.error_message.clone()),
            ("Created", output::time(of.created_at)),
            ("Started", of.started_at.map_or_else(String::new, output::time)),
        ]);
    }
    rows.push(("Phase", of.phase.clone()));
    rows.push(("In review until", of.review_until.map_or_else(String::new, output::time)));
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn recorded(StoredExecution { record, revision, .. }: &StoredExecution) -> Vec<Vec<String>> {
    let of = |name: &str, value: String| (!value.is_empty()).then(|| vec![name.to_owned(), value]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
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
    let rows = [
        of("ID", record.id.clone()),
        of("Attempt", record.attempt.to_string()),
        of("Revision", revision.to_string()),
        of("Workflow", format!("{} {}", record.workflow_name, record.workflow_version).trim().to_owned()),
        of("Resource", resource(record.namespace.as_deref(), record.name.as_deref())),
        of("Cluster", text(&record.cluster)),
        of("Remediation", record.remediation_id.clone()),
        of("Incident", text(&record.incident_type)),
        of("Target", target),
        of("Labels", labels.join(", ")),
        of("Status", output::name(&record.status)),
        of("Outcome", output::name(&record.outcome)),
        of("Score", score),
        of("Steps", steps),
        of("Error", record.error_message.clone()),
        of("Created", output::time(record.created_at)),
        of("Started", record.started_at.map_or_else(String::new, output::time)),
        of("Completed", output::time(record.completed_at)),
        of("Queued", record.queued_duration.map_or_else(String::new, output::duration)),
        of("Duration", output::duration(record.total_duration)),
    ];
    rows.into_iter().flatten().collect()
}

fn section(page: &mut String, title: &str, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let header = Some(header).filter(|header| !header.is_empty());
    let _ = writeln!(page, "\n{}", shown(title));
    for line in Columns::default().lay_out(header, &rows).lines() {
        let _ = writeln!(page, "  {line}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        http::tests::{Served, posting, record},
        query::{self, Sides},
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
        insta::assert_snapshot!(page(&found).replace(&leaf, "LEAF"), @r#"
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
          REVISION  RECORDED              INDEX  OUTCOME  SCORE
          2         2026-05-01T12:00:00Z  1      partial  0.40
          1         2026-05-01T12:00:00Z  0      partial  0.95

        Receipt
          log          http
          index        1
          leaf hash    LEAF
          recorded at  2026-05-01T12:00:00.000004Z
        "#);
        let yaml = output::yaml(&found).unwrap();
        assert_eq!(serde_saphyr::from_str::<Found>(&yaml).unwrap(), found, "{yaml}");
    }
}
