//! Deep Q-learning for continuous actions. This crate has no content yet: it is to hold DDPG and its
//! successors TD3 and SAC.
#![forbid(unsafe_code)]
