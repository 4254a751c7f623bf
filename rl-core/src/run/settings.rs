//! Settings as TOML.

use crate::{Error, Result, nearest_name};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads settings from a table; an error names the field by its path. `what` is where the table comes from.
///
/// ```
/// use rl_core::run::{Normalize, from_table};
/// let table = toml::toml! { rewards = 1 };
/// let error = from_table::<Normalize>("normalize", table).unwrap_err().to_string();
/// assert_eq!(error, "normalize: rewards: invalid type: integer `1`, expected a boolean");
/// ```
///
/// # Errors
/// [`Error::Settings`] for an unknown field and a value of the wrong type.
pub fn from_table<C: DeserializeOwned>(what: &str, table: toml::Table) -> Result<C> {
    serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|e| {
        let (path, message) = (e.path().to_string(), plain(e.inner().message()));
        // Of an unknown field, which ends its path, the message gives the name.
        let path = match (message.starts_with("unknown field"), path.rsplit_once('.')) {
            (true, Some((parent, _))) => parent,
            (true, None) => ".",
            (false, _) => &path,
        };
        let message = format!("{message}{}", nearest_field(&message));
        match path {
            "." => Error::settings(what, &message),
            path => Error::settings(what, format_args!("{path}: {message}")),
        }
    })
}

/// What the unknown field of a message of serde's, which lists those that there are, may have meant.
fn nearest_field(message: &str) -> String {
    // `unknown`, expected one of `a`, `b`
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next().filter(|_| message.starts_with("unknown field")) else {
        return String::new();
    };
    let nearest = nearest_name(unknown, names, 0.85);
    nearest.map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// A message of serde's with words of TOML for types of Rust.
fn plain(message: &str) -> String {
    let Some((start, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let expected = match expected.split_once(' ').map_or(expected, |(first, _)| first) {
        "usize" | "u64" => "a whole number >= 0",
        "f64" | "f32" => "a number",
        "struct" => "a table",
        "internally" | "adjacently" => "a table with kind = \"...\"",
        _ => expected,
    };
    format!("{start}, expected {expected}")
}

/// Parses the text of a table.
pub(super) fn table_of(what: &str, text: &str) -> Result<toml::Table> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        Error::settings(what, format_args!("{line}{}", e.message()))
    })
}

/// Where two values differ first: the path, and what each has there.
pub(super) fn first_difference(
    a: &impl Serialize,
    b: &impl Serialize,
) -> Result<Option<(String, String, String)>> {
    let json = |e| Error::settings("settings", e);
    let a = serde_json::to_value(a).map_err(json)?;
    let b = serde_json::to_value(b).map_err(json)?;
    Ok(difference("", &a, &b))
}

fn difference(path: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let of = |object: &serde_json::Map<String, Value>| {
                object.get(key).cloned().unwrap_or_else(|| "nothing".into())
            };
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            difference(&path, &of(a), &of(b))
        }),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(i, (a, b))| difference(&format!("{path}[{i}]"), a, b))
        }
        // 1 is 1.0.
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        _ => (a != b).then(|| (path.to_owned(), a.to_string(), b.to_string())),
    }
}

/// Whether tables can be joined: those that say of which `kind` they are agree in it, and so do those that say it by their
/// only key, as `{ fixed = 0.1 }` and `{ auto = 1.0 }` do not.
fn same_kind(under: &toml::Table, over: &toml::Table) -> bool {
    let kinds = over.get("kind").is_none_or(|kind| under.get("kind") == Some(kind));
    let tags = under.len() == 1 && over.len() == 1 && under.keys().ne(over.keys());
    kinds && (under.contains_key("kind") || !tags)
}

/// Puts settings over others. Tables are joined, unless they are of another kind.
pub(super) fn merge(under: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        let joined = match (under.get_mut(key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over))
                if same_kind(under, over) =>
            {
                merge(under, over);
                true
            }
            _ => false,
        };
        if !joined {
            under.insert(key.clone(), value.clone());
        }
    }
}

/// Levels of a path: more than any settings have, and few enough for whatever walks through them.
const DEEPEST: usize = 32;

/// Puts a value at a path such as `network.hidden`.
pub(super) fn put(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<()> {
    if key.split('.').nth(DEEPEST).is_some() {
        return Err(Error::settings(key, format_args!("more than {DEEPEST} levels")));
    }
    let (mut table, mut parts) = (table, key.split('.').peekable());
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            table.insert(part.to_owned(), value);
            break;
        }
        table = match table.entry(part).or_insert_with(|| toml::Table::new().into()) {
            toml::Value::Table(inner) => inner,
            value => {
                let problem = format_args!("'{part}' is {value}, which has no fields");
                return Err(Error::settings(key, problem));
            }
        };
    }
    Ok(())
}

/// A value as it is written on a command line: TOML, a whole number as `1e5` too, or text without quotes.
pub(super) fn value_of(key: &str, text: &str) -> Result<toml::Value> {
    let parsed = toml::from_str::<toml::Table>(&format!("v = {text}"));
    // A list or a table is not meant as text.
    let ends = |open, close| text.trim().starts_with(open) && text.trim().ends_with(close);
    if let Err(error) = &parsed
        && (ends('[', ']') || ends('{', '}'))
    {
        return Err(Error::settings(key, format_args!("{}, in {}", error.message(), text.trim())));
    }
    // A value of several lines could bring other keys along.
    let parsed = parsed.ok().filter(|table| table.len() == 1);
    let parsed = parsed.and_then(|mut table| table.remove("v"));
    Ok(match parsed {
        // Where a fraction is asked for, a whole number will do.
        Some(toml::Value::Float(value)) if text.contains(['e', 'E']) => match parse_count(text) {
            Ok(count) if count <= i64::MAX as u64 => toml::Value::Integer(count as i64),
            _ => toml::Value::Float(value),
        },
        Some(value) => value,
        None => toml::Value::String(text.trim().to_owned()),
    })
}

/// Reads a whole number: `100000`, `100_000`, `1e5`, `2.5e6`.
///
/// ```
/// use rl_core::run::parse_count;
/// assert_eq!((parse_count("100_000")?, parse_count("1e5")?), (100_000, 100_000));
/// let error = parse_count("1e-5").unwrap_err().to_string();
/// assert_eq!(error, "number: expected a whole number such as 100_000 or 1e5, got 1e-5");
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`] for anything else, and for numbers of more than 64 bits.
pub fn parse_count(text: &str) -> Result<u64> {
    let wrong = || Error::config("number", "a whole number such as 100_000 or 1e5", text);
    let digits = text.trim().replace('_', "");
    if let Ok(count) = digits.parse() {
        return Ok(count);
    }
    // Whole numbers up to 2^53 are all there as fractions, and larger ones are meant as they are written.
    let exact =
        digits.parse::<f64>().ok().filter(|x| x.fract() == 0.0 && (0.0..1.8e19).contains(x));
    exact.map(|x| x as u64).ok_or_else(wrong)
}
