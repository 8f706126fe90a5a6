//! Archives, bombs, files that grow and content that comes again: told, bounded, and each for itself.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use prism_log::{LogWriter, SegmentLog};
use prism_sources::import::{Options, Written, examine};

use support::{case, events, options, refusal, refused_text};

fn zip_of(files: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

const ROWS: &str = "1,64010.1,0.015,1,1,1740996001250,true\n2,64010.2,0.02,2,2,1740996001260,false\n";

#[test]
fn a_file_of_an_archive_is_a_file() {
    use zip::CompressionMethod::{Deflated, Stored};
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let second = ROWS.replace("64010", "65010");
    let files = [
        ("um/AAAUSDT-aggTrades-2025-03.csv", ROWS.as_bytes()),
        ("cm/BBBUSD_PERP-aggTrades-2025-03.csv", second.as_bytes()),
        ("readme.txt", b"dear reader"),
    ];
    for method in [Deflated, Stored] {
        std::fs::write(at("all.zip"), zip_of(&files, method)).unwrap();
        let (found, report) = events(&[at("all.zip")], options());
        let symbols: BTreeMap<String, usize> = found.iter().fold(BTreeMap::new(), |mut counts, (id, _)| {
            *counts.entry(id.to_string()).or_default() += 1;
            counts
        });
        assert_eq!(
            symbols.into_iter().collect::<Vec<_>>(),
            [("binance:inverse:BBBUSD_PERP".into(), 2), ("binance:linear:AAAUSDT".into(), 2)]
        );
        assert_eq!(report.skipped.len(), 1, "{report:?}");
    }
    let whole = std::fs::read(at("all.zip")).unwrap();
    std::fs::write(at("good.csv"), ROWS).unwrap();
    std::fs::rename(at("good.csv"), at("CCCUSDT-aggTrades-2025-03.csv")).unwrap();
    let mut damaged = whole.clone();
    let place = damaged.windows(8).position(|bytes| bytes == b"1,64010.").unwrap();
    damaged[place + 3] ^= 1;
    for (name, bytes) in [
        ("cut.zip", whole[..whole.len() / 2].to_vec()),
        ("damaged.zip", damaged),
        ("foreign.zip", zip_of(&[("a.png", b"\x89PNG\r\n\x1a\n\0\0"), ("b.txt", b"dear")], Deflated)),
        ("empty.zip", zip_of(&[], Deflated)),
    ] {
        std::fs::write(at(name), bytes).unwrap();
        let examined = examine(&[at(name), at("CCCUSDT-aggTrades-2025-03.csv")], options()).unwrap();
        let report = examined.report();
        assert!(report.files.iter().any(|file| file.path.ends_with("CCCUSDT-aggTrades-2025-03.csv")), "{name}");
        assert!(report.refused.iter().any(|(path, _)| path.starts_with(at(name))), "{name} {report:?}");
    }
}

#[test]
fn bombs_are_told_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("AAAUSDT-aggTrades-2025-03.zip");
    let mut zip = zip::ZipWriter::new(std::io::BufWriter::new(std::fs::File::create(&path).unwrap()));
    zip.start_file("AAAUSDT-aggTrades-2025-03.csv", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(ROWS.as_bytes()).unwrap();
    let line = ROWS.as_bytes().repeat(1 << 13);
    for _ in 0..128 {
        zip.write_all(&line).unwrap();
    }
    zip.finish().unwrap();
    let mut limits = options();
    limits.limits.expanded = 1 << 20;
    assert!(refusal(&[path], limits).contains("--max-expanded"));
}

#[test]
fn what_is_in_the_log_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let log = Arc::new(SegmentLog::open(&at("log")).unwrap());
    std::fs::write(at("AAAUSDT-aggTrades-2025-03.csv"), ROWS).unwrap();
    let packed = zstd::encode_all(ROWS.as_bytes(), 1).unwrap();
    std::fs::write(at("AAAUSDT-aggTrades-2025-03.csv.zst"), packed).unwrap();
    std::fs::copy(case("kraken_twins/rec.jsonl"), at("rec.jsonl")).unwrap();
    let import = |names: &[&str], again: bool| {
        let paths: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
        let mut writer = LogWriter::new(log.clone());
        let report = examine(&paths, Options { again, ..options() }).unwrap().write_to(&mut writer, &|| false).unwrap();
        report.files.iter().map(|file| (file.written, file.events())).collect::<Vec<_>>()
    };
    // The same packed in another way is the same.
    let whole = import(&["AAAUSDT-aggTrades-2025-03.csv", "AAAUSDT-aggTrades-2025-03.csv.zst", "rec.jsonl"], false);
    assert_eq!(
        whole.iter().map(|(written, _)| *written).collect::<Vec<_>>(),
        [Written::Whole, Written::Before, Written::Whole]
    );
    assert_eq!(
        import(&["rec.jsonl", "AAAUSDT-aggTrades-2025-03.csv.zst"], false),
        [(Written::Before, 0), (Written::Before, 0)]
    );
    assert_eq!(import(&["rec.jsonl"], true)[0].0, Written::Whole);
    // Of another instrument the same bytes are something else.
    std::fs::write(at("BBBUSDT-aggTrades-2025-03.csv"), ROWS).unwrap();
    assert_eq!(import(&["BBBUSDT-aggTrades-2025-03.csv"], false)[0].0, Written::Whole);
}

