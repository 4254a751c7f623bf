"""Acts with a policy that this library trained, in PyTorch, from what its folder says: no settings, no presets.

    python policy.py RUN ENV [--episodes N] [--seed S]

RUN is the folder of a run, or of one of its checkpoints; ENV an environment of Gymnasium, or module:Class, as `train` takes it, without
preprocessing: Atari games are none of these. Prints the mean return of the
greedy policy and its standard error as one line of JSON. Needs torch, safetensors, gymnasium and numpy.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

ACTIVATIONS = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
}


# Steps of an episode where the environment sets no limit.
LIMIT = 10_000


class Fork(nn.Module):
    """Heads side by side, their outputs one after another."""

    def __init__(self, heads):
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x):
        return torch.cat([head(x) for head in self.heads], dim=1)


class AppendLogStd(nn.Module):
    """Appends standard deviations that do not depend on the state."""

    def __init__(self, log_std):
        super().__init__()
        self.log_std = log_std

    def forward(self, x):
        return torch.cat([x, self.log_std.expand(len(x), -1)], dim=1)


class ClampLogStd(nn.Module):
    """Clips the last numbers of each row."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, x):
        return torch.cat([x[:, : -self.count], x[:, -self.count :].clamp(-20, 2)], dim=1)


class Dueling(nn.Module):
    """A value and advantages to action values."""

    def __init__(self, actions, atoms):
        super().__init__()
        self.shape = (1 + actions, atoms)

    def forward(self, x):
        x = x.view(-1, *self.shape)
        value, advantages = x[:, :1], x[:, 1:]
        return (value + advantages - advantages.mean(1, keepdim=True)).flatten(1)


class Masked(nn.Module):
    """The last numbers of an input say which actions are allowed."""

    def __init__(self, inner, choices):
        super().__init__()
        self.inner, self.choices = inner, choices

    def forward(self, x):
        allowed = x[:, -self.choices :] != 0
        y = self.inner(x[:, : -self.choices])
        return torch.cat([y[:, : self.choices].masked_fill(~allowed, -1e8), y[:, self.choices :]], dim=1)


class Leading(nn.Module):
    """The first numbers of each row."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return x[:, : self.outputs]


def build(module, parameters):
    """The module of a description; `parameters` gives its tensors in order."""
    kind = module["kind"]
    if kind == "chain":
        return nn.Sequential(*[build(inner, parameters) for inner in module["modules"]])
    if kind == "fork":
        return Fork([build(head, parameters) for head in module["heads"]])
    if kind in ("linear", "noisy_linear"):
        layer = nn.Linear(module["inputs"], module["outputs"])
        layers = [layer]
        layer.weight.data, layer.bias.data = next(parameters), next(parameters)
        if kind == "noisy_linear":
            next(parameters), next(parameters)  # The sizes of the noise, which is off.
        elif module["layer_norm"]:
            norm = nn.LayerNorm(module["outputs"])
            norm.weight.data, norm.bias.data = next(parameters), next(parameters)
            layers.append(norm)
        return nn.Sequential(*layers, ACTIVATIONS[module["activation"]]())
    if kind == "conv2d":
        channels = module["input"][0]
        settings = {"stride": module["stride"], "padding": module["padding"]}
        conv = nn.Conv2d(channels, module["channels"], module["kernel"], **settings)
        conv.weight.data, conv.bias.data = next(parameters), next(parameters)
        image = nn.Unflatten(1, tuple(module["input"]))
        return nn.Sequential(image, conv, ACTIVATIONS[module["activation"]](), nn.Flatten())
    if kind == "free_log_std":
        return AppendLogStd(next(parameters))
    if kind == "clamp_log_std":
        return ClampLogStd(module["count"])
    if kind == "dueling":
        return Dueling(module["actions"], module["atoms"])
    if kind == "masked":
        return Masked(build(module["inner"], parameters), module["choices"])
    if kind == "leading":
        return Leading(module["outputs"])
    raise ValueError(f"unknown module '{kind}'")


class Normalizer:
    """Brings observations to mean 0 and standard deviation 1."""

    def __init__(self, state):
        mean, variance = np.array(state["mean"]), np.array(state["variance"])
        scale = 1 / np.sqrt(variance + state["epsilon"])
        clip = np.full(len(mean), state["clip"])
        if state["kept"]:
            mean[-state["kept"] :], scale[-state["kept"] :], clip[-state["kept"] :] = 0, 1, np.inf
        self.mean, self.scale, self.clip = mean, scale, clip

    def __call__(self, x):
        return np.clip((x - self.mean) * self.scale, -self.clip, self.clip)


class Policy:
    """A policy from a folder."""

    def __init__(self, folder):
        folder = newest(Path(folder))
        if not (folder / "policy.json").exists():
            sys.exit(f"{folder}: its policy is not described (no policy.json), as a table's is not")
        self.description = json.loads((folder / "policy.json").read_text())
        tensors = load_file(folder / "policy.safetensors")
        parameters = iter([tensors[name] for name in self.description["parameters"]])
        self.network = build(self.description["network"], parameters).eval()
        assert next(parameters, None) is None, "a parameter is left"
        states = [self.description.get("normalizer")]
        if (folder / "normalizer.json").exists():
            states.insert(0, json.loads((folder / "normalizer.json").read_text()))
        self.normalizers = [Normalizer(state) for state in states if state]

    def act(self, observation):
        """The greedy action."""
        x = np.asarray(observation, dtype=np.float64).reshape(1, -1)
        byte_range = self.description["observation"].get("byte_range")
        if byte_range:
            x = x / byte_range
        seen = x
        for normalizer in self.normalizers:
            seen = normalizer(seen)
        with torch.no_grad():
            row = self.network(torch.as_tensor(seen, dtype=torch.float32))[0]
        output = self.description["output"]
        kind = output["kind"]
        if kind in ("gaussian", "mean", "squashed_gaussian", "deterministic"):
            low, high = (self.bounds(output["bounds"][side], side) for side in ("low", "high"))
            action = row[: len(low)].numpy()
            if kind in ("gaussian", "mean"):
                return np.clip(action, low, high)
            unit = np.tanh(action) if kind == "squashed_gaussian" else action
            return low + 0.5 * (unit + 1) * (high - low)
        actions = output["actions"]
        if kind == "categorical_values":
            support = output["support"]
            returns = torch.linspace(support["v_min"], support["v_max"], support["atoms"])
            row = (row.view(actions, -1).softmax(1) * returns).sum(1)
        elif kind == "quantile_values":
            row = row.view(actions, -1).mean(1)
        row = row[:actions].clone()
        if output.get("action_mask"):
            row[torch.as_tensor(x[0, -actions:]) == 0] = -torch.inf
        return int(row.argmax())

    @staticmethod
    def bounds(values, side):
        missing = -np.inf if side == "low" else np.inf
        return np.array([missing if x is None else x for x in values], dtype=np.float32)


def newest(folder):
    """The newest checkpoint of a run, of a folder of checkpoints, or the checkpoint itself."""
    if (folder / "manifest.json").exists():
        return folder
    checkpoints = folder / "checkpoints"
    root = checkpoints if checkpoints.is_dir() else folder
    found = [path for path in root.glob("step-*") if (path / "manifest.json").exists()]
    if not found:
        sys.exit(f"{folder}: expected the folder of a run or of a checkpoint, with a manifest.json, found none")
    return max(found)


def make(name):
    """An environment of Gymnasium, or of a class in a module of this folder or on Python's path: as `train` takes its name."""
    name, _, query = name.removeprefix("gym:").partition("?")
    arguments = {}
    for argument in filter(None, query.split("&")):
        key, equals, value = argument.partition("=")
        if not equals:
            sys.exit(f"argument of {name}: expected key=value, got '{argument}'")
        try:
            arguments[key] = json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
        except json.JSONDecodeError:
            arguments[key] = value
    module, colon, attribute = name.partition(":")
    if colon:
        sys.path.insert(0, "")
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except (ModuleNotFoundError, TypeError) as error:
            sys.exit(f"{name}: {error}")
        if found is not None:
            return limited(found(**arguments))
        name = attribute
    return limited(gymnasium.make(name, **arguments))


