//! `cargo xtask settings`: what can be set, its value, and what it means, from the documentation of the settings' types.

use crate::algorithm::{self, Algorithm};
use crate::{Error, Result, preset};
use std::collections::BTreeMap;
use std::fmt::Write;
use syn::{Attribute, Expr, Fields, Item, Lit, Meta, Type};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The algorithm, as `cargo xtask list` names it.
    algorithm: String,
    /// An environment, whose preset's values are then shown in place of the defaults.
    env: Option<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let algorithm = algorithm::find(&args.algorithm)?;
    if let Some(env) = args.env.as_deref().filter(|env| !env.starts_with("gym:")) {
        rl_envs::find(env)?;
    }
    print!("{}", text(algorithm, args.env.as_deref())?);
    Ok(())
}

/// The files that define what can be set.
const SOURCES: &[&str] = &[
    include_str!("../../rl-core/src/run/config.rs"),
    include_str!("../../rl-core/src/bad_numbers.rs"),
    include_str!("../../rl-core/src/schedule.rs"),
    include_str!("../../rl-nets/src/activation.rs"),
    include_str!("../../rl-nets/src/architectures.rs"),
    include_str!("../../rl-nets/src/body.rs"),
    include_str!("../../rl-nets/src/conv2d.rs"),
    include_str!("../../rl-nets/src/init.rs"),
    include_str!("../../rl-nets/src/log_std.rs"),
    include_str!("../../rl-nets/src/loss.rs"),
    include_str!("../../rl-nets/src/optimizer_config.rs"),
    include_str!("../../rl-replay/src/prioritized.rs"),
    include_str!("../../rl-dqn/src/config.rs"),
    include_str!("../../rl-dqn/src/q_learning.rs"),
    include_str!("../../rl-pg/src/a2c.rs"),
    include_str!("../../rl-pg/src/annealing.rs"),
    include_str!("../../rl-pg/src/evolution.rs"),
    include_str!("../../rl-pg/src/hill_climbing.rs"),
    include_str!("../../rl-pg/src/q_actor_critic.rs"),
    include_str!("../../rl-pg/src/reinforce.rs"),
    include_str!("../../rl-ppo/src/ppo_clip.rs"),
    include_str!("../../rl-ppo/src/ppo_kl.rs"),
    include_str!("../../rl-ppo/src/trpo.rs"),
    include_str!("../../rl-ddpg/src/ddpg.rs"),
    include_str!("../../rl-ddpg/src/noise.rs"),
    include_str!("../../rl-ddpg/src/sac.rs"),
    include_str!("../../rl-ddpg/src/td3.rs"),
    include_str!("../../rl-ddpg/src/temperature.rs"),
    include_str!("../../rl-ddpg/src/tqc.rs"),
];

/// The columns of a terminal.
const WIDTH: usize = 100;

fn text(algorithm: &Algorithm, env: Option<&str>) -> Result<String> {
    let types = Types::read()?;
    let run = preset::find_or_defaults(algorithm.name, env.unwrap_or_default())?;
    let plain = preset::find_or_defaults(algorithm.name, "")?;
    let mut page = Page { types: &types, text: String::new(), values: Vec::new() };
    let of = match env {
        Some(env) if preset::find(algorithm.name, env)?.is_some() => {
            format!(" in {env}, its preset")
        }
        Some(env) => format!(" in {env}, which has no preset: the defaults"),
        None => ", the defaults".to_owned(),
    };
    let _ = writeln!(page.text, "Settings of {}{of}, each as --set takes it.\n", algorithm.name);
    let (values, defaults) = ((algorithm.settings)(&run)?, (algorithm.settings)(&plain)?);
    page.fields(algorithm.config, "", &values, &defaults);
    page.text.push_str("\nSettings of the run\n\n");
    let table = |run| toml::Table::try_from(run).map_err(Error::usage);
    let (mut values, defaults) = (table(&run)?, table(&plain)?);
    ["algorithm", "env", "reference", "agent"].iter().for_each(|name| drop(values.remove(*name)));
    page.fields("RunConfig", "", &values, &defaults);
    page.kinds_of_value();
    Ok(page.text)
}

/// What is printed.
struct Page<'a> {
    types: &'a Types,
    text: String,
    /// Types whose values are explained at the end, once each.
    values: Vec<String>,
}

