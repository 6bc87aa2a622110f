//! What of a database somebody may read.

use std::collections::BTreeMap;

use dualaudit_record::{Time, WorkflowExecutionAudit};

/// Which executions somebody may read: those of whole logs, and those of namespaces of others.
///
/// A namespace is what it is at present: what was created before it belongs to one of the same name that is gone, whose
/// readers may have been others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(BTreeMap<String, Within>);

/// Which executions of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    /// All of them, and all else that is in the log.
    Whole,
    /// Those of these namespaces that were created since.
    Namespaces(BTreeMap<String, Time>),
}

impl Reach {
    /// Of these logs.
    pub fn of(logs: impl IntoIterator<Item = (String, Within)>) -> Self {
        let logs = logs.into_iter();
        Self(
            logs.filter(|(_, within)| !matches!(within, Within::Namespaces(all) if all.is_empty())).collect(),
        )
    }

    /// Whether there is nothing that may be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What may be read of a log; `None` where it is nothing.
    pub fn of_log(&self, log: &str) -> Option<&Within> {
        self.0.get(log)
    }

    /// The logs of which something may be read, in the order of their names.
    pub fn logs(&self) -> impl Iterator<Item = (&str, &Within)> {
        self.0.iter().map(|(log, within)| (log.as_str(), within))
    }

    /// Whether all of a log may be read.
    pub fn is_whole(&self, log: &str) -> bool {
        matches!(self.of_log(log), Some(Within::Whole))
    }

    /// Whether this record in that log may be read.
    ///
    /// The same as what a [`super::Filter`] with this says in SQL.
    pub fn sees(&self, log: &str, record: &WorkflowExecutionAudit) -> bool {
        match self.of_log(log) {
            None => false,
            Some(Within::Whole) => true,
            Some(Within::Namespaces(since)) => {
                let since = record.namespace.as_ref().and_then(|namespace| since.get(namespace));
                since.is_some_and(|since| *since <= record.created_at)
            }
        }
    }

    /// Whether this has all that another has.
    pub fn covers(&self, other: &Self) -> bool {
        other.logs().all(|(log, within)| match (self.of_log(log), within) {
            (Some(Within::Whole), _) => true,
            (Some(Within::Namespaces(ours)), Within::Namespaces(theirs)) => {
                theirs.iter().all(|(name, since)| ours.get(name).is_some_and(|ours| ours <= since))
            }
            _ => false,
        })
    }

    /// Whole logs alone.
    #[must_use]
    pub fn whole(self) -> Self {
        Self(self.0.into_iter().filter(|(_, within)| *within == Within::Whole).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::sample::{at, record};

    #[test]
    fn what_was_there_before_a_namespace_is_not_of_it() {
        let namespaces = |since: &[(&str, i64)]| {
            Within::Namespaces(since.iter().map(|(name, second)| ((*name).to_owned(), at(*second))).collect())
        };
        let reach = Reach::of([
            ("default".to_owned(), namespaces(&[("shop", 5)])),
            ("http".to_owned(), Within::Whole),
            ("other".to_owned(), namespaces(&[])),
        ]);
        let of = |namespace: Option<&str>, second| WorkflowExecutionAudit {
            namespace: namespace.map(str::to_owned),
            created_at: at(second),
            ..record("a")
        };
        for (log, namespace, second, expected) in [
            ("default", Some("shop"), 5, true),
            ("default", Some("shop"), 4, false),
            ("default", Some("bank"), 9, false),
            ("default", None, 9, false),
            ("http", None, 0, true),
            ("other", Some("shop"), 9, false),
        ] {
            assert_eq!(reach.sees(log, &of(namespace, second)), expected, "{log} {namespace:?} {second}");
        }
        let shop = Reach::of([("default".to_owned(), namespaces(&[("shop", 5)]))]);
        let both = Reach::of([("default".to_owned(), namespaces(&[("bank", 0), ("shop", 5)]))]);
        let whole = Reach::of([("default".to_owned(), Within::Whole)]);
        for (this, other, expected) in [
            (&both, &shop, true),
            (&shop, &both, false),
            (&whole, &both, true),
            (&both, &whole, false),
            (&reach, &shop, true),
            (&shop, &reach, false),
            (&shop, &Reach::default(), true),
        ] {
            assert_eq!(this.covers(other), expected, "{this:?} {other:?}");
        }
        assert_eq!((reach.is_whole("http"), reach.is_whole("default")), (true, false));
        assert_eq!(reach.whole().logs().count(), 1);
    }
}
