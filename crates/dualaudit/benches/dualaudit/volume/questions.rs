//! What is asked of a database of many executions.

use dualaudit::store::{Filter, LabelRequirement};
use dualaudit_record::{
    WorkflowExecutionAudit,
    execution::{Outcome, Status},
};

use super::{
    asking::LIMIT,
    fill::BATCH,
    fleet::{Draw, Fleet},
};

/// The page whose rows come after a million, or, of a small database, after half of it.
const DEEP: usize = 10_000 * LIMIT as usize;
/// In microseconds.
const DAY: i64 = 86_400_000_000;

/// A question, of which each sample asks for something else.
pub(crate) enum Question {
    Page(fn(&mut Sample<'_>)),
    /// A page of live and recorded executions, by parameters of the API.
    Both(fn(&mut Sample<'_>) -> Vec<(&'static str, String)>),
    Get,
    Proof,
    Append(usize),
}

/// A page to ask for: narrowed by what an execution has that was picked at random.
pub(crate) struct Sample<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) draw: &'a mut Draw,
    pub(crate) picked: WorkflowExecutionAudit,
    pub(crate) filter: Filter,
    /// The execution that the page comes after.
    pub(crate) after: Option<usize>,
}

pub(crate) const QUESTIONS: [(&str, Question); 31] = [
    ("first page", Question::Page(|_| {})),
    (
        "page 10,000",
        Question::Page(|page| {
            let deep = DEEP.min(page.fleet.size / 2) + page.draw.at_most(page.fleet.size / 10);
            page.after = Some(page.fleet.size - 1 - deep.min(page.fleet.size - 1));
        }),
    ),
    ("a page anywhere", Question::Page(|page| page.after = Some(page.draw.at_most(page.fleet.size - 1)))),
    ("workflow", Question::Page(|page| page.filter.workflow = Some(page.picked.workflow_name.clone()))),
    (
        "workflow, a page anywhere",
        Question::Page(|page| {
            page.filter.workflow = Some(page.picked.workflow_name.clone());
            page.after = Some(page.draw.at_most(page.fleet.size - 1));
        }),
    ),
    ("version", Question::Page(|page| page.filter.version = Some(page.picked.workflow_version.clone()))),
    (
        "outcome, of success, partial and failed",
        Question::Page(|page| {
            page.filter.outcome =
                Some([Outcome::Success, Outcome::Partial, Outcome::Failed][page.draw.at_most(2)]);
        }),
    ),
    (
        "status, of all five",
        Question::Page(|page| {
            let all =
                [Status::Completed, Status::Failed, Status::TimedOut, Status::Cancelled, Status::Deleted];
            page.filter.status = Some(all[page.draw.at_most(4)]);
        }),
    ),
    ("log", Question::Page(|page| page.filter.log = page.picked.cluster.clone())),
    ("cluster", Question::Page(|page| page.filter.cluster = page.picked.cluster.clone())),
    ("namespace", Question::Page(|page| page.filter.namespace = page.picked.namespace.clone())),
    (
        "remediation_id",
        Question::Page(|page| {
            page.filter.remediation_id = Some(page.picked.remediation_id.clone());
        }),
    ),
    ("incident_type", Question::Page(|page| page.filter.incident_type = page.picked.incident_type.clone())),
    (
        "target",
        Question::Page(|page| {
            let target = page.picked.target.as_ref().and_then(|target| target.name.as_ref());
            page.filter.target = target.map(|name| format!("Deployment/{name}"));
        }),
    ),
    (
        "labels: a team",
        Question::Page(|page| {
            let team = page.picked.labels["team"].clone();
            page.filter.labels = vec![LabelRequirement::In("team".to_owned(), vec![team])];
        }),
    ),
    ("since", Question::Page(|page| page.filter.since = Some(page.picked.created_at))),
    ("until", Question::Page(|page| page.filter.until = Some(page.picked.created_at))),
    (
        "since and until, a day",
        Question::Page(|page| {
            page.filter.since = Some(page.picked.created_at);
            page.filter.until = Some(page.picked.created_at.saturating_add_micros(DAY));
        }),
    ),
    (
        "min_duration, met by 1 in 8",
        Question::Page(|page| page.filter.min_duration = Some(1_050_000_000_000)),
    ),
    ("max_duration, met by 1 in 6", Question::Page(|page| page.filter.max_duration = Some(10_000_000_000))),
    ("min_score, met by 2 in 7", Question::Page(|page| page.filter.min_score = Some(1.0))),
    ("max_score, met by 1 in 40", Question::Page(|page| page.filter.max_score = Some(0.5))),
    (
        "workflow, namespace, failed, since",
        Question::Page(|page| {
            page.filter.workflow = Some(page.picked.workflow_name.clone());
            page.filter.namespace = page.picked.namespace.clone();
            page.filter.outcome = Some(Outcome::Failed);
            page.filter.since = Some(page.picked.created_at.saturating_add_micros(-7 * DAY));
        }),
    ),
    ("live and recorded, first page", Question::Both(|_| Vec::new())),
    (
        "live and recorded, a page of the last day",
        Question::Both(|page| {
            let until = page.fleet.ended.saturating_add_micros(-DAY * page.draw.at_most(999) as i64 / 1000);
            vec![("until", until.to_string())]
        }),
    ),
    (
        "live and recorded, workflow",
        Question::Both(|page| vec![("workflow", page.picked.workflow_name.clone())]),
    ),
    (
        "live and recorded, namespace and phase",
        Question::Both(|page| {
            let namespace = page.picked.namespace.clone().unwrap_or_default();
            vec![("namespace", namespace), ("phase", "Executing".to_owned())]
        }),
    ),
    ("get", Question::Get),
    ("proof", Question::Proof),
    ("append of 1", Question::Append(1)),
    ("append of 500", Question::Append(BATCH)),
];
