//! Errors as RFC 9457 problem documents: the one place where an error becomes a status.

use std::fmt::Display;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dualaudit_record::submitted::Invalid;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, json};

use super::{request_id::instance, trail::Refused};
use crate::{
    completeness::CompletenessError,
    export::ExportError,
    ingest::Refusal,
    learn::{LearnError, Unanswerable},
    parameter::BadParameter,
    proof::ProveError,
    query::{EntriesError, GetError, NoSuchLog, StoreError},
    retention::{erase::EraseError, holds::HoldError},
    review::ReviewError,
};

/// What every type's URI begins with; the rest never changes once released.
const TYPES: &str = "https://dualaudit.dev/problems/";

/// The kinds of problem. Each is a stable type, a title and a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody knows whose request it is.
    Unauthenticated,
    /// Whoever sends it may not do this.
    Forbidden,
    /// A page of another site asks, or it is asked for by another name.
    ForeignSite,
    /// The API server does not say who sends it, or what they may do.
    AccessUnchecked,
    /// The request cannot be read as HTTP or as a URL.
    MalformedRequest,
    /// The body is no JSON.
    InvalidJson,
    /// A parameter of the query string, or a header, cannot be used.
    InvalidParameter,
    /// A filter that an answer does not have.
    UnknownFilter,
    /// There is nothing at this path.
    NoSuchPath,
    /// There is no such execution.
    NoSuchExecution,
    /// There is no object of the execution.
    NoSuchSource,
    /// The execution was purged.
    Purged,
    /// There is no such log.
    NoSuchLog,
    /// The log has no such entry of that kind.
    NoSuchEntry,
    /// The log has no such tile.
    NoSuchTile,
    /// No checkpoint covers the entry yet.
    NotYetSigned,
    /// There is no such export.
    NoSuchExport,
    /// The path has other methods.
    MethodNotAllowed,
    /// The id is in several logs.
    AmbiguousId,
    /// The id and attempt are there with other content.
    Conflict,
    /// An amendment of a revision that is not the latest.
    StaleRevision,
    /// The body, or the number of its records, is beyond its limit.
    PayloadTooLarge,
    /// The body is declared as something we do not read.
    UnsupportedMediaType,
    /// A record breaks a rule.
    InvalidRecord,
    /// No record of a batch was accepted.
    AllRefused,
    /// The database refuses a record that no rule of ours refused.
    RejectedByDatabase,
    /// An amendment without the revision it amends.
    PreconditionRequired,
    /// The client sends more than it may.
    TooManyRequests,
    /// Our fault.
    Internal,
    /// The database does not answer.
    Unavailable,
    /// The question takes longer than a question may.
    QuestionTooSlow,
    /// Too many requests at once.
    Overloaded,
    /// The request took too long.
    Timeout,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 33] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ForeignSite,
        Self::AccessUnchecked,
        Self::MalformedRequest,
        Self::InvalidJson,
        Self::InvalidParameter,
        Self::UnknownFilter,
        Self::NoSuchPath,
        Self::NoSuchExecution,
        Self::NoSuchSource,
        Self::Purged,
        Self::NoSuchLog,
        Self::NoSuchEntry,
        Self::NoSuchTile,
        Self::NotYetSigned,
        Self::NoSuchExport,
        Self::MethodNotAllowed,
        Self::AmbiguousId,
        Self::Conflict,
        Self::StaleRevision,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidRecord,
        Self::AllRefused,
        Self::RejectedByDatabase,
        Self::PreconditionRequired,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
        Self::QuestionTooSlow,
        Self::Overloaded,
        Self::Timeout,
    ];

    /// What every call under `/api/v1` may fail with.
    pub(super) const OF_EVERY_CALL: [Self; 12] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ForeignSite,
        Self::AccessUnchecked,
        Self::MalformedRequest,
        Self::InvalidParameter,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
        Self::Overloaded,
        Self::Timeout,
        Self::QuestionTooSlow,
    ];

    /// What every call may fail with that reads nothing.
    pub(super) const OF_EVERY_FILE: [Self; 6] = [
        Self::ForeignSite,
        Self::MalformedRequest,
        Self::TooManyRequests,
        Self::Internal,
        Self::Overloaded,
        Self::Timeout,
    ];

    /// What every call may fail with that takes one JSON object.
    pub(super) const OF_AN_OBJECT: [Self; 4] =
        [Self::InvalidJson, Self::PayloadTooLarge, Self::UnsupportedMediaType, Self::InvalidRecord];

    /// Its URI, which stays.
    pub(super) fn uri(self) -> String {
        format!("{TYPES}{}", self.slug())
    }

    /// The last part of its URI.
    pub(super) fn slug(self) -> &'static str {
        self.parts().0
    }

    /// What every problem of the kind is called.
    pub(super) fn title(self) -> &'static str {
        self.parts().1
    }

    /// The status it is answered with.
    pub(super) fn status(self) -> StatusCode {
        self.parts().2
    }

    /// How long a sender may wait before it tries again, in seconds. A token refills within one.
    fn retry_after(self) -> HeaderValue {
        HeaderValue::from_static(if self == Self::TooManyRequests { "1" } else { "2" })
    }

    /// Whether the answer says when to try again.
    pub(super) fn is_retried(self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    /// The last part of its URI, its title, and its status.
    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        use StatusCode as S;
        match self {
            Self::Unauthenticated => ("unauthenticated", "Nobody knows who asks", S::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "This is not allowed", S::FORBIDDEN),
            Self::ForeignSite => ("foreign-site", "The request is of another site", S::FORBIDDEN),
            Self::AccessUnchecked => {
                ("access-unchecked", "It is not known at present what is allowed", S::SERVICE_UNAVAILABLE)
            }
            Self::MalformedRequest => ("malformed-request", "The request cannot be read", S::BAD_REQUEST),
            Self::InvalidJson => ("invalid-json", "The body is not JSON", S::BAD_REQUEST),
            Self::InvalidParameter => ("invalid-parameter", "A parameter cannot be used", S::BAD_REQUEST),
            Self::UnknownFilter => {
                ("unknown-filter", "The answer has no such filter", S::UNPROCESSABLE_ENTITY)
            }
            Self::NoSuchPath => ("no-such-path", "There is nothing here", S::NOT_FOUND),
            Self::NoSuchExecution => ("no-such-execution", "There is no such execution", S::NOT_FOUND),
            Self::NoSuchSource => ("no-such-source", "There is no object of the execution", S::NOT_FOUND),
            Self::NoSuchLog => ("no-such-log", "There is no such log", S::NOT_FOUND),
            Self::NoSuchEntry => ("no-such-entry", "The log has no such entry", S::NOT_FOUND),
            Self::NoSuchTile => ("no-such-tile", "The log has no such tile", S::NOT_FOUND),
            Self::NotYetSigned => {
                ("not-yet-signed", "No checkpoint covers the entry yet", S::SERVICE_UNAVAILABLE)
            }
            Self::NoSuchExport => ("no-such-export", "There is no such export", S::NOT_FOUND),
            Self::Purged => ("purged", "The execution was purged", S::GONE),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "This path has other methods", S::METHOD_NOT_ALLOWED)
            }
            Self::AmbiguousId => ("ambiguous-id", "The id is in several logs", S::CONFLICT),
            Self::Conflict => ("conflict", "This is at odds with what is recorded", S::CONFLICT),
            Self::StaleRevision => ("stale-revision", "The amended revision is not the latest", S::CONFLICT),
            Self::PayloadTooLarge => ("payload-too-large", "The body is too large", S::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", "The body is of another type", S::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::InvalidRecord => ("invalid-record", "The record breaks a rule", S::UNPROCESSABLE_ENTITY),
            Self::AllRefused => ("all-refused", "No record was accepted", S::UNPROCESSABLE_ENTITY),
            Self::RejectedByDatabase => {
                ("rejected-by-database", "The database refuses this", S::UNPROCESSABLE_ENTITY)
            }
            Self::PreconditionRequired => {
                ("precondition-required", "An amendment names its revision", S::PRECONDITION_REQUIRED)
            }
            Self::TooManyRequests => {
                ("too-many-requests", "The client sends too many requests", S::TOO_MANY_REQUESTS)
            }
            Self::Internal => ("internal", "Something is wrong with the server", S::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("unavailable", "The database does not answer", S::SERVICE_UNAVAILABLE),
            Self::QuestionTooSlow => ("question-too-slow", "The question takes too long", S::GATEWAY_TIMEOUT),
            Self::Overloaded => ("overloaded", "Too many requests at once", S::SERVICE_UNAVAILABLE),
            Self::Timeout => ("timeout", "The request took too long", S::SERVICE_UNAVAILABLE),
        }
    }
}

