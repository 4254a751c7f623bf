//! What to run, and how.

use rl_core::{Error, Result};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The program of a worker, which reads it from its standard input: as an argument it would fill every list of processes.
pub(super) const PROGRAM: &str = include_str!("worker.py");

/// Which environment to make, and how its workers run. [`GymConfig::parse`] reads a name, the fields are public.
///
/// ```
/// use rl_envs::GymConfig;
/// let config = GymConfig::parse("FrozenLake-v1?is_slippery=false&map_name=8x8")?;
/// assert_eq!((&*config.id, config.kwargs["is_slippery"].as_bool()), ("FrozenLake-v1", Some(false)));
/// let mine = GymConfig { action_mask: true, ..GymConfig::parse("my_module:MyEnv")? };
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GymConfig {
    /// A registered id, such as `LunarLander-v3` or `ALE/Pong-v5` (which needs the package `ale-py`), or `module:Name`:
    /// a name that the module registers, else an attribute of the module, a class as a rule, that makes the environment.
    /// Modules are found in the current directory and on Python's path.
    pub id: String,
    /// Keyword arguments of `gymnasium.make` or of the class; none.
    pub kwargs: Map<String, Value>,
    /// The Python interpreter; `python3`. It needs the package `gymnasium`.
    pub python: PathBuf,
    /// How long a reply may take, a worker's start included, before the worker is killed and the step is an error; 60
    /// seconds. An action that is repeated ([`rl_core::Env::repeat`]) has this time for each of its steps.
    pub timeout: Duration,
    /// Whether `info["action_mask"]`, one number for each action, follows the observation, where policies with action
    /// masks read it ([`rl_core::AppendMask`]); false. Numbered states are then shown one-hot.
    pub action_mask: bool,
    /// Whether numbered states are shown one-hot; false. They always are where actions are continuous.
    pub one_hot: bool,
    /// Whether the environment can be drawn ([`rl_core::Render`] of [`GymEnv`](crate::GymEnv)), by
    /// `render_mode="rgb_array"`; false.
    pub render: bool,
    /// Steps after which an episode is truncated where the environment's registration sets no limit; none.
    pub limit: Option<u32>,
}

impl GymConfig {
    /// The environment `id`, by default settings.
    pub fn new(id: impl Into<String>) -> Self {
        GymConfig {
            id: id.into(),
            kwargs: Map::new(),
            python: PathBuf::from("python3"),
            timeout: Duration::from_secs(60),
            action_mask: false,
            one_hot: false,
            render: false,
            limit: None,
        }
    }

    /// Reads `ID` or `ID?key=value&key=value`: an id with keyword arguments. Values are JSON; `True`, `False` and `None`
    /// are read as in Python, and anything else is a string.
    ///
    /// # Errors
    /// [`Error::Config`] for an empty id, or an argument that is not `key=value`.
    pub fn parse(name: &str) -> Result<Self> {
        let (id, query) = name.split_once('?').unwrap_or((name, ""));
        if id.is_empty() {
            return Err(Error::config("environment", "an id, as in CartPole-v1", "none"));
        }
        let mut config = GymConfig::new(id);
        for argument in query.split('&').filter(|argument| !argument.is_empty()) {
            match argument.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    config.kwargs.insert(key.to_owned(), argument_value(value));
                }
                _ => {
                    let what = format!("argument of {id}");
                    return Err(Error::config(what, "key=value", format_args!("'{argument}'")));
                }
            }
        }
        Ok(config)
    }

    /// The command that starts a worker, to which [`PROGRAM`] is written first.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        let length = PROGRAM.len();
        // Without a buffer, which would take what follows the program.
        let read = format!(
            "import os\nprogram = b''\nwhile len(program) < {length}:\n    \
             program += os.read(0, {length} - len(program)) or exit(1)\n\
             exec(compile(program, '<rl-envs worker>', 'exec'))"
        );
        command.arg("-u").arg("-c").arg(read);
        command
    }

    /// The first message to a worker.
    pub(super) fn order(&self, envs: usize, first: usize, auto_reset: bool) -> Vec<u8> {
        let order = serde_json::json!({
            "id": self.id,
            "kwargs": self.kwargs,
            "envs": envs,
            "first": first,
            "auto_reset": auto_reset,
            "action_mask": self.action_mask,
            "one_hot": self.one_hot,
            "render": self.render,
            "limit": self.limit,
        });
        order.to_string().into_bytes()
    }
}

fn argument_value(text: &str) -> Value {
    match text {
        "True" => Value::Bool(true),
        "False" => Value::Bool(false),
        "None" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_have_arguments() {
        let parse = |name| GymConfig::parse(name).unwrap();
        assert_eq!(parse("CartPole-v1"), GymConfig::new("CartPole-v1"));
        let config = parse("a.b:C?x=1&y=2.5&z=8x8&on=false&off=True&none=None&list=[1,2]&s=\"3\"");
        assert_eq!(config.id, "a.b:C");
        let expected = json!({
            "x": 1, "y": 2.5, "z": "8x8", "on": false, "off": true, "none": null, "list": [1, 2], "s": "3"
        });
        assert_eq!(Value::Object(config.kwargs), expected);
        assert_eq!(parse("A-v0?").kwargs.len(), 0);
        let error = |name| GymConfig::parse(name).unwrap_err().to_string();
        assert_eq!(error("A?b"), "argument of A: expected key=value, got 'b'");
        assert_eq!(error("?b=1"), "environment: expected an id, as in CartPole-v1, got none");
    }
}
