//! Proximal policy optimisation. This crate has no content yet: it is to hold PPO with a clipped
//! objective, PPO with a KL penalty, and TRPO.
#![forbid(unsafe_code)]
