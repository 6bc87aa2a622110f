//! Learning from executions: what works, what breaks, what to try next.
//!
//! Every answer is made from the statistics of the logs it is about, never from records: what it costs depends on the
//! buckets and keys that are read. An answer reads first, in [`source`], and is then worked out by plain functions.
//!
//! # Guarantees
//! - Success is what counts as such: partial is not. Whoever was cancelled or deleted says nothing of what works; they
//!   are counted apart and are in no rate.
//! - Every figure says how many executions it is made of, and which interval holds the truth in 95 of 100 cases; under
//!   the minimum it says `insufficient_data`. No figure is ever not a number.
//! - An answer says which period it is of: the one asked for, from the first to the last bucket that it touches.

pub mod contrast;
pub mod figures;
pub mod given;
mod in_flight;
pub mod inference;
pub mod question;
mod source;
#[cfg(test)]
pub(crate) mod testing;

pub mod adjustments;
pub mod compare;
pub mod recommend;
pub mod regressions;
pub mod steps;
pub mod verdicts;
pub mod workflows;

pub use in_flight::Flights;
pub use question::{Filters, Links, Period, Question, Unanswerable};
pub use source::{Found, LearnError};

use std::borrow::Cow;

use dualaudit_record::{Time, openapi::flattened, statistics::Part};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, Ref, RefOr, Schema,
        schema::{ArrayBuilder, Type},
    },
};

use crate::store::{Store, StoreError, WantedCells};
use figures::InFlight;
use source::Source;
use workflows::By;

/// What can be asked: which cells it reads, and what they amount to. Both are plain functions; [`ask`] reads.
pub trait Ask: Sized + Send + Sync {
    /// Its name, in paths and on the command line.
    const NAME: &'static str;
    /// Whether it reads all logs, whichever is asked about; [`Found::logs`] tells them apart.
    const ALL_LOGS: bool = false;
    /// What is answered.
    type Answer: Serialize + DeserializeOwned + Send + Sync;

    /// Reads names and values as they stand in a query string; times ago are counted from `now`.
    ///
    /// # Errors
    /// The first parameter that is unknown, given twice, missing, or cannot be used.
    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable>;

    /// Which executions it is about.
    fn question(&self) -> &Question;

    /// The period it is about, in statistics of logs that have come to `as_of` at most.
    fn period(&self, as_of: Time) -> Period {
        self.question().period.aligned(as_of)
    }

    /// Which of the executions that have not ended yet it is about.
    fn in_flight(&self) -> Filters {
        self.question().filters.clone()
    }

    /// The cells that it reads.
    fn reads(&self, as_of: Time) -> Vec<WantedCells>;

    /// The cells that it reads once it has those, after which they are found.
    ///
    /// # Errors
    /// When a key that was found makes no sense.
    fn reads_then(&self, _as_of: Time, _found: &Found) -> Result<Vec<WantedCells>, LearnError> {
        Ok(Vec::new())
    }

    /// The cells that it reads once it has those, and can do without: where they are more than one question may read,
    /// [`Found::last`] is `None`.
    ///
    /// # Errors
    /// When a key that was found makes no sense.
    fn reads_last(&self, _as_of: Time, _found: &Found) -> Result<Vec<WantedCells>, LearnError> {
        Ok(Vec::new())
    }

    /// The answer that cells amount to.
    ///
    /// # Errors
    /// When a key that was found makes no sense.
    fn answer(&self, as_of: Time, found: &Found) -> Result<Self::Answer, LearnError>;

    /// Adds what statistics do not have, such as which executions they are about: a few of them, in the logs that were
    /// read.
    ///
    /// # Errors
    /// Those of the store.
    fn look_up(
        &self,
        _store: &dyn Store,
        _logs: &[String],
        _period: Period,
        _answer: &mut Self::Answer,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }
}

