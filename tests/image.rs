//! The image, made without an engine.

use std::path::Path;
use std::process::Command;

use crate::support::root;

#[test]
fn what_the_image_has_runs_the_demo_and_speaks_tls() {
    // Kept from run to run: its packages take a minute.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
    let output = Command::new("nice")
        .args(["-n", "19", "bash"])
        .arg(root().join("tests/image.sh"))
        .arg(env!("CARGO_BIN_EXE_prism"))
        .arg(directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    match output.status.code() {
        Some(3) => eprintln!("SKIPPED what_the_image_has_runs_the_demo_and_speaks_tls: {}", said.trim()),
        code => assert!(code == Some(0) && said.contains("image: all of it works"), "{said}"),
    }
}
