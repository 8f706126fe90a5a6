//! The program from outside: runs, places of data and programs, HTTP.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::Duration,
};

/// What a run of the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Said {
        let said = Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!said.err.contains("panicked"), "{said:?}");
        said
    }

    /// Its output, after it ended well.
    pub(crate) fn fine(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// The program, without this environment's settings.
pub(crate) fn command() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_prism")))
}

/// The program, with a disk of its own at `dir` that takes no more than `size`.
pub(crate) fn command_on_a_small_disk(dir: &Path, size: &str) -> Command {
    let mut command = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
    command.args(["-rm", "sh", "-c", mount, "sh", size]).arg(dir).arg(env!("CARGO_BIN_EXE_prism"));
    without_settings(command)
}

fn without_settings(mut command: Command) -> Command {
    std::env::vars().filter(|(name, _)| name.starts_with("PRISM__")).for_each(|(name, _)| {
        command.env_remove(name);
    });
    let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    for name in ["RUST_LOG", "PRISM_LOG", "PRISM_STORE"].into_iter().chain(proxies) {
        command.env_remove(name);
    }
    command
}

/// Runs the program; it must never panic, and it must end.
pub(crate) fn prism<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Said {
    let child = command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().to_string();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        // What runs away takes all memory within minutes.
        let is_over = ended.recv_timeout(Duration::from_secs(300)).is_err();
        is_over && Command::new("kill").args(["-9", &id]).status().is_ok()
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    assert!(!guard.join().unwrap(), "still running after five minutes");
    Said::of(&output)
}

/// Splits a command line at spaces, `{}` standing for the next of `paths`.
pub(crate) fn run(line: &str, paths: &[&Path]) -> Said {
    let mut paths = paths.iter();
    prism(line.split(' ').map(|word| match word {
        "{}" => paths.next().unwrap().as_os_str().to_os_string(),
        word => word.into(),
    }))
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A place beside the repository, or a line that says it is not there.
pub(crate) fn shared(test: &str, name: &str) -> Option<PathBuf> {
    let path = root().join("../shared").join(name);
    let path = std::env::var_os("PRISM_DATA").filter(|_| name == "data").map_or(path, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED {test}: no ../shared/{name}");
    None
}

/// A Python that can import these modules, or a line that says there is none.
pub(crate) fn python(test: &str, modules: &str) -> Option<PathBuf> {
    let given = std::env::var_os("PRISM_PYTHON").map(PathBuf::from);
    for python in given.into_iter().chain([root().join(".venv/bin/python"), "python3".into()]) {
        let probe = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
        if probe.is_ok_and(|probe| probe.status.success()) {
            return Some(python);
        }
    }
    eprintln!("SKIPPED {test}: no Python with {modules} (make .venv, or set PRISM_PYTHON)");
    None
}

/// A port for a server that is started later. It is below those that the system gives to whoever asks for any: another test
/// could have it before the server does.
pub(crate) fn free_port() -> u16 {
    static N: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    let mut ports = std::iter::repeat_with(|| first + N.fetch_add(1, Relaxed));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// One HTTP/1.1 exchange: status and body.
pub(crate) fn http(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-prism: 1\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok((status, if is_chunked { unchunk(body) } else { body.into() }))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 || rest.len() < length {
            break;
        }
        whole += &rest[..length];
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}
