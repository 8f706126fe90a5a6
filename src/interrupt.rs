//! Ctrl-C and SIGTERM: the first is answered at once and ends a command in order, the second ends the process.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Answers from now on; `what` says what the first signal does. Gives a flag that it sets.
pub(crate) fn answer(what: &'static str) -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupts, mut terminations) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let answering = async move {
        loop {
            let code = tokio::select! {
                Some(()) = interrupts.recv() => 130,
                Some(()) = terminations.recv() => 143,
                else => return,
            };
            if flag.swap(true, Relaxed) {
                std::process::exit(code);
            }
            // Whoever read it may be gone.
            let _ = writeln!(std::io::stderr(), "{what}; once more ends at once");
        }
    };
    let thread = std::thread::Builder::new().name("signals".into());
    thread.spawn(move || runtime.block_on(answering)).context("start the thread signals")?;
    Ok(asked)
}
