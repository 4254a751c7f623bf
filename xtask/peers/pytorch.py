"""Single-file PyTorch, in the manner of CleanRL, on the workloads; and the step of a perceptron."""
import copy
import json
import sys
import time

from common import STEPS, report

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.manual_seed(0)
workload = sys.argv[1]


def same_step():
    """An environment whose episode ends begins anew in the same step, as the loops below have it."""
    from gymnasium.vector import AutoresetMode

    return {"autoreset_mode": AutoresetMode.SAME_STEP}


def mlp(*sizes):
    layers = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def adam(parameters, lr):
    return torch.optim.Adam(parameters, lr=lr, eps=1e-5)


def count(*modules):
    return sum(p.numel() for m in modules for p in m.parameters())


def perceptrons():
    """Microseconds: forward, squared error, backward, fused Adam; and acting on one row."""
    for sizes, batch in [([4, 64, 64, 2], 64), ([4, 256, 256, 2], 64), ([17, 256, 256, 6], 256), ([8, 64, 64, 4], 2048)]:
        net = mlp(*sizes)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
        x, y = torch.randn(batch, sizes[0]), torch.randn(batch, sizes[-1])

        def step():
            loss = (net(x) - y).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        for _ in range(200):
            step()
        n = 1_000
        started = time.perf_counter()
        for _ in range(n):
            step()
        micros = (time.perf_counter() - started) / n * 1e6
        print(json.dumps({"network": "-".join(map(str, sizes)), "batch": batch, "microseconds": micros}))
    net, x = mlp(4, 64, 64, 2), torch.randn(1, 4)
    with torch.inference_mode():
        for _ in range(1_000):
            net(x)
        n = 10_000
        started = time.perf_counter()
        for _ in range(n):
            net(x)
    micros = (time.perf_counter() - started) / n * 1e6
    print(json.dumps({"network": "4-64-64-2 acting", "batch": 1, "microseconds": micros}))


def convolutions():
    """The same for networks over images of bytes; and forward passes of few rows."""
    nature = lambda: nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6))
    minatar = lambda: nn.Sequential(
        nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 6))

    def micros(calls, call):
        for _ in range(calls // 5):
            call()
        started = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - started) / calls * 1e6

    for name, make, side, batches in [
        ("Nature CNN", nature, 84, [(32, 60), (128, 20)]),
        ("MinAtar CNN", minatar, 10, [(32, 2_000), (256, 300)]),
    ]:
        net = make()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
        for batch, calls in batches:
            x, y = torch.randint(0, 256, (batch, 4, side, side), dtype=torch.uint8), torch.randn(batch, 6)

            def step():
                loss = (net(x.float() / 255) - y).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

            print(json.dumps({"network": name, "batch": batch, "microseconds": micros(calls, step)}))
        for rows, calls in [(1, 2_000), (8, 500)]:
            x = torch.randint(0, 256, (rows, 4, side, side), dtype=torch.uint8)
            with torch.inference_mode():
                took = micros(calls, lambda: net(x.float() / 255))
            print(json.dumps({"network": name + " acting", "batch": rows, "microseconds": took}))


