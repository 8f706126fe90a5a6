//! `prism demo`.

/// Run everything in one process on a synthetic market.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}
