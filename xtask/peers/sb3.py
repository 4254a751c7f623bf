"""Stable-Baselines3 on its workloads. DQN has the stated loss and no clipping."""
import sys
import time
import types
import warnings

from common import STEPS, THREADS, report

import gymnasium as gym
import torch
from torch import nn

warnings.filterwarnings("ignore")
torch.set_num_threads(THREADS)
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.dqn import dqn as dqn_module

workload = sys.argv[1]
warm_up, timed = STEPS[workload]
adam = dict(activation_fn=nn.Tanh, optimizer_kwargs=dict(eps=1e-5))
if workload == "ppo":
    envs = make_vec_env("CartPole-v1", 8, seed=0)
    nets = dict(net_arch=dict(pi=[64, 64], vf=[64, 64]), **adam)
    model = PPO("MlpPolicy", envs, n_steps=256, batch_size=64, n_epochs=10, policy_kwargs=nets, seed=0, device="cpu")
    parameters = sum(p.numel() for p in model.policy.parameters())
elif workload == "dqn":
    shim = types.SimpleNamespace(**{k: getattr(nn.functional, k) for k in dir(nn.functional)})
    shim.smooth_l1_loss = nn.functional.mse_loss
    dqn_module.F = shim
    model = DQN(
        "MlpPolicy", gym.make("CartPole-v1"), learning_rate=2.5e-4, buffer_size=10_000, batch_size=64,
        learning_starts=64, train_freq=4, gradient_steps=1, target_update_interval=1_000, gamma=0.99,
        exploration_initial_eps=0.1, exploration_final_eps=0.1, max_grad_norm=float("inf"),
        policy_kwargs=dict(net_arch=[64, 64], **adam), seed=0, device="cpu",
    )
    parameters = sum(p.numel() for p in model.q_net.parameters())
else:
    width, activation = (256, nn.ReLU) if workload == "sac-wide" else (64, nn.Tanh)
    nets = dict(net_arch=[width, width], activation_fn=activation, optimizer_kwargs=dict(eps=1e-5))
    model = SAC(
        "MlpPolicy", gym.make("Pendulum-v1"), learning_rate=3e-4, buffer_size=10_000, batch_size=width,
        learning_starts=width, tau=0.005, ent_coef="auto_1.0", target_entropy=-1.0,
        policy_kwargs=nets, seed=0, device="cpu",
    )
    parameters = sum(p.numel() for p in model.actor.parameters()) + sum(p.numel() for p in model.critic.parameters())
model.learn(warm_up)
updates = model._n_updates
started = time.perf_counter()
model.learn(timed, reset_num_timesteps=False)
seconds = time.perf_counter() - started
steps = model._n_updates - updates
# PPO counts passes over a rollout.
report(timed, seconds, parameters, steps * 32 if workload == "ppo" else steps)
