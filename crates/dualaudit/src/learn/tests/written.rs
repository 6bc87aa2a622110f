//! What is asked about: two logs with all that may become of executions.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    entry::Verdict,
    execution::{AdjustmentType, Outcome, Status, Target},
    statistics::Contribution,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::store::{
    Answer as Answered, DraftContent, Folding, Store,
    conformance::{
        erase::erase,
        purge::{part, weigh_in},
        sample::{self, batch, from_resource, opening, review},
    },
};

const DAY: i64 = 86_400_000_000;
/// One goes on, the other was last written to long ago.
pub(super) const BUSY: &str = "busy";
pub(super) const IDLE: &str = "idle";
/// When they are written to, in days ago.
pub(super) const VISITS: [(&str, &[i64]); 2] =
    [(BUSY, &[420, 300, 200, 131, 100, 45, 10, 3, 2, 1, 0]), (IDLE, &[420, 300, 160])];

pub(super) fn now() -> Time {
    "2026-05-02T10:30:00Z".parse().unwrap()
}

fn ago(days: i64) -> Time {
    now().saturating_add_micros(-days * DAY)
}

/// Executions, and what the latest revision of each gives.
struct Written {
    random: StdRng,
    latest: BTreeMap<(&'static str, String), WorkflowExecutionAudit>,
}

impl Written {
    /// The next record of a log: of another execution, or of one that is known, a third of those as another attempt and
    /// the rest as another revision.
    fn next(&mut self, log: &'static str, visit: usize, n: usize, until: Time) -> WorkflowExecutionAudit {
        let known: Vec<String> =
            self.latest.keys().filter(|(of, _)| *of == log).map(|(_, id)| id.clone()).collect();
        let id = match n {
            0..16 => format!("{log}-{visit}-{n}"),
            _ => known[self.random.random_range(0..known.len())].clone(),
        };
        let mut record = self.execution(&id, until);
        let place = (log, id);
        record.started_at = match self.latest.get(&place) {
            Some(known) if !n.is_multiple_of(3) => known.started_at,
            _ => Some(ago(1000).saturating_add_micros((visit * 100 + n) as i64)),
        };
        self.latest.insert(place, record.clone());
        record
    }

    /// One that ended before `until`, now and then at the edge of an hour, a day or a month.
    fn execution(&mut self, id: &str, until: Time) -> WorkflowExecutionAudit {
        let random = &mut self.random;
        let mut of = |texts: &[&str]| texts[random.random_range(0..texts.len())].to_owned();
        let given = |text: String| (!text.is_empty()).then_some(text);
        let (workflow_name, workflow_version) =
            (of(&["heal", "heal", "drain", "scale"]), of(&["v1", "v2", ""]));
        let (namespace, incident_type) =
            (given(of(&["shop", "bank", ""])), given(of(&["oom", "oom", "disk", ""])));
        let kind = given(of(&["Deployment", "Node", ""]));
        let status =
            [Status::Completed, Status::Failed, Status::TimedOut, Status::Cancelled, Status::Deleted]
                [random.random_range(0..8_usize).saturating_sub(3)];
        let outcome = match status {
            Status::Completed => Outcome::Success,
            _ => [Outcome::Failed, Outcome::Partial][random.random_range(0..2)],
        };
        let edges = [
            "2026-02-01T00:00:00Z",
            "2026-01-31T23:59:59.999999Z",
            "2025-12-31T23:00:00Z",
            "2026-04-29T23:59:59.999999Z",
            "2026-05-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
        ];
        let edge: Time = edges[random.random_range(0..edges.len())].parse().unwrap();
        let late =
            until.saturating_add_micros(-random.random_range(0..40 * DAY) / random.random_range(1..60));
        let completed_at = if edge < until && random.random_range(0..4) == 0 { edge } else { late };
        let mut record = WorkflowExecutionAudit {
            workflow_name,
            workflow_version,
            namespace,
            incident_type,
            target: kind.map(|kind| Target { kind: Some(kind), ..Target::default() }),
            outcome,
            status,
            completed_at,
            total_duration: random.random_range(0..900) * 1_000_000_000,
            effectiveness_score: f64::from(random.random_range(0..=100_u8)) / 100.0,
            error_message: if outcome == Outcome::Success { String::new() } else { "it failed".into() },
            ..sample::record(id)
        };
        record.step_executions.truncate(random.random_range(0..5));
        if random.random_range(0..2) == 0 {
            record.adaptive_adjustments.clear();
        } else {
            record.adaptive_adjustments[0].step_number = 2;
            record.adaptive_adjustments[0].adjustment_type =
                [AdjustmentType::Timeout, AdjustmentType::Retry][random.random_range(0..2)];
        }
        record
    }
}

/// Writes the same to each store: records, revisions that ended at other times and were others, attempts; then
/// reviews, erasures and purges. Answers what it comes to.
pub(super) async fn written(stores: &[&dyn Store]) -> BTreeMap<&'static str, Vec<Contribution>> {
    let mut written = Written { random: StdRng::seed_from_u64(6), latest: BTreeMap::new() };
    for (log, visits) in VISITS {
        for store in stores {
            store.open_log(opening(log)).await.unwrap();
        }
        for (visit, &days) in visits.iter().enumerate() {
            let drafts: Vec<_> =
                (0..24).map(|n| from_resource(written.next(log, visit, n, ago(days)))).collect();
            for store in stores {
                append(*store, log, drafts.clone(), ago(days)).await;
                // Now and then all is folded, or some, or nothing.
                for _ in 0..[0, 3, 1000][visit % 3] {
                    if store.fold(log).await.unwrap() == Folding::Done {
                        break;
                    }
                }
            }
        }
    }
    let mut given: BTreeMap<&'static str, Vec<Contribution>> = BTreeMap::new();
    for (log, visits) in VISITS {
        let (mut reviews, mut erasures) = (Vec::new(), Vec::new());
        let of_log = written.latest.iter().filter(|((of, _), _)| *of == log);
        for (place, ((_, id), record)) in of_log.enumerate() {
            let mut contribution = Contribution::of(record);
            if place.is_multiple_of(4) {
                reviews.push(review(id, None, u8::try_from(place).unwrap()));
                contribution = contribution.reviewed(Some(Verdict::ALL[place % Verdict::ALL.len()]));
            }
            if place.is_multiple_of(7) {
                erasures.push(erase(id));
                contribution.texts.clear();
            }
            given.entry(log).or_default().push(contribution);
        }
        let last = ago(visits[visits.len() - 1]);
        for store in stores {
            append(*store, log, reviews.clone(), last).await;
            for erasure in &erasures {
                append(*store, log, [erasure.clone()], last).await;
            }
            let all = weigh_in(*store, log, now(), 1000).await;
            let some: Vec<_> = all.into_iter().filter(|it| it.id.ends_with('7')).collect();
            assert!(some.len() > 1);
            append(*store, log, [part(0, some)], last).await;
        }
    }
    given
}

/// Appends drafts that are not refused.
async fn append(store: &dyn Store, log: &str, drafts: impl IntoIterator<Item = DraftContent>, at: Time) {
    let answers = store.append(log, batch(drafts), at).await.unwrap();
    assert!(!answers.iter().any(|answer| matches!(answer, Answered::Refused(_))), "{answers:?}");
}
