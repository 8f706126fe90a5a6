//! Feather as freqtrade keeps it (pandas `to_feather`, lz4 by default): read whole, and harmless when damaged.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, TimestampMillisecondArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use prism_schemas::event::event::Body;
use prism_sources::import::{Examined, Options, examine, read};

const START: i64 = 1_704_067_200_000;

fn feather(compression: Option<CompressionType>, n: i64) -> Vec<u8> {
    let minutes =
        TimestampMillisecondArray::from_iter_values((0..n).map(|at| START + at * 60_000)).with_timezone("UTC");
    let column = |value: f64| Arc::new(Float64Array::from_iter_values((0..n).map(|_| value))) as ArrayRef;
    let columns = [("open", 100.0), ("high", 102.0), ("low", 99.5), ("close", 101.0), ("volume", 7.25)];
    let columns = columns.map(|(name, value)| (name, column(value)));
    let date = [("date", Arc::new(minutes) as ArrayRef)];
    let batch = RecordBatch::try_from_iter(date.into_iter().chain(columns)).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

const COMPRESSIONS: [Option<CompressionType>; 3] =
    [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];

#[test]
fn bars_are_read_however_they_are_packed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("BTC_USDT-1m.feather");
    for compression in COMPRESSIONS {
        std::fs::write(&path, feather(compression, 200)).unwrap();
        let mut klines = Vec::new();
        let report = read(std::slice::from_ref(&path), Options::default(), &mut |_, event| {
            klines.extend(match event.body {
                Some(Body::Kline(kline)) => Some(kline),
                _ => None,
            });
            Ok(())
        });
        assert_eq!((klines.len(), report.unwrap().files[0].format), (200, "feather"), "{compression:?}");
        let kline = &klines[199];
        assert_eq!(kline.start / 1_000_000, START + 199 * 60_000);
        assert_eq!([kline.close.unwrap().to_f64(), kline.volume.unwrap().to_f64()], [101.0, 7.25]);
    }
}

fn examined(path: &Path, options: Options) -> Examined {
    examine(&[path.to_path_buf()], options).unwrap()
}

#[test]
fn no_byte_that_is_another_does_more_than_stop_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("BTC_USDT-1m.feather");
    // What panics within is caught, and would fill the output.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for compression in COMPRESSIONS {
        let whole = feather(compression, 20);
        for at in (0..whole.len()).step_by(5) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            std::fs::write(&path, damaged).unwrap();
            let _ = examined(&path, Options::default()).count(None, &|| false);
        }
    }
    std::panic::set_hook(hook);
}

/// A prefix may say that little expands to anything.
#[test]
fn what_expands_too_much_is_told_before_it_is_expanded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("BTC_USDT-1m.feather");
    for compression in COMPRESSIONS {
        std::fs::write(&path, feather(compression, 200_000)).unwrap();
        let mut options = Options::default();
        options.limits.expanded = 1 << 20;
        let examined = examined(&path, options);
        let (_, reason) = &examined.report().refused[0];
        assert!(reason.contains("--max-expanded"), "{compression:?}: {reason}");
    }
}
