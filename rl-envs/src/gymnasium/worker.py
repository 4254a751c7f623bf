"""Steps Gymnasium environments for the Rust process that started this one.

Commands come over stdin, replies go over stdout, one for each command. A frame is a header (magic, version, kind, length
of the payload) and the payload, in the machine's byte order; `protocol.rs` is the other end and describes the payloads.
"""

import importlib
import json
import math
import os
import signal
import struct
import sys
import threading
import traceback

MAGIC, VERSION = 0x7247, 1
HEADER = struct.Struct("=HBBI")
START, STEP, RESET, RENDER, REPEAT, ERROR = 1, 2, 3, 4, 5, 255
# Lines of an error, calls of each exception among them, and its characters.
LINES, CALLS, CHARACTERS = 20, 6, 20_000
# In the names of the files of Python's own that import modules.
IMPORTING = f"{os.sep}importlib{os.sep}"
# Seconds for a step to end once the parent is gone.
GRACE = 5
# Numbers that are taken from the last info of an episode.
SCALARS = 100
# Stands for no seed, in a reset of other environments.
NO_SEED = 2**64 - 1
# Stands for infinity in JSON; as a 32-bit float it is one.
HUGE = 1e300


class Problem(Exception):
    """An error whose message says all there is to say."""


def take_pipes():
    """Keeps the two pipes to itself: what an environment prints goes to stderr, and it reads nothing."""
    commands, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return commands, replies


def leave_with_parent(commands):
    """Ends this process when the parent is gone, even in the midst of a step."""
    import select
    import time

    if not hasattr(select, "poll"):
        return

    def watch():
        poll = select.poll()
        poll.register(commands, 0)
        poll.poll()
        time.sleep(GRACE)
        # With all that the environments have started, where this process leads their group.
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def describe(error):
    """An exception in a line, and below it the calls that it came through, from where it was raised outwards, without this
    program's and those of importing; then, likewise, the exception that it came after."""
    if isinstance(error, Problem):
        return str(error)
    lines, seen, after = [], set(), ""
    while error is not None and id(error) not in seen and len(lines) < LINES:
        seen.add(id(error))
        lines.append(after + titled(error))
        if isinstance(error, SyntaxError):
            lines.append(f"at {error.filename}:{error.lineno}: {(error.text or '').strip()}")
        members = getattr(error, "exceptions", ())
        lines += [f"of {titled(member)}" for member in members[:CALLS]] if type(members) is tuple else []
        calls = reversed(traceback.extract_tb(error.__traceback__))
        own = [call for call in calls if not call.filename.startswith("<") and IMPORTING not in call.filename]
        lines += [f"at {call.filename}:{call.lineno} in {call.name}: {call.line}" for call in own[:CALLS]]
        cause, after = error.__cause__, "after "
        error = cause if cause is not None or error.__suppress_context__ else error.__context__
    return "\n".join(lines[:LINES])


def titled(error):
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__}, whose message cannot be shown"


def encoded(error):
    return describe(error)[:CHARACTERS].encode(errors="backslashreplace")


def short(value):
    text = repr(value) if not hasattr(value, "sample") else str(value)
    return text if len(text) <= 200 else text[:200] + "..."


def make(config):
    """One environment: a registered one, or a class of a module."""
    gym, name, kwargs = config["gym"], config["id"], dict(config["kwargs"])
    if config["render"]:
        kwargs.setdefault("render_mode", "rgb_array")
    if name.startswith("ALE/"):
        try:
            import ale_py
        except ImportError:
            raise Problem(f"{name} needs the Python package ale-py: pip install ale-py (for {sys.executable})")
        gym.register_envs(ale_py)
    module, colon, attribute = name.partition(":")
    if colon:
        if "/" in module or "\\" in module or not all(module.split(".")):
            raise Problem(f"expected the name of a module, as in my_module:MyEnv, got '{module}'")
        try:
            module = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is not None and (module + ".").startswith(error.name + "."):
                raise Problem(f"there is no Python module '{error.name}' in {os.getcwd()} or on Python's path")
            raise
        name = attribute
    found = None
    try:
        gym.spec(name)
    except gym.error.Error as error:
        found = getattr(module, attribute, None) if colon else None
        if found is None:
            where = f"module '{config['id'].partition(':')[0]}' has nothing of this name, and: " if colon else ""
            own = "" if colon or "/" in name else " One's own class is my_module:MyEnv."
            raise Problem(f"{where}{error}{own}")
    if found is not None:
        env = found(**kwargs)
        if not isinstance(env, gym.Env):
            raise Problem(f"expected a gymnasium.Env, {config['id']} made {short(env)}")
    else:
        kwargs.setdefault("disable_env_checker", True)
        try:
            env = gym.make(name, **kwargs)
        except gym.error.Error as error:
            raise Problem(str(error))
    if config["limit"] is not None and (env.spec is None or env.spec.max_episode_steps is None):
        env = gym.wrappers.TimeLimit(env, config["limit"])
    return env


