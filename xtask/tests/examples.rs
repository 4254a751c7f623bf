//! The examples run and hold what they assert.

#[path = "../examples/candle_model.rs"]
mod candle_model;
#[path = "../examples/dueling.rs"]
mod dueling;
#[path = "../examples/own_leaf.rs"]
mod own_leaf;
#[path = "../examples/shared_body.rs"]
mod shared_body;

#[test]
fn a_leaf_of_ones_own() -> rl_core::Result<()> {
    own_leaf::main()
}

#[test]
fn a_dueling_network() -> rl_core::Result<()> {
    dueling::main()
}

#[test]
fn one_body_in_two_agents() -> rl_core::Result<()> {
    shared_body::main()
}

#[test]
fn models_of_candle() -> rl_core::Result<()> {
    candle_model::main()
}
