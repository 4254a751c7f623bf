//! Policy gradients. This crate has no content yet: it is to hold REINFORCE, the actor-critic with a
//! learned action value, A2C, and the gradient-free policy search that they are compared with.
#![forbid(unsafe_code)]