def begun(result):
    """What a reset returns."""
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result
    raise Problem(f"reset: expected to return (observation, info), got {short(result)}")


def stepped(result):
    """What a step returns."""
    if isinstance(result, (tuple, list)) and len(result) == 5:
        return result
    raise Problem(f"step: expected to return (observation, reward, terminated, truncated, info), got {short(result)}")


def numbers(array):
    import numpy as np

    return np.clip(np.asarray(array, dtype=np.float64), -HUGE, HUGE).ravel().tolist()


class Rows:
    """How observations of a space are written into rows of `width` elements of `dtype`."""

    def __init__(self, gym, space, one_hot):
        import numpy as np

        spaces = gym.spaces
        self.space, self.np, self.mask = space, np, 0
        self.box, self.transposed = isinstance(space, spaces.Box), False
        if isinstance(space, spaces.Discrete) and space.n >= 2**32:
            raise Problem(f"observations: expected fewer than 2**32 states, got {short(space)}")
        if isinstance(space, spaces.Discrete) and not one_hot:
            self.dtype, self.shape = np.uint32, [1]
            self.spec = {"kind": "discrete", "n": int(space.n)}
            self.put = self.put_number
        elif isinstance(space, spaces.Discrete):
            self.dtype, self.shape = np.float32, [int(space.n)]
            self.describe_box([0.0] * int(space.n), [1.0] * int(space.n))
            self.put = self.put_one_hot
        elif self.box:
            shape = list(space.shape)
            bytes_ = space.dtype == np.uint8
            # Channels come first in a convolution; with Gymnasium images have them last.
            self.transposed = len(shape) == 3 and shape[2] < shape[0]
            first = (lambda a: np.transpose(a, (2, 0, 1))) if self.transposed else (lambda a: a)
            self.shape = list(first(np.broadcast_to(0, shape)).shape) or [1]
            if bytes_ and len(shape) == 2:
                self.shape = [1, *shape]
            self.dtype = np.uint8 if bytes_ else np.float32
            if bytes_:
                self.spec = {"kind": "bytes", "shape": self.shape, "high": int(space.high.max(initial=0))}
            else:
                self.describe_box(numbers(first(space.low)), numbers(first(space.high)))
            self.expected = tuple(shape)
            self.put = self.put_bytes if bytes_ else self.put_array
        else:
            check_nest(gym, space)
            flat = spaces.utils.flatten_space(space)
            self.dtype, self.shape = np.float32, [int(flat.shape[0])]
            self.describe_box(numbers(flat.low), numbers(flat.high))
            self.flatten = spaces.utils.flatten
            self.put = self.put_flat
        self.width = math.prod(self.shape)
        if self.width == 0:
            raise Problem(f"observations without a single number: {short(space)}")

    def describe_box(self, low, high):
        self.spec = {"kind": "box", "shape": self.shape, "low": low, "high": high}

    def append_mask(self, choices, info):
        """Has each observation followed by the action mask."""
        if self.dtype != self.np.float32:
            raise Problem(f"action_mask: expected observations that a mask can follow, got {short(self.space)}")
        shape = self.np.shape(info.get("action_mask"))
        if shape != (choices,):
            got = f"one of shape {shape}" if "action_mask" in info else "none"
            raise Problem(f"action_mask: expected info['action_mask'] with {choices} numbers after a reset, got {got}")
        low, high = self.spec["low"] + [0.0] * choices, self.spec["high"] + [1.0] * choices
        self.mask, self.inner, self.shape, self.put_inner = choices, self.width, [self.width + choices], self.put
        self.describe_box(low, high)
        self.width += choices
        self.put = self.put_masked

    def view(self, flat):
        """A row as `put` takes it."""
        if self.mask:
            inner, mask = flat[: self.inner], flat[self.inner :]
            return self.shaped(inner), mask
        return self.shaped(flat)

    def shaped(self, flat):
        if self.transposed:
            height, width, channels = self.expected
            return flat.reshape(channels, height, width).transpose(1, 2, 0)
        return flat.reshape(self.expected) if self.box else flat

    def put_array(self, row, obs, _info):
        if type(obs) is not self.np.ndarray:
            obs = self.np.asarray(obs)
        if obs.shape != self.expected or obs.dtype.kind not in "fiub":
            self.refuse(obs)
        row[...] = obs

    def put_bytes(self, row, obs, _info):
        if type(obs) is not self.np.ndarray:
            obs = self.np.asarray(obs)
        if obs.shape != self.expected or obs.dtype.kind not in "ub" or obs.dtype.itemsize != 1:
            self.refuse(obs)
        row[...] = obs

    def refuse(self, obs):
        raise Problem(f"observation: expected {short(self.space)}, got {obs.dtype} of shape {obs.shape}")

    def index(self, obs):
        try:
            index = int(obs) - int(self.space.start)
        except (TypeError, ValueError):
            index = -1
        if not 0 <= index < self.space.n:
            raise Problem(f"observation: expected one of {short(self.space)}, got {short(obs)}")
        return index

    def put_number(self, row, obs, _info):
        row[0] = self.index(obs)

    def put_one_hot(self, row, obs, _info):
        row[:] = 0
        row[self.index(obs)] = 1

    def put_flat(self, row, obs, _info):
        try:
            flat = self.flatten(self.space, obs)
        except Exception as error:
            raise Problem(f"observation: expected {short(self.space)}, got {short(obs)}: {error!r}")
        if flat.shape != row.shape:
            raise Problem(f"observation: expected {short(self.space)}, got {flat.size} numbers for {row.size}")
        row[...] = flat

    def put_masked(self, row, obs, info):
        inner, mask = row
        self.put_inner(inner, obs, info)
        given = self.np.asarray(info.get("action_mask"))
        if given.shape != mask.shape:
            raise Problem(f"info['action_mask']: expected {mask.size} numbers, got {short(info.get('action_mask'))}")
        mask[...] = given


