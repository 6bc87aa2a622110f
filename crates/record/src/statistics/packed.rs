//! Contributions as bytes: each text once, and everything in postcard's encoding
//! (<https://postcard.jamesmunns.com/wire-format>).

use std::{collections::HashMap, convert::Infallible};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Contribution;
use crate::entry::Verdict;

/// The version of the form, in front of all else.
const FORM: u8 = 2;
/// The one before it, without verdicts: purges that are on record have it.
const WITHOUT_VERDICTS: u8 = 1;

/// Contributions, each with how often it is given: taken back, −1. In JSON they are base64 (RFC 4648, section 4).
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

#[derive(Serialize, Deserialize)]
struct Form<T, G> {
    form: u8,
    /// What the numbers in place of texts mean.
    texts: Vec<T>,
    given: Vec<G>,
}

/// What is given, how often, and the verdict on it.
type Given = (i64, Contribution<u32>, Option<Verdict>);

/// The bytes are no contributions.
#[derive(Debug, thiserror::Error)]
pub enum NotPacked {
    /// They are of another form.
    #[error("packed contributions of form {0}, which a newer dualaudit may know")]
    Form(u8),
    /// They make no sense.
    #[error("packed contributions that make no sense: {0}")]
    Senseless(String),
}

impl Packed {
    /// Packs contributions.
    pub fn of<'c>(given: impl IntoIterator<Item = (i64, &'c Contribution)>) -> Self {
        let mut texts: Vec<&str> = Vec::new();
        let mut places: HashMap<&str, u32> = HashMap::new();
        let mut number = |text: &'c String| -> Result<u32, Infallible> {
            let next = u32::try_from(texts.len()).expect("texts that fit into memory can be counted");
            let place = *places.entry(text).or_insert(next);
            if place == next {
                texts.push(text);
            }
            Ok(place)
        };
        let mut packed = Vec::new();
        for (times, contribution) in given {
            let Ok(contribution) = contribution.try_map(&mut number);
            let verdict = contribution.verdict();
            packed.push((times, contribution, verdict));
        }
        let bytes = postcard::to_stdvec(&Form { form: FORM, texts, given: packed });
        Self(bytes.expect("contributions can be encoded"))
    }

    /// Those with these bytes; nothing is read yet.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Their bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads them.
    ///
    /// # Errors
    /// See [`NotPacked`].
    pub fn unpack(&self) -> Result<Vec<(i64, Contribution)>, NotPacked> {
        let (texts, given) = match self.0.first() {
            Some(&WITHOUT_VERDICTS) => {
                let (texts, given) = self.read::<(i64, Contribution<u32>)>()?;
                (texts, given.into_iter().map(|(times, contribution)| (times, contribution, None)).collect())
            }
            Some(&FORM) | None => self.read::<Given>()?,
            Some(&form) => return Err(NotPacked::Form(form)),
        };
        let text = |&place: &u32| {
            let text = texts.get(place as usize).map(|&text| text.to_owned());
            text.ok_or_else(|| NotPacked::Senseless(format!("there is no text {place}")))
        };
        let contribution = |(times, contribution, verdict): Given| {
            Ok((times, contribution.try_map(text)?.reviewed(verdict)))
        };
        given.into_iter().map(contribution).collect()
    }

    /// The texts, and what is given.
    fn read<'a, G: Deserialize<'a>>(&'a self) -> Result<(Vec<&'a str>, Vec<G>), NotPacked> {
        let read = postcard::from_bytes::<Form<&str, G>>(&self.0);
        let Form { texts, given, .. } = read.map_err(|error| NotPacked::Senseless(error.to_string()))?;
        Ok((texts, given))
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({} bytes)", self.0.len())
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(&text).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::testing::{plain_record, record};

    #[test]
    fn texts_that_many_have_in_common_are_there_once() {
        let one = Contribution::of(&plain_record());
        let bytes = |count: usize| Packed::of(vec![(1, &one); count]).as_bytes().len();
        assert!(bytes(101) - bytes(100) <= 60, "{} for each more", bytes(101) - bytes(100));
    }

    #[test]
    fn what_is_none_is_refused() {
        let unpack = |bytes: &[u8]| Packed::from_bytes(bytes.to_vec()).unpack();
        assert!(matches!(unpack(&[9, 0, 0]), Err(NotPacked::Form(9))));
        assert!(matches!(unpack(&[]), Err(NotPacked::Senseless(_))));
        let packed = Packed::of([(1, &Contribution::of(&plain_record()))]);
        let (_, cut) = packed.as_bytes().split_last().unwrap();
        assert!(matches!(unpack(cut), Err(NotPacked::Senseless(_))));
    }

    /// As purges of the version before this one have it.
    #[test]
    fn contributions_without_verdicts_are_read() {
        let text = "AQgRcmVzdGFydC1hbmQtc2NhbGUCdjIAB3Jlc3RhcnQFc2NhbGUUc3RlcCA8bnVtYmVyPiBmYWlsZWQJc2xvdyBub2RlBXF1\
                    b3RhAQIAAQICApSmOwECAYC1GAAAgJX1KgACAQMCAQGAh6cOAgQDAQCAjs4cAQEDAAMAAgAFAQMBAAYCBAAH";
        let packed: Packed = serde_json::from_value(text.into()).unwrap();
        assert_eq!(packed.unpack().unwrap(), [(1, Contribution::of(&plain_record()))]);
    }

    fn verdict() -> impl Strategy<Value = Option<Verdict>> {
        proptest::option::of(proptest::sample::select(Verdict::ALL))
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back(records in vec((record(), -1..=1_i64, verdict()), 0..8)) {
            let given: Vec<_> = records
                .iter()
                .map(|(record, times, verdict)| (*times, Contribution::of(record).reviewed(*verdict)))
                .collect();
            let packed = Packed::of(given.iter().map(|(times, contribution)| (*times, contribution)));
            prop_assert_eq!(packed.unpack().unwrap(), given);
            let json = serde_json::to_string(&packed).unwrap();
            prop_assert_eq!(serde_json::from_str::<Packed>(&json).unwrap(), packed);
        }
    }
}
