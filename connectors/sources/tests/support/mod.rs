//! What tests of files share.

use std::path::{Path, PathBuf};

use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId};
use prism_sources::import::{Options, Report, examine, read};

pub(crate) type Events = Vec<(InstrumentId, Event)>;

pub(crate) fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases").join(name)
}

pub(crate) fn options() -> Options {
    // The end of 2026.
    Options { now: Some(1_798_761_600_000_000_000), ..Options::default() }
}

/// Events of files, without what imports say around them.
pub(crate) fn events(paths: &[PathBuf], options: Options) -> (Events, Report) {
    let mut events = Events::new();
    let report = read(paths, options, &mut |instrument, event| {
        if !matches!(event.body, Some(Body::FeedStatus(_) | Body::Instrument(_))) {
            events.push((instrument.clone(), event));
        }
        Ok(())
    });
    (events, report.unwrap())
}

pub(crate) fn refusal(paths: &[PathBuf], options: Options) -> String {
    let examined = examine(paths, options).unwrap();
    assert_eq!(examined.files(), 0);
    let (path, reason) = examined.report().refused.first().expect("it is not refused").clone();
    format!("{}: {reason}", path.display())
}

pub(crate) fn refused_text(name: &str, text: &str, options: Options) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), text).unwrap();
    refusal(&[dir.path().join(name)], options)
}
