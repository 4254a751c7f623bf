//! The examples run and hold what they assert.

#[path = "../examples/candle_model.rs"]
mod candle_model;
#[path = "../examples/dueling.rs"]
mod dueling;
#[path = "../examples/own_env.rs"]
mod own_env;
#[path = "../examples/own_head.rs"]
mod own_head;
#[path = "../examples/own_leaf.rs"]
mod own_leaf;
#[path = "../examples/own_off_policy_rule.rs"]
mod own_off_policy_rule;
#[path = "../examples/own_on_policy_rule.rs"]
mod own_on_policy_rule;
#[path = "../examples/own_wrapper.rs"]
mod own_wrapper;
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

#[test]
fn an_environment_of_ones_own() -> rl_core::Result<()> {
    own_env::main()
}

#[test]
fn a_head_of_ones_own() -> rl_core::Result<()> {
    own_head::main()
}

#[test]
fn an_off_policy_rule_of_ones_own() -> rl_core::Result<()> {
    own_off_policy_rule::main()
}

#[test]
fn an_on_policy_rule_of_ones_own() -> rl_core::Result<()> {
    own_on_policy_rule::main()
}

#[test]
fn wrappers_of_ones_own() -> rl_core::Result<()> {
    own_wrapper::main()
}
