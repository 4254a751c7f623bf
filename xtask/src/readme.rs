//! The README at the top of the workspace: its code is compiled and run with the documentation's.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
