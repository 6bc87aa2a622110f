//! Where a sum belongs: in which view, and under which key of it.

use serde::{Deserialize, Serialize};

use super::contribution::{About, Contribution, Stratum};
use crate::{execution::AdjustmentType, names::named};

/// What is summed by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Executions, by scope, workflow and version.
    Runs,
    /// Steps, by workflow, version, number and action.
    Steps,
    /// Executions with their steps and adjustments, by all that they are told apart by.
    Strata,
    /// What was said, by all that and the pattern.
    Texts,
}

named!(View { Runs = "runs", Steps = "steps", Strata = "strata", Texts = "texts" });

/// Which executions of a workflow a sum in [`View::Runs`] is over. Each execution is in one sum of each scope, so that
/// a question about any of these has an answer of few sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "by what executions are told apart beside workflow and version")]
pub enum Scope {
    All,
    Namespace,
    IncidentType,
    TargetKind,
    IncidentTypeAndTargetKind,
    NamespaceIncidentTypeAndTargetKind,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::All,
        Self::Namespace,
        Self::IncidentType,
        Self::TargetKind,
        Self::IncidentTypeAndTargetKind,
        Self::NamespaceIncidentTypeAndTargetKind,
    ];

    /// What executions are told apart by in it, in the order of its keys.
    fn values(self, of: &Stratum) -> Vec<&str> {
        let Stratum { namespace, incident_type, target_kind, .. } = of;
        match self {
            Self::All => vec![],
            Self::Namespace => vec![namespace],
            Self::IncidentType => vec![incident_type],
            Self::TargetKind => vec![target_kind],
            Self::IncidentTypeAndTargetKind => vec![incident_type, target_kind],
            Self::NamespaceIncidentTypeAndTargetKind => vec![namespace, incident_type, target_kind],
        }
    }
}

/// A key within a view, as bytes that sort as its parts do: each text ends in 0, which no text of a record has in it,
/// and numbers are big-endian.
///
/// The keys that have their first parts in common are those that begin with the bytes of these parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

/// The bytes are no key of the view.
#[derive(Debug, thiserror::Error)]
#[error("no key of the view {}: {} bytes, of which {at} were read", view.as_str(), of)]
pub struct KeyError {
    view: View,
    of: usize,
    at: usize,
}

impl Key {
    /// Of [`View::Runs`]: a scope, with the first of its values.
    pub fn scope(scope: Scope, values: &[&str]) -> Self {
        let tag = Scope::ALL.iter().position(|&other| other == scope).expect("it is one of all");
        let key = Self(vec![u8::try_from(tag).expect("there are six")]);
        values.iter().fold(key, |key, value| key.text(value))
    }

    /// Of [`View::Runs`]: an execution's in a scope.
    pub fn runs(scope: Scope, of: &Stratum) -> Self {
        let values = scope.values(of);
        let length = values.iter().map(|value| value.len() + 1).sum::<usize>();
        // Many are made: of one piece.
        let mut key = Vec::with_capacity(length + of.workflow.len() + of.version.len() + 3);
        key.extend(Self::scope(scope, &[]).0);
        values.into_iter().fold(Self(key), Self::text).text(&of.workflow).text(&of.version)
    }

    /// Of [`View::Steps`]: all of a version.
    pub fn version(workflow: &str, version: &str) -> Self {
        Self::workflow(workflow).text(version)
    }

    /// Of [`View::Steps`], [`View::Strata`] and [`View::Texts`]: all of a workflow.
    pub fn workflow(workflow: &str) -> Self {
        Self(Vec::with_capacity(workflow.len() + 64)).text(workflow)
    }

    /// Of [`View::Strata`], and the beginning of those of [`View::Texts`].
    pub fn stratum(of: &Stratum) -> Self {
        let Stratum { workflow, version, namespace, incident_type, target_kind } = of;
        Self::version(workflow, version).text(namespace).text(incident_type).text(target_kind)
    }

    /// This with a text behind it.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend(text.as_bytes());
        self.0.push(0);
        self
    }

    /// This with a number behind it.
    #[must_use]
    pub fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// This with what a text is about behind it.
    #[must_use]
    pub fn about(mut self, about: About) -> Self {
        self.0.push(match about {
            About::Error => 0,
            About::Timeout => 1,
            About::Reason(kind) => {
                let place = AdjustmentType::ALL.iter().position(|&other| other == kind);
                16 + u8::try_from(place.expect("it is one of all")).expect("there are few")
            }
        });
        self
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The first bytes that sort after every key that begins with this one; `None` where nothing does.
    pub fn end(&self) -> Option<Self> {
        let last = self.0.iter().rposition(|&byte| byte != u8::MAX)?;
        let mut end = self.0[..=last].to_vec();
        end[last] += 1;
        Some(Self(end))
    }

    /// Reads its parts.
    pub fn parts(&self) -> Parts<'_> {
        Parts { bytes: &self.0, at: 0 }
    }
}

/// Reads the parts of a key, in their order.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parts<'a> {
    /// The next part, which is a text.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&mut self, view: View) -> Result<&'a str, KeyError> {
        let rest = &self.bytes[self.at..];
        let text =
            rest.iter().position(|&byte| byte == 0).and_then(|end| std::str::from_utf8(&rest[..end]).ok());
        let text = text.ok_or_else(|| self.error(view))?;
        self.at += text.len() + 1;
        Ok(text)
    }

    /// The next part, which is a number.
    ///
    /// # Errors
    /// When there is none.
    pub fn number(&mut self, view: View) -> Result<u32, KeyError> {
        let bytes = self.bytes[self.at..].first_chunk().ok_or_else(|| self.error(view))?;
        self.at += 4;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// The next part, which is what a text is about.
    ///
    /// # Errors
    /// When there is none.
    pub fn about(&mut self) -> Result<About, KeyError> {
        let tag = self.bytes.get(self.at).copied();
        let about = tag.and_then(|tag| match tag {
            0 => Some(About::Error),
            1 => Some(About::Timeout),
            tag => {
                let place = usize::from(tag.checked_sub(16)?);
                AdjustmentType::ALL.get(place).map(|&kind| About::Reason(kind))
            }
        });
        let about = about.ok_or_else(|| self.error(View::Texts))?;
        self.at += 1;
        Ok(about)
    }

    /// The next byte, which tells a scope.
    ///
    /// # Errors
    /// When there is none.
    pub fn scope(&mut self) -> Result<Scope, KeyError> {
        let tag = self.bytes.get(self.at).map(|&tag| usize::from(tag));
        let scope = tag.and_then(|tag| Scope::ALL.get(tag)).ok_or_else(|| self.error(View::Runs))?;
        self.at += 1;
        Ok(*scope)
    }

    fn error(&self, view: View) -> KeyError {
        KeyError { view, of: self.bytes.len(), at: self.at }
    }
}

/// The keys that an execution's contribution is under in [`View::Texts`].
pub(super) fn texts(contribution: &Contribution) -> impl Iterator<Item = Key> {
    let stratum = Key::stratum(&contribution.of);
    contribution.texts.iter().map(move |text| {
        stratum.clone().number(text.number).text(&text.action).about(text.about).text(&text.pattern)
    })
}
