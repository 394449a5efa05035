//! Packs for the GPU machine.
use crate::repository::Outcome;

/// Options of `gpu-pack`.
#[derive(clap::Args)]
pub struct Options {}

/// Packs.
pub fn run(_options: &Options) -> Outcome {
    Ok(())
}
