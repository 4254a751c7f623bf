//! Serialisation of optional settings: a value, or the string `"none"`.
//!
//! TOML has no null. A field that is left out gets its default value, which need not be `None`.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! #[serde(default)]
//! struct Config {
//!     #[serde(with = "rl_core::optional")]
//!     max_grad_norm: Option<f64>,
//! }
//! impl Default for Config {
//!     fn default() -> Self {
//!         Config { max_grad_norm: Some(10.0) }
//!     }
//! }
//! let read = |text: &str| toml::from_str::<Config>(text).unwrap().max_grad_norm;
//! assert_eq!(read(""), Some(10.0));
//! assert_eq!(read("max_grad_norm = 0.5"), Some(0.5));
//! assert_eq!(read(r#"max_grad_norm = "none""#), None);
//! let none = Config { max_grad_norm: None };
//! assert_eq!(read(&toml::to_string(&none).unwrap()), None);
//! ```

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// The string for a missing value.
const NONE: &str = "none";

/// Writes the value, or `"none"`.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<T: Serialize, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        _ if !serializer.is_human_readable() => value.serialize(serializer),
        Some(value) => value.serialize(serializer),
        None => serializer.serialize_str(NONE),
    }
}

/// Reads a value; `"none"` gives `None`.
///
/// # Errors
/// Those of the value.
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(OptionalVisitor(PhantomData))
    } else {
        Option::deserialize(deserializer)
    }
}

struct OptionalVisitor<T>(PhantomData<T>);

/// Passes any other value on to its type.
macro_rules! forward {
    ($($method:ident: $kind:ty),*) => {
        $(fn $method<E: Error>(self, value: $kind) -> Result<Option<T>, E> {
            T::deserialize(value.into_deserializer()).map(Some)
        })*
    };
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OptionalVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or \"none\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        match text {
            NONE => Ok(None),
            text => T::deserialize(text.into_deserializer()).map(Some),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Option<T>, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(seq)).map(Some)
    }

    forward!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
}
