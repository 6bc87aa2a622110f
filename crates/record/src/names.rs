//! The names that variants have on the wire, in tables and in errors.

/// The text is none of the names allowed in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {allowed}; found {found}")]
pub struct UnknownName {
    /// The text, quoted, shortened when long.
    pub found: String,
    /// The names, with commas between.
    pub allowed: String,
}

/// `text` in quotes and escaped; only its beginning when it is long, because it goes into errors,
/// which go into events, logs and answers.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// Gives an enum its names: `ALL`, `as_str`, `Display` and `FromStr`. A test holds them to serde's.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every variant, in the order of the declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name on the wire and in tables.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::names::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::names::UnknownName {
                        found: $crate::names::quoted(text),
                        allowed: [$($name),+].join(", "),
                    }),
                }
            }
        }
    };
}
pub(crate) use named;

#[cfg(test)]
mod tests {
    use crate::{
        entry::Verdict,
        execution::{AdjustmentType, Outcome, ScoreSource, Status, StepStatus},
    };

    #[test]
    fn names_are_the_same_in_json_and_in_text() {
        macro_rules! check {
            ($($type:ident),+) => {$(
                for &variant in $type::ALL {
                    assert_eq!(serde_json::to_value(variant).unwrap(), variant.as_str());
                    assert_eq!(variant.as_str().parse::<$type>().unwrap(), variant);
                }
            )+};
        }
        check!(Outcome, Status, StepStatus, AdjustmentType, ScoreSource, Verdict);
    }

    #[test]
    fn an_unknown_name_is_told_with_what_is_allowed() {
        let error = "Succeeded".parse::<Outcome>().unwrap_err();
        assert_eq!(error.to_string(), r#"must be one of success, failed, partial; found "Succeeded""#);
        let error = "x".repeat(1000).parse::<Outcome>().unwrap_err();
        assert!(error.to_string().len() < 200);
    }
}