#[test]
fn what_was_begun_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let log = Arc::new(SegmentLog::open(&at("log")).unwrap());
    std::fs::write(at("AAAUSDT-aggTrades-2025-03.csv"), ROWS).unwrap();
    std::fs::write(at("nameless.csv"), "time,price,size,side\n1740996001,1,1,buy\n1740996001,1,1,buy\n").unwrap();
    let import = |name: &str, again: bool, events: u32| {
        let said = Options { exchange: Some("x".into()), symbol: Some("AAA".into()), ..options() };
        let options = Options { again, market: Some(prism_schemas::Market::Spot), ..said };
        let left = std::cell::Cell::new(events);
        let is_cancelled = || left.replace(left.get().saturating_sub(1)) == 0;
        let mut writer = LogWriter::new(log.clone());
        examine(&[at(name)], options).unwrap().write_to(&mut writer, &is_cancelled)
    };
    for name in ["AAAUSDT-aggTrades-2025-03.csv", "nameless.csv"] {
        assert!(import(name, false, 3).unwrap_err().to_string().contains("cancelled"));
    }
    let report = import("AAAUSDT-aggTrades-2025-03.csv", false, 100).unwrap();
    assert!(report.files[0].notes[0].contains("was begun and did not end"), "{report:?}");
    assert_eq!((report.files[0].written, report.files[0].of_type("trade")), (Written::Whole, 2));
    assert_eq!(import("AAAUSDT-aggTrades-2025-03.csv", false, 100).unwrap().files[0].written, Written::Before);
    // What nothing tells apart would count twice; that stops no other, and what was behind it is not begun.
    let report = import("nameless.csv", false, 100).unwrap();
    let refusal = &report.refused[0].1;
    assert!(refusal.contains("have no ids") && refusal.contains("--again"), "{refusal}");
    assert_eq!((report.files[0].written, report.refused.len()), (Written::Nothing, 1));
    let year = |at: u32| format!("time,price,size,side\n174{at}996001,1,{at},buy\n174{at}996002,1,{at},buy\n");
    std::fs::create_dir(at("both")).unwrap();
    (1..=2).for_each(|n| std::fs::write(at(&format!("both/{n}.csv")), year(n)).unwrap());
    assert!(import("both", false, 2).unwrap_err().to_string().contains("cancelled"));
    let report = import("both", false, 100).unwrap();
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert_eq!(report.files.iter().map(|file| file.written).collect::<Vec<_>>(), [Written::Nothing, Written::Whole]);
    assert_eq!(import("nameless.csv", true, 100).unwrap().files[0].written, Written::Whole);
    assert_eq!(import("nameless.csv", false, 100).unwrap().files[0].written, Written::Before);
}

#[test]
fn a_file_that_grows_is_read_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("AAAUSDT-aggTrades-2025-03.csv");
    std::fs::write(&path, ROWS).unwrap();
    let examined = examine(std::slice::from_ref(&path), options()).unwrap();
    std::fs::write(&path, format!("{ROWS}3,64010.3,0.02,3,3,1740996001270,fal")).unwrap();
    let report = examined.write(&mut |_, _| Ok(())).unwrap();
    assert_eq!(report.files[0].of_type("trade"), 2);
    assert!(report.files[0].notes[0].contains("it has grown since"), "{report:?}");
    // Other bytes in the same place are an error.
    let examined = examine(std::slice::from_ref(&path), options()).unwrap();
    std::fs::write(&path, format!("{}3,64010.3,0.02,3,3,1740996001270,fal", ROWS.replace("64010", "64011"))).unwrap();
    let error = examined.write(&mut |_, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("it changed while it was read"), "{error}");
}

#[test]
fn what_is_known_is_said_where_nothing_is() {
    let reason = refused_text("notes.txt", "dear reader\n", options());
    assert!(
        reason.contains("\"dear reader\"") && reason.contains("cryptofeed") && reason.contains("--formats"),
        "{reason}"
    );
    let nothing = refused_text(
        "AAAUSDT-aggTrades-2025-03.csv",
        "1,x,1,1,1,1740996001250,true\n2,y,1,1,1,1740996001250,true\n",
        options(),
    );
    assert!(nothing.contains("nothing of it can be read") && nothing.contains("line 1"), "{nothing}");
    assert!(refused_text("a.csv", "\u{feff}\r\n \n", options()).contains("empty"));
    assert!(
        prism_sources::import::FORMATS.iter().all(|format| !format.looks.is_empty() && !format.looks.contains('\n'))
    );
}