impl Page<'_> {
    /// The fields of a struct, and of the structs in it.
    fn fields(&mut self, of: &str, prefix: &str, values: &toml::Table, defaults: &toml::Table) {
        let types = self.types;
        let Some(Definition { members: Members::Struct(fields), .. }) = types.0.get(of) else {
            return;
        };
        for field in fields {
            let Some(value) = values.get(&field.name) else { continue };
            let name = format!("{prefix}{}", field.name);
            let inner = types.0.get(&field.of);
            let is_struct = inner.is_some_and(|d| matches!(d.members, Members::Struct(_)));
            let default = defaults.get(&field.name);
            match (is_struct, value.as_table()) {
                (true, Some(table)) => {
                    let _ = writeln!(self.text, "{name}.*");
                    self.paragraph(&field.doc, 4);
                    let none = toml::Table::new();
                    let default = default.and_then(toml::Value::as_table).unwrap_or(&none);
                    self.fields(&field.of, &format!("{name}."), table, default);
                }
                _ => {
                    let unlike = default.filter(|default| *default != value);
                    let unlike = unlike.map(|d| format!("    (default: {})", shown(d)));
                    let _ = writeln!(
                        self.text,
                        "{name} = {}{}",
                        shown(value),
                        unlike.unwrap_or_default()
                    );
                    self.paragraph(&field.doc, 4);
                    if inner.is_some() && !self.values.contains(&field.of) {
                        self.values.push(field.of.clone());
                    }
                }
            }
        }
    }

    /// The types that fields are of, each with what it may be.
    fn kinds_of_value(&mut self) {
        if !self.values.is_empty() {
            self.text.push_str("\nKinds of value\n");
        }
        let mut i = 0;
        while let Some(name) = self.values.get(i).cloned() {
            i += 1;
            let types = self.types;
            let Some(definition) = types.0.get(&name) else { continue };
            let _ = writeln!(self.text, "\n{name}");
            self.paragraph(&definition.doc, 4);
            self.members(&definition.members);
        }
    }

    fn members(&mut self, members: &Members) {
        match members {
            Members::Struct(fields) => {
                for field in fields {
                    let _ = writeln!(self.text, "    {}", field.name);
                    self.paragraph(&field.doc, 8);
                }
            }
            Members::Enum(variants) => variants.iter().for_each(|variant| self.variant(variant)),
        }
    }

    fn variant(&mut self, variant: &Variant) {
        // An untagged variant of another type is what that type may be.
        if let Some(definition) = variant.inline.as_ref().and_then(|of| self.types.0.get(of)) {
            return self.members(&definition.members);
        }
        let _ = writeln!(self.text, "    {}", variant.written);
        self.paragraph(&variant.doc, 8);
        for field in &variant.fields {
            let line = format!("{}: {}", field.name, field.doc);
            self.paragraph(&line, 12);
        }
    }

    /// Text in lines of the terminal's width.
    fn paragraph(&mut self, text: &str, indent: usize) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH
            {
                let _ = writeln!(self.text, "{:indent$}{line}", "");
                line.clear();
            }
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }
}

