"""Steps a second of one of Gymnasium's MuJoCo tasks, on one thread, random actions: mujoco_envs.py RUNNER/TASK/COPIES/STEPS.

RUNNER is "EnvPool" or "Gymnasium", which steps its COPIES one after another. The clock starts after a tenth of the steps.
"""
import json
import os
import sys
import tempfile
import time

import common  # Sets the number of threads before anything else is imported.

import numpy as np

# MuJoCo writes its warnings into the current folder.
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)

runner, name, copies, steps = sys.argv[1].split("/")
copies, steps = int(copies), int(steps)
warm = steps // 10
rng = np.random.default_rng(0)

if runner == "EnvPool":
    import envpool

    env = envpool.make(name, env_type="gymnasium", num_envs=copies, num_threads=1)
    space = env.action_space
    env.reset()
    step = env.step
else:
    import gymnasium

    envs = [gymnasium.make(name) for _ in range(copies)]
    space = envs[0].action_space
    for i, env in enumerate(envs):
        env.reset(seed=i)

    def step(actions):
        for env, action in zip(envs, actions):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()


rows = rng.uniform(space.low, space.high, (256, copies, space.shape[0])).astype(space.dtype)
for i in range(warm + steps):
    if i == warm:
        started = time.perf_counter()
    step(rows[i % 256])
print(json.dumps({"steps_per_second": copies * steps / (time.perf_counter() - started)}))