/// A problem document, and the one error type of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    /// Extension members: what is said beside type, title, status and detail.
    members: Map<String, Value>,
    /// What the log is told when this is answered, and nobody else: it may name paths.
    cause: Option<String>,
    /// What goes on record of it.
    refused: Option<Box<Refused>>,
}

impl Problem {
    /// A problem with a sentence about this occurrence: what was expected, found, and to be done.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), cause: None, refused: None }
    }

    /// With a cause for the log, which is told it when this is the answer to a request.
    pub(super) fn caused_by(mut self, cause: &dyn Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// With what is refused by it, which goes on record.
    pub(super) fn refusing(mut self, what: Refused) -> Self {
        self.refused = Some(Box::new(what));
        self
    }

    /// Takes the cause away from a problem that is only a part of an answer. Whoever takes it tells
    /// the log, once for all the parts: an answer may have thousands.
    pub(super) fn take_cause(&mut self) -> Option<String> {
        self.cause.take()
    }

    /// With an extension member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (slug, title, status) = self.kind.parts();
        let mut map = serializer.serialize_map(Some(4 + self.members.len()))?;
        map.serialize_entry("type", &format_args!("{TYPES}{slug}"))?;
        map.serialize_entry("title", title)?;
        map.serialize_entry("status", &status.as_u16())?;
        map.serialize_entry("detail", &self.detail)?;
        for (member, value) in &self.members {
            map.serialize_entry(member, value)?;
        }
        map.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        if let Some(instance) = instance() {
            self = self.with("instance", instance);
        }
        match &self.cause {
            Some(cause) if matches!(self.kind, Kind::Unavailable | Kind::AccessUnchecked) => {
                tracing::warn!(%cause, "a request could not be served");
            }
            Some(cause) => tracing::error!(%cause, "a request failed"),
            None => {}
        }
        let mut response = (self.status(), Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.kind.is_retried() {
            headers.insert(header::RETRY_AFTER, self.kind.retry_after());
        }
        if let Some(refused) = self.refused {
            response.extensions_mut().insert(*refused);
        }
        response
    }
}