/// A value as one writes it: its kind first, small numbers in powers of ten.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(number) => format!("{number:?}"),
        toml::Value::Array(values) => {
            format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        toml::Value::Table(table) => {
            let (first, rest): (Vec<_>, Vec<_>) = table.iter().partition(|(key, _)| *key == "kind");
            let pairs =
                first.iter().chain(&rest).map(|(key, value)| format!("{key} = {}", shown(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

/// The types of settings by name.
struct Types(BTreeMap<String, Definition>);

struct Definition {
    doc: String,
    members: Members,
}

enum Members {
    Struct(Vec<Field>),
    Enum(Vec<Variant>),
}

struct Field {
    name: String,
    doc: String,
    /// The type's name, without what it is wrapped in.
    of: String,
}

struct Variant {
    /// As a file has it.
    written: String,
    doc: String,
    fields: Vec<Field>,
    /// The type that an untagged variant stands for.
    inline: Option<String>,
}

impl Types {
    fn read() -> Result<Self> {
        let mut types = BTreeMap::new();
        for source in SOURCES {
            for item in syn::parse_file(source).map_err(Error::usage)?.items {
                match item {
                    Item::Struct(item) => {
                        let members = Members::Struct(fields_of(&item.fields));
                        let doc = doc_of(&item.attrs);
                        types.insert(item.ident.to_string(), Definition { doc, members });
                    }
                    Item::Enum(item) => {
                        let variants = item.variants.iter().map(|v| variant(v, &item.attrs));
                        let members = Members::Enum(variants.collect());
                        let doc = doc_of(&item.attrs);
                        types.insert(item.ident.to_string(), Definition { doc, members });
                    }
                    _ => {}
                }
            }
        }
        Ok(Types(types))
    }
}

fn fields_of(fields: &Fields) -> Vec<Field> {
    let field = |field: &syn::Field| Field {
        name: field.ident.as_ref().map(ToString::to_string).unwrap_or_default(),
        doc: doc_of(&field.attrs),
        of: name_of(&field.ty),
    };
    fields.iter().map(field).collect()
}

/// How serde writes a variant of an enum with these attributes.
fn variant(variant: &syn::Variant, of: &[Attribute]) -> Variant {
    let name = renamed(&variant.ident.to_string(), serde(of, "rename_all").as_deref());
    let fields = fields_of(&variant.fields);
    let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    let untagged = serde(of, "untagged").is_some();
    let inline = fields.first().map(|field| field.of.clone()).filter(|_| untagged);
    let written = match (serde(of, "tag"), &variant.fields) {
        (Some(tag), _) => {
            let fields: String = names.iter().map(|name| format!(", {name} = ...")).collect();
            format!("{{ {tag} = \"{name}\"{fields} }}")
        }
        (None, Fields::Unit) => format!("\"{name}\""),
        (None, Fields::Unnamed(_)) if untagged => "a number".to_owned(),
        (None, Fields::Unnamed(_)) => format!("{{ {name} = ... }}"),
        (None, Fields::Named(_)) => {
            format!("{{ {name} = {{ {} = ... }} }}", names.join(" = ..., "))
        }
    };
    let fields = if matches!(variant.fields, Fields::Named(_)) { fields } else { Vec::new() };
    Variant { written, doc: doc_of(&variant.attrs), fields, inline }
}

/// The argument of an attribute of serde; empty where it has none.
fn serde(attributes: &[Attribute], name: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // What is after the name looked for need not be understood.
        let _ = attribute.parse_nested_meta(|meta| {
            let value = match meta.value() {
                Ok(value) => value.parse::<syn::LitStr>()?.value(),
                Err(_) => String::new(),
            };
            if meta.path.is_ident(name) {
                found = Some(value);
            }
            Ok(())
        });
    }
    found
}

fn renamed(name: &str, rule: Option<&str>) -> String {
    let underscore = if rule == Some("snake_case") { "_" } else { "" };
    let mut renamed = String::new();
    for (i, letter) in name.char_indices() {
        if letter.is_uppercase() && i > 0 {
            renamed.push_str(underscore);
        }
        renamed.extend(letter.to_lowercase());
    }
    renamed
}

/// The name of a type, of what is in it where it is an `Option` or a list.
fn name_of(of: &Type) -> String {
    let Type::Path(path) = of else { return String::new() };
    let Some(last) = path.path.segments.last() else { return String::new() };
    match &last.arguments {
        syn::PathArguments::AngleBracketed(inner) => match inner.args.first() {
            Some(syn::GenericArgument::Type(inner)) => name_of(inner),
            _ => String::new(),
        },
        _ => last.ident.to_string(),
    }
}

/// The documentation up to its first example, without links.
fn doc_of(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(expr) => match &expr.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let text: Vec<String> =
        lines.take_while(|line| !line.trim_start().starts_with("```")).collect();
    without_links(&text.join(" "))
}

/// `[`Dqn`](crate::Dqn)` as `Dqn`.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        plain.push_str(before);
        let (name, after) = link.split_once("`]").unwrap_or((link, ""));
        plain.push_str(name);
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::ALGORITHMS;

    /// Fails where a setting, or one in it, is not told.
    fn check(page: &str, prefix: &str, table: &toml::Table) {
        for (key, value) in table {
            let name = format!("{prefix}{key}");
            let is_it = |line: &&str| {
                let rest = line.strip_prefix(&*name).unwrap_or_default();
                rest.starts_with(" = ") || rest == ".*"
            };
            let mut lines = page.lines().skip_while(|line| !is_it(line));
            let (setting, meaning) = (lines.next(), lines.next().unwrap_or_default());
            assert!(setting.is_some(), "{name} in\n{page}");
            assert!(meaning.starts_with("    ") && meaning.len() > 8, "{name}: {meaning}");
            if let (Some(true), Some(inner)) =
                (setting.map(|s| s.ends_with(".*")), value.as_table())
            {
                check(page, &format!("{name}."), inner);
            }
        }
    }

    #[test]
    fn every_setting_of_every_algorithm_is_there_with_what_it_means() {
        for algorithm in ALGORITHMS {
            let run = preset::find_or_defaults(algorithm.name, "").unwrap();
            let page = text(algorithm, None).unwrap();
            check(&page, "", &(algorithm.settings)(&run).unwrap());
            assert!(page.contains("\ncheckpoint_every = "), "{page}");
        }
    }

    #[test]
    fn presets_and_kinds_of_value_are_told() {
        let dqn = algorithm::find("dqn").unwrap();
        let page = text(dqn, Some("CartPole-v1")).unwrap();
        for part in [
            "\nlearning_rate = { kind = \"linear\", from = 0.002, over = 1.0, to = 1e-5 }    (default: 0.0001)\n    The step size; 1e-4.\n",
            "\nnetwork.hidden = [",
            "\nevaluate_every = ",
            "\nSchedule\n",
            "    a number\n        A constant value.\n",
            "    { kind = \"linear\", from = ..., to = ..., over = ... }\n",
            "    { orthogonal = { gain = ... } }\n",
            "    \"kaiming_uniform\"\n",
            "    \"relu\"\n",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("[`") && page.lines().all(|line| line.chars().count() < 160));
        let sac = text(algorithm::find("sac").unwrap(), None).unwrap();
        assert!(sac.contains("    { auto = ... }\n"), "{sac}");
    }
}
