//! Closed sets of words in an open world.
//!
//! The schema of an enum is closed, but a stored object may carry a word that this version does not know: an older
//! or a newer schema allowed it. Such an object must still decode, or its Instance could neither be observed nor
//! deleted. And the unknown word must never be taken for the default.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt};

/// A closed set of words, as the schema lists them. Made by the macro `words`.
pub trait Words: Copy + PartialEq + 'static {
    /// Every value with its spelling, in the order of the schema.
    const ALL: &'static [(&'static str, Self)];

    /// The spelling in JSON.
    fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(text, _)| text)
    }

    /// The value with this spelling.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == text)
            .map(|(_, value)| *value)
    }

    /// All spellings for a message: `a, b, c`.
    fn listed() -> String {
        let words: Vec<&str> = Self::ALL.iter().map(|(text, _)| *text).collect();
        words.join(", ")
    }
}

/// A word out of a stored object: one that we know, or the text that stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<E> {
    /// One of the words of the schema.
    Known(E),
    /// Another one. Empty means that the field counts as absent.
    Unknown(String),
}

impl<E: Words> Word<E> {
    /// The value, or the text that is none.
    pub fn known(&self) -> Result<E, &str> {
        match self {
            Self::Known(value) => Ok(*value),
            Self::Unknown(text) => Err(text),
        }
    }

    /// As it stands in the object.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(value) => value.as_str(),
            Self::Unknown(text) => text,
        }
    }
}

/// Reads an optional word: absent and empty are `None`, an unknown text is the error.
pub fn word<E: Words>(field: Option<&Word<E>>) -> Result<Option<E>, &str> {
    match field {
        None => Ok(None),
        Some(Word::Unknown(text)) if text.is_empty() => Ok(None),
        Some(word) => word.known().map(Some),
    }
}

impl<E: Words> From<E> for Word<E> {
    fn from(value: E) -> Self {
        Self::Known(value)
    }
}

impl<E: Words> PartialEq<E> for Word<E> {
    fn eq(&self, other: &E) -> bool {
        matches!(self, Self::Known(value) if value == other)
    }
}

impl<E: Words> fmt::Display for Word<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<E: Words> Serialize for Word<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, E: Words> Deserialize<'de> for Word<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(E::parse(&text).map_or(Self::Unknown(text), Self::Known))
    }
}

impl<E: Words> JsonSchema for Word<E> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = E::ALL.iter().map(|(text, _)| *text).collect();
        schemars::json_schema!({ "type": "string", "enum": words })
    }
}

/// Declares an enum with one spelling per value.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $value,)+ }

        impl $crate::crd::word::Words for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$value)),+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::crd::word::Words::as_str(*self))
            }
        }
    )+};
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    words! {
        /// Two words.
        Colour { /// Red.
            Red = "red", /// Dark blue.
            DarkBlue = "dark-blue", }
    }

    #[test]
    fn a_known_word_decodes_to_its_value() {
        let word: Word<Colour> = serde_json::from_str(r#""dark-blue""#).unwrap();
        assert_eq!(word, Word::Known(Colour::DarkBlue));
        assert_eq!(serde_json::to_string(&word).unwrap(), r#""dark-blue""#);
    }

    #[test]
    fn an_unknown_word_decodes_survives_and_is_never_the_default() {
        let stored: Word<Colour> = serde_json::from_str(r#""green""#).unwrap();
        assert_eq!(serde_json::to_string(&stored).unwrap(), r#""green""#);
        assert_eq!(word(Some(&stored)), Err("green"));
        assert_eq!(Colour::listed(), "red, dark-blue");
    }

    #[test]
    fn an_empty_word_counts_as_absent() {
        let stored: Word<Colour> = serde_json::from_str(r#""""#).unwrap();
        assert_eq!(word(Some(&stored)), Ok(None));
        assert_eq!(word::<Colour>(None), Ok(None));
    }
}
