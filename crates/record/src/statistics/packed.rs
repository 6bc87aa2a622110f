//! Contributions as bytes: each text once, and everything in postcard's encoding
//! (<https://postcard.jamesmunns.com/wire-format>).

use std::{collections::HashMap, convert::Infallible};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Contribution;

/// The version of the form, in front of all else.
const FORM: u8 = 1;

/// Contributions, each with how often it is given: taken back, −1. In JSON they are base64 (RFC 4648, section 4).
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

#[derive(Serialize, Deserialize)]
struct Form<T> {
    form: u8,
    /// What the numbers in place of texts mean.
    texts: Vec<T>,
    given: Vec<(i64, Contribution<u32>)>,
}

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
            packed.push((times, contribution));
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
        if let Some(&form) = self.0.first()
            && form != FORM
        {
            return Err(NotPacked::Form(form));
        }
        let read = postcard::from_bytes::<Form<&str>>(&self.0);
        let Form { texts, given, .. } = read.map_err(|error| NotPacked::Senseless(error.to_string()))?;
        let text = |&place: &u32| {
            let text = texts.get(place as usize).map(|&text| text.to_owned());
            text.ok_or_else(|| NotPacked::Senseless(format!("there is no text {place}")))
        };
        given.into_iter().map(|(times, contribution)| Ok((times, contribution.try_map(text)?))).collect()
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
        assert!(bytes(101) - bytes(100) < 60, "{} for each more", bytes(101) - bytes(100));
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

    proptest! {
        #[test]
        fn what_was_packed_comes_back(records in vec((record(), -1..=1_i64), 0..8)) {
            let given: Vec<_> =
                records.iter().map(|(record, times)| (*times, Contribution::of(record))).collect();
            let packed = Packed::of(given.iter().map(|(times, contribution)| (*times, contribution)));
            prop_assert_eq!(packed.unpack().unwrap(), given);
            let json = serde_json::to_string(&packed).unwrap();
            prop_assert_eq!(serde_json::from_str::<Packed>(&json).unwrap(), packed);
        }
    }
}
