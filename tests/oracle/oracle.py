"""Replays real trades with some of them late, and synthetic ones with holes, through prism and compares every stored row
with an independent recomputation."""

import argparse
import gc
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import holes
import recording
import signals
import timeline
from compare import Comparison

SOURCE = "bitmex_1m_trades/Bitmex_XBTUSD_1M.csv.zst"
CSV, CONFIG, HOLES = "Bitmex_XBTUSD_late.csv", "oracle.toml", "holes"
OF_SIGNALS = signals.OFTEN._replace(bullish=51.0, bearish=49.0, hysteresis=0.5)
LEAST_ROWS = 100_000  # of a comparison over the full recording


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prism", required=True, type=Path, help="the binary")
    parser.add_argument("--data", required=True, type=Path, help=f"folder with {SOURCE}")
    parser.add_argument("--rows", type=int, default=1_000_000, help="trades to use, from the first on")
    parser.add_argument("--late", type=int, default=1_000, help="trades to delay")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=Path, help="folder for the recording, the log and the store")
    parser.add_argument("--keep", action="store_true", help="leave that folder in place")
    parser.add_argument("--strict", action="store_true", help="versions must match even where only the last bits moved")
    return parser.parse_args()


def run_prism(binary, csv, work):
    """Imports and replays the recording; the folder of the store."""
    names = ", ".join(f'"{name}"' for name, _ in timeline.ROLES)
    config = work / CONFIG
    config.write_text(f"[timeframes]\nmaintained = [{names}]\nroles = [{names}]\n{signals.text(OF_SIGNALS)}")
    log, store = work / "log", work / "store"
    for folder in (log, store):
        shutil.rmtree(folder, ignore_errors=True)
    binary = binary.resolve()
    commands = (
        [binary, "import", csv, "--log", log],
        [binary, "replay", "--log", log, "--store", store, "--seal", "--config", config],
    )
    for command in commands:
        started = time.monotonic()
        subprocess.run([str(word) for word in command], check=True)
        print(f"prism {command[1]}: {time.monotonic() - started:.1f} s", flush=True)
    return store


def check(options, work):
    header, lines = recording.read_lines(options.data / SOURCE, options.rows)
    lines = recording.permute(lines, options.late, options.seed)
    csv = work / CSV
    recording.write_csv(csv, header, lines)
    store = run_prism(options.prism, csv, work)

    started = time.monotonic()
    engine, too_late = timeline.run(lines, OF_SIGNALS)
    print(f"recomputation: {time.monotonic() - started:.1f} s", flush=True)

    started = time.monotonic()
    comparison = Comparison(store, options.strict)
    for name, table in engine.tables.items():
        comparison.table(name, table.rows)
    print(signals.summary(engine.tables["signal_events"]))
    comparison.late_events(too_late)
    comparison.check_config_hash()
    print(f"comparison: {time.monotonic() - started:.1f} s")
    least = LEAST_ROWS * len(lines) // 1_000_000
    if comparison.compared < least:
        print(f"too few rows were compared: {comparison.compared} < {least}")
    if not comparison.revised:
        print("no row had a revision above 0")
    passed = not comparison.differing and comparison.compared >= least and comparison.revised > 0

    compared, differing = holes.check(options.prism, work / HOLES, options.strict)
    print(f"{comparison.compared + compared} rows compared, {comparison.differing + differing} differ")
    return passed and not differing


def remove(work, whole):
    """Removes what this program made; a folder that was given stays."""
    for folder in (work / "log", work / "store", work / HOLES):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (work / CSV, work / CONFIG):
        file.unlink(missing_ok=True)
    if whole:
        work.rmdir()


def main():
    options = arguments()
    gc.disable()  # nothing here refers to itself in a circle
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
    work = options.work or Path(tempfile.mkdtemp(prefix="prism-oracle-"))
    try:
        return 0 if check(options, work.resolve()) else 1
    finally:
        if not options.keep:
            remove(work, whole=not options.work)


if __name__ == "__main__":
    sys.exit(main())