def limited(env):
    """Truncates episodes that have no limit of their own, as `eval` does."""
    if env.spec is None or env.spec.max_episode_steps is None:
        env = gymnasium.wrappers.TimeLimit(env, LIMIT)
    return env


def masks(description):
    """Whether an action mask follows the observation: the policy reads it, or a part of its network."""
    if isinstance(description, list):
        return any(map(masks, description))
    if not isinstance(description, dict):
        return False
    return description.get("kind") == "masked" or any(map(masks, description.values()))


class Translator:
    """What the agent saw of an environment, and what its actions mean there, as the worker processes have it."""

    def __init__(self, env, policy):
        self.observations, self.actions = env.observation_space, env.action_space
        self.masked = bool(policy.description["output"].get("action_mask")) or masks(policy.description["network"])

    def observation(self, observation, info):
        spaces, space = gymnasium.spaces, self.observations
        if isinstance(space, spaces.Box):
            # Images with their channels last.
            last = len(space.shape) == 3 and space.shape[2] < space.shape[0]
            row = np.transpose(observation, (2, 0, 1)) if last else np.asarray(observation)
        else:
            row = spaces.utils.flatten(space, observation)
        row = np.asarray(row, dtype=np.float64).ravel()
        return np.concatenate([row, info["action_mask"]]) if self.masked else row

    def action(self, action):
        if isinstance(self.actions, gymnasium.spaces.Box):
            return action.astype(self.actions.dtype).reshape(self.actions.shape)
        return action + int(self.actions.start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("env")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    policy, env, returns = Policy(args.run), make(args.env), []
    translator = Translator(env, policy)
    expected, got = policy.description["observation"]["width"], len(translator.observation(*env.reset(seed=args.seed)))
    if expected != got:
        sys.exit(f"{args.env}: its observations have {got} numbers, the policy takes {expected}")
    for episode in range(args.episodes):
        observation, info = env.reset(seed=args.seed + episode)
        total, over = 0.0, False
        while not over:
            action = translator.action(policy.act(translator.observation(observation, info)))
            observation, reward, terminated, truncated, info = env.step(action)
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    error = float(np.std(returns) / np.sqrt(len(returns)))
    print(json.dumps({"mean_return": float(np.mean(returns)), "standard_error": error}))


if __name__ == "__main__":
    main()
