"""PPO as one compiled JAX program over gymnax, in the manner of PureJaxRL: environments, rollouts, advantages
and updates under a single jit and scan."""
import time

from common import STEPS, report

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import optax
from flax.linen.initializers import constant, orthogonal

ENVS, STEPS_A_ROLLOUT, MINIBATCHES, EPOCHS = 8, 256, 32, 10
GAMMA, LAMBDA, CLIP = 0.99, 0.95, 0.2
env, env_params = gymnax.make("CartPole-v1")


class Net(nn.Module):
    outputs: int
    gain: float

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.tanh(nn.Dense(64, kernel_init=orthogonal(2**0.5), bias_init=constant(0.0))(x))
        return nn.Dense(self.outputs, kernel_init=orthogonal(self.gain), bias_init=constant(0.0))(x)


actor, critic = Net(2, 0.01), Net(1, 1.0)
optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(3e-4, eps=1e-5))


def init(key):
    ka, kc, ke = jax.random.split(key, 3)
    params = (actor.init(ka, jnp.zeros(4)), critic.init(kc, jnp.zeros(4)))
    obs, state = jax.vmap(env.reset, (0, None))(jax.random.split(ke, ENVS), env_params)
    return params, optimizer.init(params), state, obs, key


def values(params, obs):
    return critic.apply(params[1], obs).squeeze(-1)


def rollout_step(carry, _):
    params, opt, state, obs, key = carry
    key, ka, ks = jax.random.split(key, 3)
    logits = jax.nn.log_softmax(actor.apply(params[0], obs))
    action = jax.random.categorical(ka, logits)
    log_prob = jnp.take_along_axis(logits, action[:, None], 1).squeeze(1)
    obs2, state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
        jax.random.split(ks, ENVS), state, action, env_params
    )
    done = jnp.logical_or(terminated, truncated)
    return (params, opt, state, obs2, key), (obs, action, log_prob, values(params, obs), reward, done)


def loss_of(params, batch):
    obs, action, old, _, advantage, target = batch
    logits = jax.nn.log_softmax(actor.apply(params[0], obs))
    log_prob = jnp.take_along_axis(logits, action[:, None], 1).squeeze(1)
    ratio = jnp.exp(log_prob - old)
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    surrogate = jnp.minimum(ratio * advantage, ratio.clip(1 - CLIP, 1 + CLIP) * advantage).mean()
    return -surrogate + 0.5 * ((values(params, obs) - target) ** 2).mean()


def update(carry, _):
    carry, (obs, action, log_prob, value, reward, done) = jax.lax.scan(rollout_step, carry, None, STEPS_A_ROLLOUT)
    params, opt, state, last_obs, key = carry

    def gae(carry, row):
        advantage, next_value = carry
        value, reward, done = row
        delta = reward + GAMMA * next_value * (1 - done) - value
        advantage = delta + GAMMA * LAMBDA * (1 - done) * advantage
        return (advantage, value), advantage

    start = (jnp.zeros(ENVS), values(params, last_obs))
    _, advantage = jax.lax.scan(gae, start, (value, reward, done), reverse=True)
    batch = (obs, action, log_prob, value, advantage, advantage + value)
    flat = jax.tree_util.tree_map(lambda x: x.reshape((-1,) + x.shape[2:]), batch)

    def epoch(carry, _):
        params, opt, key = carry
        key, k = jax.random.split(key)
        order = jax.random.permutation(k, ENVS * STEPS_A_ROLLOUT)
        shuffled = jax.tree_util.tree_map(lambda x: x[order].reshape((MINIBATCHES, -1) + x.shape[1:]), flat)

        def minibatch(carry, rows):
            params, opt = carry
            grads = jax.grad(loss_of)(params, rows)
            updates, opt = optimizer.update(grads, opt, params)
            return (optax.apply_updates(params, updates), opt), None

        (params, opt), _ = jax.lax.scan(minibatch, (params, opt), shuffled)
        return (params, opt, key), None

    (params, opt, key), _ = jax.lax.scan(epoch, (params, opt, key), None, EPOCHS)
    return (params, opt, state, last_obs, key), reward.mean()


warm_up, timed = STEPS["ppo"]
rollout = ENVS * STEPS_A_ROLLOUT
carry = jax.jit(init)(jax.random.PRNGKey(0))
train = lambda n: jax.jit(lambda carry: jax.lax.scan(update, carry, None, n)[0])
program = train(timed // rollout).lower(carry).compile()
carry = jax.block_until_ready(train(warm_up // rollout)(carry))
started = time.perf_counter()
carry = jax.block_until_ready(program(carry))
seconds = time.perf_counter() - started
parameters = sum(x.size for x in jax.tree_util.tree_leaves(carry[0]))
report(timed, seconds, parameters, timed // rollout * MINIBATCHES * EPOCHS)
