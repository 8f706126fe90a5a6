//! The rules of the house that a machine can check, read from manifests and sources.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use prism_schemas::table::TABLES;

use crate::support::root;

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Our own sources, by path from the root.
fn sources(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for room in ["src", "schemas", "connectors", "dataflow", "queries", "api", "tests"] {
        walk(&root().join(room), extension, &mut found);
    }
    assert!(!found.is_empty());
    found.into_iter().map(|path| path.strip_prefix(root()).unwrap().to_path_buf()).collect()
}

fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(&path, extension, found);
            }
        } else if path.extension().is_some_and(|have| have == extension) {
            found.push(path);
        }
    }
}

/// Names of the `.rs` or other files of a folder, without their extension.
fn stems(dir: &str, extension: &str) -> BTreeSet<String> {
    let mut found = Vec::new();
    walk(&root().join(dir), extension, &mut found);
    let here = found.iter().filter(|path| path.parent() == Some(&root().join(dir)));
    here.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

fn manifest(room: &str) -> toml::Table {
    read(Path::new(room).join("Cargo.toml")).parse().unwrap()
}

/// The manifests of all crates, from the root.
fn manifests() -> Vec<PathBuf> {
    let rooms = sources("toml").into_iter().filter(|path| path.ends_with("Cargo.toml"));
    rooms.chain([PathBuf::from("Cargo.toml")]).collect()
}

fn dependencies(room: &str, section: &str) -> BTreeSet<String> {
    let table = manifest(room);
    table.get(section).and_then(toml::Value::as_table).into_iter().flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    for (room, allowed) in [
        ("schemas", &[][..]),
        ("connectors/exchange", &["prism-schemas"]),
        ("connectors/log", &["prism-schemas"]),
        ("connectors/kafka", &["prism-log", "prism-schemas"]),
        ("connectors/store", &["prism-questdb", "prism-schemas"]),
        ("connectors/sources", &["prism-exchange", "prism-log", "prism-schemas"]),
        ("connectors/venue", &["prism-exchange", "prism-schemas"]),
        ("connectors/emulator", &["prism-exchange", "prism-log", "prism-schemas", "prism-sources", "prism-venue"]),
        ("dataflow", &["prism-schemas"]),
        ("dataflow/pipeline", &["prism-dataflow", "prism-log", "prism-schemas", "prism-status"]),
        ("connectors/questdb", &["prism-schemas"]),
        ("queries", &["prism-questdb", "prism-schemas"]),
        ("api", &["prism-queries", "prism-schemas", "prism-status"]),
        ("api/status", &[]),
        ("tests/fuzz", &["prism-exchange", "prism-log", "prism-schemas", "prism-sources"]),
    ] {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let ours: Vec<String> =
                dependencies(room, section).into_iter().filter(|name| name.starts_with("prism")).collect();
            let strange: Vec<&String> = ours.iter().filter(|name| !allowed.contains(&&***name)).collect();
            assert!(strange.is_empty(), "{room} must not depend on {strange:?}");
        }
    }
    for (room, banned) in [
        ("dataflow/pipeline", &["tokio", "rdkafka", "parquet", "reqwest", "axum", "datafusion"][..]),
        ("dataflow", &["tokio", "rdkafka", "questdb-rs", "datafusion", "axum", "reqwest"]),
        ("schemas", &["tokio", "timely", "differential-dataflow", "datafusion", "axum"]),
        ("connectors/exchange", &["tokio", "reqwest", "axum", "arrow", "timely"]),
        ("connectors/log", &["tokio", "rdkafka", "arrow", "timely"]),
        ("connectors/kafka", &["tokio", "arrow", "timely"]),
        ("connectors/store", &["rdkafka", "axum", "timely", "datafusion"]),
        ("connectors/sources", &["tokio", "reqwest", "axum", "timely", "datafusion"]),
        ("connectors/venue", &["axum", "arrow", "rdkafka", "timely", "datafusion"]),
        ("connectors/emulator", &["arrow", "rdkafka", "questdb-rs", "timely", "datafusion"]),
        ("queries", &["timely", "differential-dataflow", "axum"]),
        ("api", &["timely", "differential-dataflow", "datafusion", "rdkafka", "questdb-rs"]),
    ] {
        let have = dependencies(room, "dependencies");
        let bad: Vec<_> = banned.iter().filter(|name| have.contains(**name)).collect();
        assert!(bad.is_empty(), "{room} links {bad:?}");
    }
}

