"""Steps a second of CartPole-v1 and Pendulum-v1 in gymnax (compiled), EnvPool (one thread) and Gymnasium, random actions."""
import json
import time

import common  # Sets the number of threads before anything else is imported.

import envpool
import gymnasium as gym
import gymnax
import jax
import numpy as np

BATCH, STEPS = 1_024, 2_000


def report(environment, runner, steps, seconds):
    print(json.dumps({"environment": environment, "runner": runner, "steps_per_second": steps / seconds}))


for name in ["CartPole-v1", "Pendulum-v1"]:
    env, params = gymnax.make(name)

    def step(carry, _):
        key, state, total = carry
        key, ka, ks = jax.random.split(key, 3)
        action = jax.vmap(env.action_space(params).sample)(jax.random.split(ka, BATCH))
        _, state, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(jax.random.split(ks, BATCH), state, action, params)
        return (key, state, total + reward.sum()), None

    @jax.jit
    def run(key):
        _, state = jax.vmap(env.reset, (0, None))(jax.random.split(key, BATCH), params)
        return jax.lax.scan(step, (key, state, 0.0), None, STEPS)[0][2]

    jax.block_until_ready(run(jax.random.PRNGKey(0)))
    started = time.perf_counter()
    jax.block_until_ready(run(jax.random.PRNGKey(1)))
    report(name, "gymnax", BATCH * STEPS, time.perf_counter() - started)

    env = envpool.make(name, env_type="gymnasium", num_envs=BATCH, num_threads=1)
    env.reset()
    rows = [np.stack([env.action_space.sample() for _ in range(BATCH)]) for _ in range(16)]
    for i in range(1_200):
        if i == 200:
            started = time.perf_counter()
        env.step(rows[i % 16])
    report(name, "EnvPool", BATCH * 1_000, time.perf_counter() - started)

    env = gym.make(name)
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(1_000)]
    started = time.perf_counter()
    for i in range(20_000):
        _, _, terminated, truncated, _ = env.step(actions[i % 1_000])
        if terminated or truncated:
            env.reset()
    report(name, "Gymnasium", 20_000, time.perf_counter() - started)