/// Said where Kubernetes does not answer.
pub(super) const UNCHECKED: &str = "Kubernetes does not say at present who this is, or what they may do.";

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => Self::new(
                Kind::Unavailable,
                "The database does not answer at present. Sending the same request again is safe.",
            ),
            StoreError::Unchecked(_) => Self::new(Kind::AccessUnchecked, UNCHECKED),
            StoreError::RolledBack(_) => Self::new(
                Kind::Unavailable,
                "The database was rolled back to an older state: nothing is recorded until somebody has looked at it.",
            ),
            StoreError::TooSlow(detail) => return Self::new(Kind::QuestionTooSlow, detail.clone()),
            StoreError::Rejected(_) => Self::new(
                Kind::RejectedByDatabase,
                "The database refuses it though it breaks no known rule; the server's log says why.",
            ),
            StoreError::Corrupt(_) | StoreError::Unsupported(_) | StoreError::Foreign(_) => {
                return internal(&error);
            }
        }
        .caused_by(&error)
    }
}

impl From<ProveError> for Problem {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::NoSuchLog(_) => Self::new(Kind::NoSuchLog, error.to_string()),
            ProveError::NotYet { .. } | ProveError::Unpublished(_) => {
                Self::new(Kind::NotYetSigned, error.to_string())
            }
            ProveError::Damaged { .. } => internal(&error),
            ProveError::Store(error) => error.into(),
        }
    }
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Unfit(rule) => Self::new(Kind::InvalidParameter, rule),
            ExportError::NoSuchLog(error) => error.into(),
            ExportError::Closed(_) => Self::new(Kind::Conflict, error.to_string()),
            ExportError::Prove(error) => error.into(),
            ExportError::Store(error) => error.into(),
            ExportError::Unrecorded { .. } | ExportError::Output(_) => internal(&error),
        }
    }
}

/// A 500 whose cause is told to the log only.
pub(super) fn internal(cause: &dyn Display) -> Problem {
    Problem::new(Kind::Internal, "The server's log says what happened.").caused_by(cause)
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let kind = if invalid.is_malformed() { Kind::InvalidJson } else { Kind::InvalidRecord };
        Self::new(kind, invalid.to_string()).with("field", invalid.field).with("rule", invalid.rule)
    }
}

impl From<BadParameter> for Problem {
    fn from(bad: BadParameter) -> Self {
        Self::new(Kind::InvalidParameter, bad.to_string()).with("field", bad.parameter).with("rule", bad.rule)
    }
}

impl From<Unanswerable> for Problem {
    fn from(error: Unanswerable) -> Self {
        let said = error.to_string();
        match error {
            Unanswerable::UnknownFilter { name, known } => {
                Self::new(Kind::UnknownFilter, said).with("field", name).with("filters", known)
            }
            Unanswerable::Bad(bad) => bad.into(),
        }
    }
}

impl From<LearnError> for Problem {
    fn from(error: LearnError) -> Self {
        match error {
            LearnError::NoSuchLog(error) => error.into(),
            LearnError::Store(error) => error.into(),
        }
    }
}

impl From<NoSuchLog> for Problem {
    fn from(error: NoSuchLog) -> Self {
        Self::new(Kind::NoSuchLog, error.to_string()).with("logs", error.logs)
    }
}

