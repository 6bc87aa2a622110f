//! Statistical inference: plain functions from counts to estimates.
//!
//! No I/O, no clock, no randomness but a seed. Counts go in as integers; what comes out is finite for every
//! input, or says by its type that there is nothing to say.

mod beta;

pub mod proportion;
pub mod stratified;

pub mod beta_binomial;
pub mod quantile_shift;

pub mod multiple;
pub mod posterior;
pub mod shrinkage;

#[cfg(test)]
mod tests;
