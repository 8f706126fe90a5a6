//! Compiles the Protobuf files with a pure-Rust compiler, so that no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["prism/v1/events.proto"], ["proto"])?;
    // Large and rare beside trades and books, whose events they would make twice as large.
    let mut config = prost_build::Config::new();
    for body in ["ticker", "kline", "instrument"] {
        config.boxed(format!(".prism.v1.Event.body.{body}"));
    }
    config.compile_fds(files)?;
    Ok(())
}