impl From<EntriesError> for Problem {
    fn from(error: EntriesError) -> Self {
        match error {
            EntriesError::NoSuchLog(error) => error.into(),
            EntriesError::NoSuchEntry { .. } => Self::new(Kind::NoSuchEntry, error.to_string()),
            EntriesError::Store(error) => error.into(),
        }
    }
}

impl From<CompletenessError> for Problem {
    fn from(error: CompletenessError) -> Self {
        match error {
            CompletenessError::NoSuchLog(error) => error.into(),
            CompletenessError::Store(error) => error.into(),
        }
    }
}

impl From<GetError> for Problem {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound(detail) => Self::new(Kind::NoSuchExecution, detail),
            GetError::NoSource(detail) => Self::new(Kind::NoSuchSource, detail),
            GetError::Ambiguous { ref logs, .. } => {
                Self::new(Kind::AmbiguousId, error.to_string()).with("logs", logs.as_slice())
            }
            GetError::Purged(ref purged) => Self::new(Kind::Purged, error.to_string())
                .with("receipt", json!(purged.receipt))
                .with("purge", purged.by)
                .with("purged_at", purged.purged_at.to_string()),
            GetError::Store(error) => error.into(),
        }
    }
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Text { field, .. } => {
                Self::new(Kind::InvalidRecord, error.to_string()).with("field", field)
            }
            HoldError::CoversNothing => {
                Self::new(Kind::InvalidRecord, error.to_string()).with("field", "selector")
            }
            HoldError::NowhereYet(_) => Self::new(Kind::NoSuchExecution, error.to_string()),
            HoldError::NoSuchLog { ref logs, .. } => {
                Self::new(Kind::NoSuchLog, error.to_string()).with("logs", logs.as_slice())
            }
            HoldError::Refused { refusal: Refusal::NoSuchHold, .. } => {
                Self::new(Kind::NoSuchEntry, error.to_string())
            }
            HoldError::NoLogYet | HoldError::Closed(_) => Self::new(Kind::Conflict, error.to_string()),
            HoldError::Refused { refusal, .. } => refusal.into(),
            HoldError::Store(error) => error.into(),
        }
    }
}

impl From<EraseError> for Problem {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Nowhere(_) => Self::new(Kind::NoSuchExecution, error.to_string()),
            EraseError::Ambiguous { ref logs, .. } => {
                Self::new(Kind::AmbiguousId, error.to_string()).with("logs", logs.as_slice())
            }
            EraseError::Refused { .. } => Self::new(Kind::Conflict, error.to_string()),
            EraseError::Wrong(error) => error.into(),
            EraseError::Store(error) => error.into(),
        }
    }
}

impl From<ReviewError> for Problem {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::Text { what, .. } => {
                Self::new(Kind::InvalidRecord, error.to_string()).with("field", what)
            }
            ReviewError::Get(error) => error.into(),
            ReviewError::Past(_) => Self::new(Kind::InvalidRecord, error.to_string()).with("field", "until"),
            ReviewError::NoResource(_) | ReviewError::Gone(_) => Self::new(Kind::Conflict, error.to_string()),
            ReviewError::Closed(why) => Self::new(Kind::Conflict, why),
            ReviewError::Refused(refusal) => refusal.into(),
            ReviewError::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict { latest_revision } => Self::new(
                Kind::Conflict,
                format!(
                    "This id and attempt are recorded with other content. To add a revision, send the \
                     record alone with ?amend=true and If-Match: {latest_revision}."
                ),
            )
            .with("latest_revision", latest_revision),
            Refusal::Stale { latest_revision: Some(latest) } => Self::new(
                Kind::StaleRevision,
                format!("If-Match names a revision that is not the latest, which is {latest}."),
            )
            .with("latest_revision", latest),
            Refusal::Stale { latest_revision: None } => Self::new(
                Kind::StaleRevision,
                "There is nothing to amend: this id and attempt are not recorded.",
            )
            .with("latest_revision", json!(null)),
            Refusal::Purged => Self::new(Kind::Purged, refusal.to_string()),
            Refusal::NothingRecorded | Refusal::NoAttempt { .. } => {
                Self::new(Kind::NoSuchExecution, refusal.to_string())
            }
            Refusal::WindowIsLonger { until } => {
                Self::new(Kind::Conflict, refusal.to_string()).with("until", until.to_string())
            }
            Refusal::InCluster
            | Refusal::Held { .. }
            | Refusal::NoSuchHold
            | Refusal::TooManyHolds
            | Refusal::Changed(_)
            | Refusal::StatisticsBehind => Self::new(Kind::Conflict, refusal.to_string()),
        }
    }
}