def check_nest(gym, space):
    """Refuses what cannot be flattened to numbers."""
    spaces = gym.spaces
    if isinstance(space, spaces.Dict):
        inner = space.spaces.values()
    elif isinstance(space, spaces.Tuple):
        inner = space.spaces
    elif isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)):
        return
    else:
        raise Problem(
            "observations: expected Box, Discrete, MultiBinary, MultiDiscrete, or a Dict or Tuple of these, "
            f"got {short(space)}"
        )
    for each in inner:
        check_nest(gym, each)


def actions_of(gym, space):
    """What is said of the actions, their element, how many, and how to read one from a view of its elements."""
    import numpy as np

    if isinstance(space, gym.spaces.Discrete):
        if space.n >= 2**32:
            raise Problem(f"actions: expected fewer than 2**32, got {short(space)}")
        start = int(space.start)
        read = (lambda view: view[0]) if start == 0 else (lambda view: view[0] + start)
        return {"kind": "discrete", "n": int(space.n)}, np.uint32, 1, (1,), read
    if isinstance(space, gym.spaces.Box) and space.dtype.kind == "f":
        low, high, dtype = numbers(space.low), numbers(space.high), space.dtype
        spec = {"kind": "box", "shape": list(space.shape) or [1], "low": low, "high": high}
        # A copy, since an environment may keep it.
        read = (lambda view: view.copy()) if dtype == np.float32 else (lambda view: view.astype(dtype))
        return spec, np.float32, len(low), space.shape, read
    raise Problem(f"actions: expected Discrete, or a Box of floating-point numbers, got {short(space)}")