/// What a crate links in the end, by Cargo.lock.
#[test]
fn dataflow_links_no_runtime_broker_or_database() {
    let lock: toml::Table = read("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let of = |name: &str| -> Vec<String> {
        let same = packages.iter().filter(|package| package["name"].as_str() == Some(name));
        let lists = same.filter_map(|package| package.get("dependencies")?.as_array());
        lists.flatten().filter_map(|text| text.as_str()?.split(' ').next().map(str::to_string)).collect()
    };
    // Cargo.lock mixes in what only tests and benches use: those are left out.
    let test_only = dependencies("dataflow", "dev-dependencies");
    let linked = dependencies("dataflow", "dependencies");
    let mut todo: Vec<String> = linked.iter().filter(|name| *name != "prism-schemas").cloned().collect();
    assert!(todo.len() < of("prism-dataflow").len() || test_only.is_empty());
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if seen.insert(name.clone()) {
            todo.extend(of(&name));
        }
    }
    for banned in ["tokio", "rdkafka", "rdkafka-sys", "questdb-rs", "datafusion", "hyper", "axum"] {
        assert!(!seen.contains(banned), "prism-dataflow links {banned}");
    }
}

#[test]
fn lints_are_shared_and_versions_are_said_once() {
    for manifest in manifests() {
        let (room, table) = (manifest.display(), read(&manifest).parse::<toml::Table>().unwrap());
        assert_eq!(table["lints"]["workspace"], toml::Value::Boolean(true), "{room}");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                assert!(value.get("workspace").is_some(), "{room}: {name} has its own version");
            }
        }
    }
}

#[test]
fn every_source_opens_with_a_sentence() {
    for path in sources("rs") {
        let text = read(&path);
        let first = text.lines().next().unwrap_or("");
        let sentence = first.strip_prefix("//! ").unwrap_or("");
        let is_sentence = sentence.starts_with(|c: char| c.is_uppercase() || matches!(c, '`' | 'p'))
            && (text.lines().take(4).any(|line| line.starts_with("//!") && line.ends_with(['.', ':', '?']))
                || sentence.contains(". ")
                || text.lines().nth(1).is_some_and(|line| line.starts_with("//!")));
        assert!(is_sentence, "{}: {first}", path.display());
    }
}

#[test]
fn nothing_is_left_undone_or_allowed_without_a_reason() {
    // Spelt in two parts, so that this file passes.
    let banned = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("to", "do!("), concat!("unimplement", "ed!(")];
    let attributes =
        [concat!("#[all", "ow("), concat!("#![all", "ow("), concat!("#[exp", "ect("), concat!("#![exp", "ect(")];
    for path in sources("rs") {
        let text = read(&path);
        for word in banned {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
        for attribute in attributes {
            for (at, _) in text.match_indices(attribute) {
                let end = text[at..].find(")]").map_or(text.len(), |end| at + end);
                assert!(text[at..end].contains("reason = \""), "{}: {}", path.display(), &text[at..end]);
            }
        }
        assert!(!text.contains(concat!("#[ign", "ore")), "{}: an ignored test", path.display());
    }
}