def ppo():
    import gymnasium as gym

    n, steps, gamma, lam = 8, 256, 0.99, 0.95
    envs = gym.make_vec("CartPole-v1", n, vectorization_mode="sync", vector_kwargs=same_step())
    actor, critic = mlp(4, 64, 64, 2), mlp(4, 64, 64, 1)
    parameters = list(actor.parameters()) + list(critic.parameters())
    optimizer = adam(parameters, 3e-4)
    obs, _ = envs.reset(seed=0)
    obs, done = torch.as_tensor(obs), torch.zeros(n)
    o, a, l = torch.zeros(steps, n, 4), torch.zeros(steps, n), torch.zeros(steps, n)
    r, d, v = torch.zeros(steps, n), torch.zeros(steps, n), torch.zeros(steps, n)
    warm_up, timed = STEPS["ppo"]
    taken = 0
    for update in range((warm_up + timed) // (n * steps)):
        if update == warm_up // (n * steps):
            started, taken = time.perf_counter(), 0
        for t in range(steps):
            o[t], d[t] = obs, done
            with torch.no_grad():
                pi = torch.distributions.Categorical(logits=actor(obs))
                action = pi.sample()
                a[t], l[t], v[t] = action, pi.log_prob(action), critic(obs).squeeze(1)
            obs, reward, terminated, truncated, _ = envs.step(action.numpy())
            obs, done = torch.as_tensor(obs), torch.as_tensor(np.logical_or(terminated, truncated), dtype=torch.float32)
            r[t] = torch.as_tensor(reward)
        with torch.no_grad():
            adv, last, next_value, next_done = torch.zeros(steps, n), torch.zeros(n), critic(obs).squeeze(1), done
            for t in reversed(range(steps)):
                delta = r[t] + gamma * next_value * (1 - next_done) - v[t]
                adv[t] = last = delta + gamma * lam * (1 - next_done) * last
                next_value, next_done = v[t], d[t]
            ret = adv + v
        bo, ba, bl, badv, bret = o.view(-1, 4), a.view(-1), l.view(-1), adv.view(-1), ret.view(-1)
        for _ in range(10):
            order = torch.randperm(n * steps)
            for start in range(0, n * steps, 64):
                rows = order[start:start + 64]
                pi = torch.distributions.Categorical(logits=actor(bo[rows]))
                ratio = (pi.log_prob(ba[rows]) - bl[rows]).exp()
                mb = badv[rows]
                mb = (mb - mb.mean()) / (mb.std() + 1e-8)
                loss = torch.max(-mb * ratio, -mb * ratio.clamp(0.8, 1.2)).mean()
                loss = loss + 0.5 * (critic(bo[rows]).squeeze(1) - bret[rows]).pow(2).mean() - 0.0 * pi.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
                taken += 1
    report(timed, time.perf_counter() - started, count(actor, critic), taken)


class Replay:
    def __init__(self, size, width, action_shape, action_dtype):
        self.o, self.o2 = np.zeros((size, width), np.float32), np.zeros((size, width), np.float32)
        self.a = np.zeros((size, *action_shape), action_dtype)
        self.r, self.end = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self.n = 0

    def add(self, o, a, r, o2, end):
        i = self.n % len(self.r)
        self.o[i], self.a[i], self.r[i], self.o2[i], self.end[i] = o, a, r, o2, end
        self.n += 1

    def sample(self, batch):
        i = np.random.randint(0, min(self.n, len(self.r)), batch)
        return [torch.as_tensor(x[i]) for x in (self.o, self.a, self.r, self.o2, self.end)]


def dqn():
    import gymnasium as gym

    env = gym.make("CartPole-v1")
    q = mlp(4, 64, 64, 2)
    target, optimizer = copy.deepcopy(q), adam(q.parameters(), 2.5e-4)
    replay, (obs, _) = Replay(10_000, 4, (), np.int64), env.reset(seed=0)
    warm_up, timed = STEPS["dqn"]
    taken = 0
    for step in range(warm_up + timed):
        if step == warm_up:
            started, taken = time.perf_counter(), 0
        if np.random.rand() < 0.1:
            action = env.action_space.sample()
        else:
            with torch.no_grad():
                action = int(q(torch.as_tensor(obs)[None]).argmax(1))
        obs2, reward, terminated, truncated, _ = env.step(action)
        replay.add(obs, action, reward, obs2, terminated)
        obs = env.reset()[0] if terminated or truncated else obs2
        if step >= 64 and step % 4 == 0:
            o, a, r, o2, end = replay.sample(64)
            with torch.no_grad():
                y = r + 0.99 * target(o2).max(1).values * (1 - end)
            loss = F.mse_loss(q(o).gather(1, a[:, None]).squeeze(1), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            taken += 1
        if step % 1_000 == 0:
            target.load_state_dict(q.state_dict())
    report(timed, time.perf_counter() - started, count(q), taken)


def sac():
    import gymnasium as gym

    env = gym.make("Pendulum-v1")
    actor, q1, q2 = mlp(3, 64, 64, 2), mlp(4, 64, 64, 1), mlp(4, 64, 64, 1)
    t1, t2 = copy.deepcopy(q1), copy.deepcopy(q2)
    log_alpha = torch.zeros(1, requires_grad=True)
    actor_opt, alpha_opt = adam(actor.parameters(), 3e-4), adam([log_alpha], 3e-4)
    q_opt = adam(list(q1.parameters()) + list(q2.parameters()), 3e-4)
    replay, (obs, _) = Replay(10_000, 3, (1,), np.float32), env.reset(seed=0)

    def sample(o):
        mean, log_std = actor(o).chunk(2, 1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        u = normal.rsample()
        log_prob = normal.log_prob(u) - 2 * (np.log(2) - u - F.softplus(-2 * u))
        return torch.tanh(u), log_prob.sum(1)

    warm_up, timed = STEPS["sac"]
    taken = 0
    for step in range(warm_up + timed):
        if step == warm_up:
            started, taken = time.perf_counter(), 0
        if step < 64:
            action = np.random.uniform(-1, 1, 1).astype(np.float32)
        else:
            with torch.no_grad():
                action = sample(torch.as_tensor(obs)[None])[0][0].numpy()
        obs2, reward, terminated, truncated, _ = env.step(2 * action)
        replay.add(obs, action, reward, obs2, terminated)
        obs = env.reset()[0] if terminated or truncated else obs2
        if step < 64:
            continue
        o, a, r, o2, end = replay.sample(64)
        with torch.no_grad():
            a2, lp2 = sample(o2)
            row = torch.cat([o2, a2], 1)
            y = r + 0.99 * (1 - end) * (torch.min(t1(row), t2(row)).squeeze(1) - log_alpha.exp() * lp2)
        row = torch.cat([o, a], 1)
        loss = F.mse_loss(q1(row).squeeze(1), y) + F.mse_loss(q2(row).squeeze(1), y)
        q_opt.zero_grad()
        loss.backward()
        q_opt.step()
        pi, lp = sample(o)
        row = torch.cat([o, pi], 1)
        loss = (log_alpha.exp().detach() * lp - torch.min(q1(row), q2(row)).squeeze(1)).mean()
        actor_opt.zero_grad()
        loss.backward()
        actor_opt.step()
        loss = (-log_alpha.exp() * (lp.detach() - 1.0)).mean()
        alpha_opt.zero_grad()
        loss.backward()
        alpha_opt.step()
        with torch.no_grad():
            for net, slow in [(q1, t1), (q2, t2)]:
                for p, s in zip(net.parameters(), slow.parameters()):
                    s.mul_(0.995).add_(p, alpha=0.005)
        taken += 1
    report(timed, time.perf_counter() - started, count(actor, q1, q2), taken)


def trunk():
    return nn.Sequential(nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU())


def minatar_dqn():
    """Young and Tian (2019): an update each frame, centred RMSprop, Huber loss."""
    import gymnasium as gym
    from minatar.gym import register_envs

    register_envs()
    env, planes = gym.make("MinAtar/Breakout-v0"), lambda obs: np.ascontiguousarray(np.moveaxis(obs, -1, -3))
    q = nn.Sequential(*trunk(), nn.Linear(128, 6))
    target = copy.deepcopy(q)
    optimizer = torch.optim.RMSprop(q.parameters(), lr=2.5e-4, alpha=0.95, eps=0.01, centered=True)
    size, n = 10_000, 0
    o, o2 = np.zeros((size, 4, 10, 10), np.uint8), np.zeros((size, 4, 10, 10), np.uint8)
    a, r, d = np.zeros(size, np.int64), np.zeros(size, np.float32), np.zeros(size, np.float32)
    obs = planes(env.reset(seed=0)[0])
    warm_up, timed = STEPS["minatar-dqn"]
    taken = 0
    for step in range(warm_up + timed):
        if step == warm_up:
            started, taken = time.perf_counter(), 0
        if np.random.rand() < 0.1:
            action = np.random.randint(6)
        else:
            with torch.no_grad():
                action = int(q(torch.as_tensor(obs)[None].float()).argmax(1))
        obs2, reward, terminated, truncated, _ = env.step(action)
        obs2, i = planes(obs2), n % size
        o[i], a[i], r[i], o2[i], d[i] = obs, action, reward, obs2, terminated
        n += 1
        obs = planes(env.reset()[0]) if terminated or truncated else obs2
        if step >= 64:
            rows = np.random.randint(0, min(n, size), 32)
            bo, ba, br, bo2, bd = [torch.as_tensor(x[rows]) for x in (o, a, r, o2, d)]
            with torch.no_grad():
                y = br + 0.99 * target(bo2.float()).max(1).values * (1 - bd)
            loss = F.smooth_l1_loss(q(bo.float()).gather(1, ba[:, None]).squeeze(1), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            taken += 1
        if step % 1_000 == 0:
            target.load_state_dict(q.state_dict())
    report(timed, time.perf_counter() - started, count(q), taken)


def minatar_ppo():
    """64 environments, 128 steps, 4 epochs of 32 minibatches; policy and value share their convolutions."""
    import gymnasium as gym
    from minatar.gym import register_envs

    register_envs()
    n, steps, gamma, lam = 64, 128, 0.99, 0.95
    envs = gym.make_vec("MinAtar/Breakout-v0", n, vectorization_mode="sync", vector_kwargs=same_step())
    planes = lambda obs: torch.as_tensor(np.ascontiguousarray(np.moveaxis(obs, -1, -3)))
    body, actor, critic = trunk(), nn.Linear(128, 6), nn.Linear(128, 1)
    parameters = [p for m in (body, actor, critic) for p in m.parameters()]
    optimizer = adam(parameters, 3e-4)
    obs, done = planes(envs.reset(seed=0)[0]), torch.zeros(n)
    o, a, l = torch.zeros(steps, n, 4, 10, 10, dtype=torch.uint8), torch.zeros(steps, n), torch.zeros(steps, n)
    r, d, v = torch.zeros(steps, n), torch.zeros(steps, n), torch.zeros(steps, n)
    warm_up, timed = STEPS["minatar-ppo"]
    taken = 0
    for update in range((warm_up + timed) // (n * steps)):
        if update == warm_up // (n * steps):
            started, taken = time.perf_counter(), 0
        for t in range(steps):
            o[t], d[t] = obs, done
            with torch.no_grad():
                features = body(obs.float())
                pi = torch.distributions.Categorical(logits=actor(features))
                action = pi.sample()
                a[t], l[t], v[t] = action, pi.log_prob(action), critic(features).squeeze(1)
            obs, reward, terminated, truncated, _ = envs.step(action.numpy())
            obs, done = planes(obs), torch.as_tensor(np.logical_or(terminated, truncated), dtype=torch.float32)
            r[t] = torch.as_tensor(reward)
        with torch.no_grad():
            adv, last = torch.zeros(steps, n), torch.zeros(n)
            next_value, next_done = critic(body(obs.float())).squeeze(1), done
            for t in reversed(range(steps)):
                delta = r[t] + gamma * next_value * (1 - next_done) - v[t]
                adv[t] = last = delta + gamma * lam * (1 - next_done) * last
                next_value, next_done = v[t], d[t]
            ret = adv + v
        bo, ba, bl, badv, bret = o.view(-1, 4, 10, 10), a.view(-1), l.view(-1), adv.view(-1), ret.view(-1)
        for _ in range(4):
            order = torch.randperm(n * steps)
            for start in range(0, n * steps, 256):
                rows = order[start:start + 256]
                features = body(bo[rows].float())
                pi = torch.distributions.Categorical(logits=actor(features))
                ratio = (pi.log_prob(ba[rows]) - bl[rows]).exp()
                mb = badv[rows]
                mb = (mb - mb.mean()) / (mb.std() + 1e-8)
                loss = torch.max(-mb * ratio, -mb * ratio.clamp(0.8, 1.2)).mean()
                loss = loss + 0.5 * (critic(features).squeeze(1) - bret[rows]).pow(2).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
                taken += 1
    report(timed, time.perf_counter() - started, count(body, actor, critic), taken)


{"ppo": ppo, "dqn": dqn, "sac": sac, "minatar-dqn": minatar_dqn, "minatar-ppo": minatar_ppo, "mlp": perceptrons,
 "conv": convolutions}[workload]()