class Worker:
    def __init__(self, commands, replies):
        self.commands, self.replies = commands, replies
        self.envs, self.first = [], 0

    def start(self, config):
        try:
            import gymnasium as gym
            import numpy as np
        except ModuleNotFoundError as error:
            if error.name not in ("gymnasium", "numpy"):
                raise
            raise Problem(f"{sys.executable} has no Python package '{error.name}': pip install gymnasium")
        folder = os.getcwd()
        if "" not in sys.path and folder not in sys.path:
            sys.path.insert(0, folder)
        config["gym"] = gym
        n, self.first, self.auto_reset = config["envs"], config["first"], config["auto_reset"]
        self.np = np
        for _ in range(n):
            self.envs.append(make(config))
        env = self.envs[0]
        spec, dtype, width, shape, self.read_action = actions_of(gym, env.action_space)
        one_hot = config["one_hot"] or config["action_mask"] or spec["kind"] == "box"
        rows = Rows(gym, env.observation_space, one_hot)
        frame = None
        if config["action_mask"] or config["render"]:
            _, info = begun(env.reset(seed=0))
            if config["action_mask"]:
                if spec["kind"] != "discrete":
                    raise Problem(f"action_mask: expected Discrete actions, got {short(env.action_space)}")
                rows.append_mask(spec["n"], info)
            if config["render"]:
                frame = list(self.picture(env).shape[:2])
        self.rows, self.put = rows, rows.put
        self.lay_out(n, rows, np.dtype(dtype), width, shape)
        meanings = getattr(env.unwrapped, "get_action_meanings", None)
        limit = None if env.spec is None else env.spec.max_episode_steps
        return {
            "observation": rows.spec,
            "action": spec,
            "max_episode_steps": limit,
            "meanings": [str(m) for m in meanings()] if callable(meanings) else None,
            "frame": frame,
        }

    def lay_out(self, n, rows, action, width, shape):
        """The buffers of commands and replies, and the views into them that a step reads and writes."""
        np = self.np
        size = rows.width * np.dtype(rows.dtype).itemsize
        self.command = bytearray(HEADER.size + n * 8 + n * width * action.itemsize)
        at = HEADER.size
        self.seeds = memoryview(self.command)[at : at + 8 * n].cast("Q")
        taken = np.frombuffer(self.command, action, n * width, at + 8 * n).reshape(n, width)
        self.taken = [row.reshape(shape) for row in taken]
        if action == np.uint32:
            # Whose elements are Python's own integers.
            self.taken = [memoryview(row) for row in self.taken]
        # Header, length of the tail, rewards, lives, ends, padding to 8 bytes, observations; then final observations, or
        # those before the last of a repeated step.
        at = HEADER.size + 8
        reply_at = [at, at + 8 * n, at + 12 * n, (at + 13 * n + 7) // 8 * 8]
        fixed = reply_at[3] + n * size
        self.reply = bytearray(fixed + n * size)
        view = memoryview(self.reply)
        self.tail = view[HEADER.size : at].cast("Q")
        self.rewards = view[reply_at[0] : reply_at[1]].cast("d")
        self.lives = view[reply_at[1] : reply_at[2]].cast("I")
        self.ends = view[reply_at[2] : reply_at[2] + n]
        count = (len(self.reply) - reply_at[3]) // size
        flat = np.frombuffer(self.reply, rows.dtype, count * rows.width, reply_at[3])
        views = [rows.view(row) for row in flat.reshape(count, rows.width)]
        self.shown, self.finals = views[:n], views[n:]
        self.fixed, self.row = fixed, size
        self.plain = view[:fixed]
        self.last_kind = None

    def step(self):
        """Takes the actions of the command. An ended episode's final observation follows the rows of the reply."""
        ended, tail, auto_reset = 0, [], self.auto_reset
        put, read, rewards, ends, lives = self.put, self.read_action, self.rewards, self.ends, self.lives
        i = 0
        try:
            for i, env in enumerate(self.envs):
                obs, reward, terminated, truncated, info = stepped(env.step(read(self.taken[i])))
                try:
                    rewards[i] = reward
                except (TypeError, ValueError, OverflowError):
                    raise Problem(f"reward: expected a number, got {short(reward)}")
                end = 1 if terminated else 2 if truncated else 0
                if end and auto_reset:
                    put(self.finals[ended], obs, info)
                    ended += 1
                    tail.append(scalars(info))
                    obs, info = begun(env.reset(seed=self.seeds[i]))
                ends[i] = end
                put(self.shown[i], obs, info)
                lives[i] = lives_in(info)
        except (Exception, SystemExit) as error:
            raise Problem(f"environment {self.first + i}: {describe(error)}") from error
        self.answer(STEP, ended, b"".join(tail))

    def repeat(self):
        """Takes the action of the command as often as it says, until the episode ends."""
        env, np, times, total, end = self.envs[0], self.np, self.seeds[0], 0.0, 0
        try:
            for time in range(times):
                obs, reward, terminated, truncated, info = stepped(env.step(self.read_action(self.taken[0])))
                try:
                    self.rewards[0] = reward
                except (TypeError, ValueError, OverflowError):
                    raise Problem(f"reward: expected a number, got {short(reward)}")
                # In single precision, as steps one at a time are added up.
                with np.errstate(all="ignore"):
                    total = float(np.float32(total) + np.float32(self.rewards[0]))
                end = 1 if terminated else 2 if truncated else 0
                last = end != 0 or time + 1 == times
                if not last or time == 0:
                    self.put(self.finals[0], obs, info)
                if last:
                    break
            self.put(self.shown[0], obs, info)
            self.rewards[0], self.ends[0], self.lives[0] = total, end, lives_in(info)
        except (Exception, SystemExit) as error:
            raise Problem(f"environment {self.first}: {describe(error)}") from error
        self.answer(REPEAT, 1, b"")

    def reset(self):
        """Resets the environments that have a seed. The rows of others stay as the last reply had them."""
        i = 0
        try:
            for i, env in enumerate(self.envs):
                if self.seeds[i] == NO_SEED:
                    continue
                obs, info = begun(env.reset(seed=self.seeds[i]))
                self.put(self.shown[i], obs, info)
                self.lives[i] = lives_in(info)
                self.ends[i], self.rewards[i] = 0, 0.0
        except (Exception, SystemExit) as error:
            raise Problem(f"environment {self.first + i}: {describe(error)}") from error
        self.answer(RESET, 0, b"")

    def picture(self, env):
        picture = self.np.asarray(env.render())
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != self.np.uint8:
            raise Problem(f"render: expected bytes [height, width, 3], got {picture.dtype} of shape {picture.shape}")
        return picture

    def answer(self, kind, ended, tail):
        length = self.fixed + ended * self.row
        if kind == self.last_kind and not ended:
            # The header is the last one's, and nothing follows the rows.
            self.write(self.plain)
            return
        self.tail[0] = len(tail)
        HEADER.pack_into(self.reply, 0, MAGIC, VERSION, kind, length - HEADER.size + len(tail))
        self.write(memoryview(self.reply)[:length])
        if tail:
            self.write(memoryview(tail))
        self.last_kind = None if ended else kind

    def write(self, view):
        written = os.write(self.replies, view)
        while written < len(view):
            written += os.write(self.replies, view[written:])

    def send(self, kind, payload):
        self.write(memoryview(HEADER.pack(MAGIC, VERSION, kind, len(payload)) + payload))

    def receive(self):
        """The kind of the next command, whose payload it leaves in `self.command`; none where the pipe is closed."""
        command = self.command
        got = self.readinto(command)
        while 0 < got < HEADER.size:
            got += self.more(memoryview(command)[got:])
        if got == 0:
            return None
        magic, version, kind, length = HEADER.unpack_from(command)
        if (magic, version) != (MAGIC, VERSION) or HEADER.size + length > len(command):
            raise Problem("a command that this worker does not know")
        while got < HEADER.size + length:
            got += self.more(memoryview(command)[got:])
        return kind

    def more(self, view):
        got = self.readinto(view)
        if got == 0:
            raise Problem("a command that breaks off")
        return got

    def run(self):
        with open(self.commands, "rb", buffering=0, closefd=False) as pipe:
            self.readinto = pipe.readinto
            # The first command has any length.
            self.command = bytearray(HEADER.size)
            self.more(self.command)
            length = HEADER.unpack(self.command)[3]
            config = b""
            while len(config) < length:
                config += pipe.read(length - len(config))
            try:
                hello = self.start(json.loads(config))
            except BaseException as error:
                self.send(ERROR, encoded(error))
                return
            self.send(START, json.dumps(hello).encode())
            while True:
                kind = self.receive()
                if kind is None:
                    return
                try:
                    if kind == STEP:
                        self.step()
                    elif kind == REPEAT:
                        self.repeat()
                    elif kind == RESET:
                        self.reset()
                    elif kind == RENDER:
                        picture = self.picture(self.envs[0])
                        self.send(RENDER, struct.pack("=II", *picture.shape[:2]) + picture.tobytes())
                except BrokenPipeError:
                    return
                except Exception as error:
                    self.last_kind = None
                    self.send(ERROR, encoded(error))

    def close(self):
        for env in self.envs:
            try:
                env.close()
            except Exception:
                traceback.print_exc()


def lives_in(info):
    """The lives of an Atari game; what others call so may be anything."""
    lives = info.get("lives", 0) if type(info) is dict else 0
    return lives if type(lives) is int and 0 <= lives < 2**32 else 0


def scalars(info):
    """The numbers among what an environment says at an episode's end: length of the name, name, number.

    Of very many the first ones. They are only shown, so whatever else is there is passed over.
    """
    import numpy as np

    packed = []
    for name, value in info.items() if isinstance(info, dict) else ():
        number = isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))
        if not number or type(name) is not str or name.startswith("TimeLimit."):
            continue
        try:
            value, name = float(value), name.encode()
        except (OverflowError, UnicodeEncodeError):
            continue
        if math.isfinite(value) and len(name) < 200:
            packed.append(struct.pack("=H", len(name)) + name + struct.pack("=d", value))
        if len(packed) == SCALARS:
            break
    return b"".join(packed)


def main():
    # Ctrl-C reaches every process of the terminal; the parent decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands, replies = take_pipes()
    leave_with_parent(commands)
    worker = Worker(commands, replies)
    try:
        worker.run()
    finally:
        worker.close()


main()
