//! Where a sum belongs: in which view, and under which key of it.

use serde::{Deserialize, Serialize};

use super::contribution::{About, Contribution, Stratum};
use crate::{execution::AdjustmentType, names::named};

/// What is summed by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Executions, by scope and workflow.
    Workflows,
    /// Executions, by scope, workflow and version.
    Runs,
    /// Steps, by workflow, version, number and action.
    Steps,
    /// Executions with their steps and adjustments, by all that they are told apart by.
    Strata,
    /// What was said, by all that and the pattern.
    Texts,
}

named!(View { Workflows = "workflows", Runs = "runs", Steps = "steps", Strata = "strata", Texts = "texts" });

/// Which executions of a workflow a sum in [`View::Workflows`] or [`View::Runs`] is over. Each execution is in one sum of each scope, so that
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

    /// How many values its keys begin with.
    pub fn values(self) -> usize {
        match self {
            Self::All => 0,
            Self::Namespace | Self::IncidentType | Self::TargetKind => 1,
            Self::IncidentTypeAndTargetKind => 2,
            Self::NamespaceIncidentTypeAndTargetKind => 3,
        }
    }

    /// What executions are told apart by in it, in the order of its keys.
    fn values_of<S>(self, of: &Stratum<S>) -> Vec<&S> {
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

    /// The one whose sums tell executions apart by what is asked for.
    fn telling<S>(asked: &Stratum<Option<S>>) -> Self {
        match (&asked.namespace, &asked.incident_type, &asked.target_kind) {
            (None, None, None) => Self::All,
            (Some(_), None, None) => Self::Namespace,
            (None, Some(_), None) => Self::IncidentType,
            (None, None, Some(_)) => Self::TargetKind,
            (None, Some(_), Some(_)) => Self::IncidentTypeAndTargetKind,
            (Some(_), _, _) => Self::NamespaceIncidentTypeAndTargetKind,
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
    /// Of [`View::Workflows`] and [`View::Runs`]: a scope, with the first of its values.
    pub fn scope(scope: Scope, values: &[&str]) -> Self {
        let tag = Scope::ALL.iter().position(|&other| other == scope).expect("it is one of all");
        let key = Self(vec![u8::try_from(tag).expect("there are six")]);
        values.iter().fold(key, |key, value| key.text(value))
    }

    /// Of [`View::Workflows`]: an execution's in a scope. Of [`View::Runs`]: all versions of its workflow.
    pub fn scoped(scope: Scope, of: &Stratum) -> Self {
        let values = scope.values_of(of);
        let length = values.iter().map(|value| value.len() + 1).sum::<usize>();
        // Many are made: of one piece.
        let mut key = Vec::with_capacity(length + of.workflow.len() + of.version.len() + 3);
        key.extend(Self::scope(scope, &[]).0);
        values.into_iter().fold(Self(key), |key, value| key.text(value)).text(&of.workflow)
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

    /// Its bytes, and no more of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
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

    /// No key, but one that sorts after all: no part begins with its byte.
    pub fn last() -> Self {
        Self(vec![u8::MAX])
    }

    /// Of [`View::Texts`]: the one of all patterns together that are not told apart, which no pattern has.
    ///
    /// # Errors
    /// When it is no key of that view.
    pub fn other_patterns(&self) -> Result<Self, KeyError> {
        let mut parts = self.parts();
        for _ in 0..5 {
            parts.text(View::Texts)?;
        }
        parts.number(View::Texts)?;
        parts.text(View::Texts)?;
        parts.about()?;
        Ok(Self(self.0[..parts.at].to_vec()).text(""))
    }

    /// Reads its parts.
    pub fn parts(&self) -> Parts<'_> {
        Parts { bytes: &self.0, at: 0 }
    }
}

/// Which keys: those that begin with one, and of whose texts behind it some are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    begins: Key,
    then: Vec<Option<Vec<u8>>>,
}

impl Keys {
    /// Those that begin with `first`, and have these texts behind it; `None` is any.
    pub fn of(first: Key, texts: &[Option<&str>]) -> Self {
        let given = texts.iter().take_while(|text| text.is_some()).count();
        let last = texts.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let begins = texts[..given].iter().flatten().fold(first, |key, text| key.text(text));
        let then = texts[given..last.max(given)].iter().map(|text| text.map(|text| text.as_bytes().to_vec()));
        Self { begins, then: then.collect() }
    }

    /// Those of the executions that are asked for, summed by workflow; where a version is asked for, or they are to be
    /// told apart `by_version`, by version of it.
    pub fn of_runs(asked: &Stratum<Option<&str>>, by_version: bool) -> (View, Self) {
        // Sums of all versions tell none apart.
        let by_version = by_version || asked.version.is_some();
        let scope = Scope::telling(asked);
        let mut texts: Vec<Option<&str>> = scope.values_of(asked).into_iter().copied().collect();
        texts.push(asked.workflow);
        texts.extend(by_version.then_some(asked.version));
        let view = if by_version { View::Runs } else { View::Workflows };
        (view, Self::of(Key::scope(scope, &[]), &texts))
    }

    /// Those of these that are of executions in one namespace: in [`View::Workflows`] and [`View::Runs`] of a scope that tells
    /// these apart, and of [`View::Steps`] in [`View::Strata`], which does. `None` where none are.
    pub fn of_namespace(&self, view: View, namespace: &str) -> Option<Self> {
        let texts = |bytes: &[u8]| {
            let texts = bytes.split_inclusive(|&byte| byte == 0).map(|text| text.strip_suffix(&[0]));
            texts.map(|text| text.map(<[u8]>::to_vec)).collect::<Vec<_>>()
        };
        match view {
            View::Steps | View::Strata | View::Texts => {
                const PLACE: usize = 2;
                let given = texts(&self.begins.0);
                if let Some(asked) = given.get(PLACE) {
                    return (asked.as_deref() == Some(namespace.as_bytes())).then(|| self.clone());
                }
                let mut then = self.then.clone();
                let place = PLACE - given.len();
                then.resize(then.len().max(place + 1), None);
                match &then[place] {
                    Some(asked) if asked != namespace.as_bytes() => None,
                    _ => {
                        then[place] = Some(namespace.as_bytes().to_vec());
                        Some(Self { begins: self.begins.clone(), then }.sought())
                    }
                }
            }
            View::Workflows | View::Runs => {
                let scope = self.scope()?;
                let mut given = texts(&self.begins.0[1..]);
                given.extend(self.then.iter().cloned());
                given.resize(given.len().max(scope.values()), None);
                let rest = given.split_off(scope.values());
                let mut given = given.into_iter();
                let mut next = || given.next().flatten();
                let only = Some(namespace.as_bytes().to_vec());
                let (scope, values) = match scope {
                    Scope::All => (Scope::Namespace, vec![only]),
                    Scope::IncidentType => {
                        (Scope::NamespaceIncidentTypeAndTargetKind, vec![only, next(), None])
                    }
                    Scope::TargetKind => {
                        (Scope::NamespaceIncidentTypeAndTargetKind, vec![only, None, next()])
                    }
                    Scope::IncidentTypeAndTargetKind => {
                        (Scope::NamespaceIncidentTypeAndTargetKind, vec![only, next(), next()])
                    }
                    Scope::Namespace | Scope::NamespaceIncidentTypeAndTargetKind => {
                        if next().is_some_and(|asked| asked != namespace.as_bytes()) {
                            return None;
                        }
                        (scope, [only].into_iter().chain(given).collect())
                    }
                };
                let then = values.into_iter().chain(rest).collect();
                Some(Self { begins: Key::scope(scope, &[]), then }.sought())
            }
        }
    }

    /// The key among these that one of [`Self::of_namespace`] is, where no namespace is told apart: of [`View::Workflows`] and
    /// [`View::Runs`].
    ///
    /// # Errors
    /// When it is no key of these views.
    pub fn of_any_namespace(&self, key: &Key) -> Result<Key, KeyError> {
        let mut parts = key.parts();
        let scope = parts.scope()?;
        let values = (0..scope.values()).map(|_| parts.text(View::Runs)).collect::<Result<Vec<_>, _>>()?;
        let asked = self.scope().unwrap_or(scope);
        let value = |place: usize| values.get(place).copied().unwrap_or_default();
        let of = Stratum {
            namespace: value(0),
            incident_type: value(1),
            target_kind: value(2),
            ..Stratum::default()
        };
        let values: Vec<&str> = asked.values_of(&of).into_iter().copied().collect();
        let mut asked = Key::scope(asked, &values);
        asked.0.extend(&key.0[parts.at..]);
        Ok(asked)
    }

    fn scope(&self) -> Option<Scope> {
        self.begins.0.first().and_then(|&tag| Scope::ALL.get(usize::from(tag))).copied()
    }

    /// The same, beginning with as many of their texts as are given.
    fn sought(mut self) -> Self {
        let given = self.then.iter().take_while(|text| text.is_some()).count();
        for text in self.then.drain(..given).flatten() {
            self.begins.0.extend(text);
            self.begins.0.push(0);
        }
        self
    }

    /// What they begin with; others may begin so, too.
    pub fn begins(&self) -> &Key {
        &self.begins
    }

    /// Whether the key with these bytes is one of them.
    pub fn has(&self, key: &[u8]) -> bool {
        key.strip_prefix(self.begins.as_bytes()).is_some_and(|rest| self.has_then(rest))
    }

    fn has_then(&self, mut rest: &[u8]) -> bool {
        self.then.iter().all(|asked| {
            let Some(end) = rest.iter().position(|&byte| byte == 0) else { return false };
            let text = &rest[..end];
            rest = &rest[end + 1..];
            asked.as_deref().is_none_or(|asked| asked == text)
        })
    }
}

impl From<Key> for Keys {
    fn from(begins: Key) -> Self {
        Self { begins, then: Vec::new() }
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

    /// The next part, which is a text, unless the key has no more.
    ///
    /// # Errors
    /// When there is something else.
    pub fn last_text(&mut self, view: View) -> Result<Option<&'a str>, KeyError> {
        if self.at == self.bytes.len() { Ok(None) } else { self.text(view).map(Some) }
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