/// Asks the statistics of a store.
///
/// # Errors
/// That there is no such log; those of the store.
pub async fn ask<A: Ask>(store: &dyn Store, asked: &A, now: Time) -> Result<Answer<A::Answer>, LearnError> {
    let Question { filters, minimum, .. } = asked.question();
    let source = Source::of(store, filters, A::ALL_LOGS, now).await?;
    let as_of = source.as_of;
    let period = asked.period(as_of);
    let in_flight = asked.in_flight();
    let mut flights = source.flights(&in_flight, now).await?;
    let mut reads = asked.reads(as_of);
    if !flights.is_empty() {
        reads.push(in_flight.runs(By::Workflow, period, Part::Successful));
    }
    let mut found = source.cells(&reads).await?;
    if !flights.is_empty() {
        let usual = found.cells.pop().unwrap_or_default();
        let usual = source::of_log(filters, &found.logs, &usual);
        flights.compare_with(&source::runs(usual)?, *minimum);
    }
    found.flights = flights;
    let then = asked.reads_then(as_of, &found)?;
    if !then.is_empty() {
        found.cells.extend(source.cells(&then).await?.cells);
    }
    let last = asked.reads_last(as_of, &found)?;
    found.last = match source.cells(&last).await {
        Ok(found) => Some(found.cells),
        Err(LearnError::Store(StoreError::TooSlow(_))) => None,
        Err(error) => return Err(error),
    };
    let mut answer = asked.answer(as_of, &found)?;
    asked.look_up(store, &found.logs, period, &mut answer).await?;
    Ok(Answer {
        period,
        filters: filters.clone(),
        minimum: *minimum,
        in_flight: found.flights.all(),
        incomplete: found.incomplete,
        passed_over: found.passed_over,
        answer,
    })
}

/// An answer, with what it is an answer to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer<T> {
    /// Which executions it is about: those that ended in this period,
    pub period: Period,
    /// and are these.
    pub filters: Filters,
    /// With fewer executions than this a figure is marked as `insufficient_data`.
    pub minimum: u64,
    /// What has not ended yet, of those asked for.
    pub in_flight: InFlight,
    /// Logs whose statistics do not have all of what was recorded before they were kept: the answer lacks it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<Incomplete>,
    /// Logs of which some entries could not be read when they were counted: the answer lacks what these gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// What was asked for.
    #[serde(flatten)]
    pub answer: T,
}

/// As one object: what is asked for stands beside the rest.
impl<T: ToSchema> PartialSchema for Answer<T> {
    fn schema() -> RefOr<Schema> {
        let integer = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let beside = ObjectBuilder::new()
            .property("period", Ref::from_schema_name(Period::name()))
            .required("period")
            .property("filters", Ref::from_schema_name(Filters::name()))
            .required("filters")
            .property("minimum", integer)
            .required("minimum")
            .property("in_flight", Ref::from_schema_name(InFlight::name()))
            .required("in_flight")
            .property("incomplete", ArrayBuilder::new().items(Ref::from_schema_name(Incomplete::name())))
            .property("passed_over", ArrayBuilder::new().items(Ref::from_schema_name(PassedOver::name())));
        flattened([T::schema(), beside.into()]).into()
    }
}

impl<T: ToSchema> ToSchema for Answer<T> {
    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        fn with<S: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((S::name().into(), S::schema()));
            S::schemas(schemas);
        }
        T::schemas(schemas);
        with::<Period>(schemas);
        with::<Filters>(schemas);
        with::<InFlight>(schemas);
        with::<Incomplete>(schemas);
        with::<PassedOver>(schemas);
    }
}

/// How far the statistics of a log are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = IncompleteStatistics)]
pub struct Incomplete {
    /// Which log.
    pub log: String,
    /// How many of its older entries are counted,
    pub folded: u64,
    /// of how many.
    pub of: u64,
}

/// What the statistics of a log lack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PassedOverEntries)]
pub struct PassedOver {
    /// Which log.
    pub log: String,
    /// How many of its older entries could not be read, and are not counted; `dualaudit verify` names them.
    pub entries: u64,
}

#[cfg(test)]
mod tests;