#[test]
fn registries_are_complete() {
    let indicators = read("dataflow/src/indicator/mod.rs");
    // What these files hold is no indicator of its own.
    let helpers = ["mod", "contract", "golden", "naive", "rounding", "smooth", "true_range", "window"];
    for name in stems("dataflow/src/indicator", "rs").iter().filter(|name| !helpers.contains(&&***name)) {
        assert!(indicators.contains(&format!("mod {name};")), "indicator {name} is no module");
        let plug_in = type_of(&indicators, name);
        assert!(indicators.contains(&format!("Box::new({plug_in}::")), "indicator {name} is in no list");
    }
    for dimension in ["technical", "volume"] {
        let list = read(format!("dataflow/src/score/{dimension}/mod.rs"));
        let names = stems(&format!("dataflow/src/score/{dimension}"), "rs");
        assert!(4 < names.len());
        for name in names.iter().filter(|name| !["mod", "tests"].contains(&&***name)) {
            assert!(list.contains(&format!("mod {name};")), "{dimension} {name} is no module");
            let plug_in = type_of(&list, name);
            assert!(list.contains(&format!("Box::new({plug_in}::")), "{dimension} {name} is in no list");
        }
    }
    let routes = read("api/src/routes/mod.rs");
    for name in stems("api/src/routes", "rs").iter().filter(|name| *name != "mod") {
        assert!(routes.contains(&format!(".merge({name}::routes())")), "routes of {name} are not merged");
    }
    let named = read("queries/src/named.rs");
    for name in stems("queries/sql", "sql") {
        assert!(named.contains(&format!("= \"{name}\" (")), "queries/sql/{name}.sql is in no list");
    }
    let exchanges = read("connectors/exchange/src/lib.rs");
    for name in stems("connectors/exchange/src", "rs").iter().filter(|name| *name != "lib") {
        assert!(exchanges.contains(&format!("mod {name};")), "exchange {name} is no module");
    }
    let mut n_tables = 0;
    for file in stems("schemas/src/table", "rs") {
        let text = read(format!("schemas/src/table/{file}.rs"));
        for name in text.lines().filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\",")) {
            assert!(TABLES.iter().any(|table| table.name == name), "table {name} is not in TABLES");
            n_tables += 1;
        }
    }
    assert_eq!(n_tables, TABLES.len());
    let main = read("tests/main.rs");
    for name in stems("tests", "rs").iter().filter(|name| *name != "main") {
        assert!(main.contains(&format!("mod {name};")), "tests/{name}.rs is not compiled");
    }
}

/// The type that a registry takes from the file of this name.
fn type_of(list: &str, name: &str) -> String {
    let line = list.lines().find_map(|line| line.strip_prefix(&format!("pub use {name}::")));
    line.unwrap_or_else(|| panic!("{name} gives no type")).trim_end_matches(';').into()
}

#[test]
fn every_setting_has_a_comment() {
    let text = read("default.toml");
    let mut last_has_comment = false;
    for line in text.lines().filter(|line| line.contains('=') && !line.starts_with('#')) {
        // Keys of one thought may share the comment of the first.
        let has_comment = line.contains('#');
        assert!(has_comment || last_has_comment || is_explained(&text, line), "default.toml: {line}");
        last_has_comment = has_comment;
    }
}

/// Whether METHODS.md or the code explains the key by its name.
fn is_explained(_: &str, line: &str) -> bool {
    let key = line.split('=').next().unwrap_or("").trim();
    read("dataflow/METHODS.md").contains(&format!("`{key}`"))
        || ["src/config.rs", "dataflow/src/settings.rs"].iter().any(|path| documents(&read(path), key))
}

/// Whether the field of this name has a doc comment above it.
fn documents(code: &str, key: &str) -> bool {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let is_field =
            line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").starts_with(&format!("{key}: "));
        is_field
            && lines[..at].iter().rev().find(|line| !line.starts_with("#[")).is_some_and(|line| line.starts_with("///"))
    })
}

#[test]
fn no_line_names_a_registry() {
    let hosts = [
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("crates.io", "/api"),
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
        concat!("registry.npmjs", ".org"),
        concat!("github.com/rust-lang/crates.io", "-index"),
        concat!("proxy.golang", ".org"),
    ];
    let mut files: Vec<PathBuf> = ["rs", "toml", "py", "md", "js", "html", "sql", "proto", "txt"]
        .iter()
        .flat_map(|e| {
            let mut found = Vec::new();
            for room in ["src", "schemas", "connectors", "dataflow", "queries", "api", "tests"] {
                walk(&root().join(room), e, &mut found);
            }
            found
        })
        .collect();
    files.extend(
        ["Cargo.toml", "default.toml", "Makefile", "README.md", "CONTRIBUTING.md", ".ci/run"]
            .map(|name| root().join(name)),
    );
    for path in files.iter().filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(path).unwrap();
        for host in hosts {
            assert!(!text.contains(host), "{} names {host}", path.display());
        }
    }
}
