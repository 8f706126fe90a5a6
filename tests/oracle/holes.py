"""Several instruments with holes, from synthetic files: imports and replays them, and compares every stored row.

`holes.py PRISM WORK` runs this alone; with `--disputed` it shows how prism differs in the cases of `disputed.py`.
"""

import shutil
import subprocess
import sys
import time
from collections import Counter, namedtuple
from pathlib import Path

import pyarrow.parquet as parquet

import compare
import disputed
import madefootprints
import madesetups
import madestructure
import markets
import relations
import scenarios
import signals
from compare import FLOAT, INTEGER, TEXT, TIME, Comparison, columns, stored_column
from history import History
from known import Table
from scored import ROLES, Scored
from timeline import round_up

SEED = 7
BENCHMARK = "BTCUSDT"
LEAST_ROWS = 300_000
NAMES = "bars indicators order_flow footprint footprint_analysis structure_levels volume_profile setups component_scores"
NAMES = f"{NAMES} dimension_scores confluence signals signal_events relations".split()
TABLES = {name: (columns(TEXT, "symbol") + keys, values) for name, (keys, values) in compare.TABLES.items()}
TABLES["relations"] = (
    columns(TEXT, "symbol benchmark timeframe") + columns(INTEGER, "window") + columns(TIME, "ts"),
    columns(TIME, "ts_close") + columns(FLOAT, "alpha beta correlation r2 residual_volatility"),
)
CONSTANT = {"exchange": "binance", "market": "linear"}
SETTINGS = "[timeframes]\nmaintained = [{}]\nroles = [{}]\n".format(
    *(", ".join(f'"{name}"' for name in names) for names in (markets.FRAMES, ROLES))
)
# Of these there are many signals; without such a section of settings there are few.
OF_SIGNALS = {"flat": signals.OFTEN, "omit": signals.DEFAULT}
FLAT, OMIT = {"flat": SETTINGS + signals.text(signals.OFTEN)}, {"omit": SETTINGS + '[bars]\nempty = "omit"\n'}
RULES = ("duplicate", "kline_differs", "kline_holds_more", "kline_too_late")

Floors = namedtuple("Floors", "trades klines states")  # the newest receive time of each topic before an import


# What should be stored.


def largest_event_time(imports):
    return max(row.time if file.kind == "trades" else row.start for files in imports for file in files for row in file.rows)


def by_symbol(imports):
    """{symbol: [(floors, files)]}.

    What is imported later is known as late as what came before it in its partition. Which instruments share one does not
    matter here: where another import follows, their newest trades, and klines, are received at the same instant.
    """
    symbols, trades, klines = {}, 0, 0
    for files in imports:
        floors = Floors(trades, klines, max(trades, klines))
        for symbol in {file.symbol for file in files}:
            symbols.setdefault(symbol, []).append((floors, [file for file in files if file.symbol == symbol]))
        trades = max([trades, *(row.time for file in files if file.kind == "trades" for row in file.rows)])
        klines = max([klines, *(row.end for file in files if file.kind != "trades" for row in file.rows)])
    return symbols


def state(symbols, earlier, since, before, until, name):
    """{table: {key: versions}} of all instruments, from what is known before an instant, and their histories; `earlier`
    are those before `since`."""
    rows, histories, flat = {table: {} for table in NAMES}, {}, name == "flat"
    for symbol, entries in sorted(symbols.items()):
        histories[symbol] = History(symbol, entries, earlier.get(symbol), since, before, until, flat)
        for table, found in Scored(histories[symbol], OF_SIGNALS[name]).rows.items():
            rows[table].update(found)
    bars = {symbol: history.bars[ROLES[0]] for symbol, history in histories.items()}
    for symbol in bars.keys() - {BENCHMARK} if BENCHMARK in bars else ():
        rows["relations"].update(relations.rows(symbol, BENCHMARK, bars[symbol], bars[BENCHMARK], flat))
    return rows, histories


def run(imports, name):
    """The tables of a replay with all versions. Between two instants at which something becomes known late, rows only come."""
    symbols, until = by_symbol(imports), largest_event_time(imports)
    floors = {round_up(floor) for entries in symbols.values() for floors, _ in entries for floor in floors}
    instants = [*sorted({0} | floors), float("inf")]
    tables, histories = {table: Table() for table in NAMES}, {}
    for since, before in zip(instants, instants[1:]):
        rows, histories = state(symbols, histories, since, before, until, name)
        for of_table, table in tables.items():
            for key, versions in rows[of_table].items():
                versions = [(max(known, since), values) for known, values in versions if known < before]
                if not versions or versions[0][0] > since:
                    table.drop(key, since)  # something of a signal that did not happen and happens again
                for i, (known, values) in enumerate(versions):
                    if i + 1 == len(versions) or versions[i + 1][0] > known:
                        table.put(key, known, values)
            for key in table.rows.keys() - rows[of_table].keys():
                table.drop(key, since, signals.withdrawn if of_table == "signals" else None)
    return tables, histories


# What is stored.


def run_prism(binary, imports, work, replays):
    """Imports the files and replays the log once for each of {name: configuration}."""
    for number, files in enumerate(imports):
        folder = work / f"import{number}"
        for file in files:
            markets.write(folder, file)
        quietly(binary, "import", "--market", "linear", "--log", work / "log", folder)
    for name, settings in replays.items():
        config = work / f"{name}.toml"
        config.write_text(settings)
        quietly(binary, "replay", "--log", work / "log", "--store", work / name, "--seal", "--config", config)


def quietly(*command):
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def stored(comparison, table, *names):
    """Rows of a table, each with the given columns as text, times in milliseconds."""
    rows = []
    for file in sorted((comparison.store / table).glob("*.parquet")):
        data = parquet.ParquetFile(file).read()
        lists = []
        for name in names:
            is_time = name in ("ts", "known_at")
            values = stored_column(data, name, TIME if is_time else TEXT)
            lists.append([value // 1000 for value in values] if is_time else values)
        rows += zip(*lists)
    return rows


def check_counts(comparison, name, expected, got):
    differing = comparison.differing
    for row in sorted(expected | got, key=str):
        if expected[row] != got[row]:
            comparison.differ(name, row, "rows", expected[row], got[row])
    compared = (expected | got).total()
    comparison.compared += compared
    print(f"{name}: {compared} rows compared, {comparison.differing - differing} differ")


def check_statuses(comparison, histories):
    """Connections, missing trades and histories of klines of each instrument, each with when it is known; of two
    recordings that say the same of one instant there is one row, the later one."""
    expected = {}

    def add(symbol, channel, spans, begins="connected", ends="disconnected"):
        for span in spans:
            for status, time, known in (begins, span.first, span.known_first), (ends, span.last, span.known_last):
                key = symbol, channel, status, time
                expected[key] = max(known, expected.get(key, 0))

    for symbol, history in histories.items():
        for recording in history.coverage.recordings:
            add(symbol, None, [recording.connection])
            add(symbol, None, recording.missing, "gap", "resync_finished")
        for name, spans in history.coverage.histories.items():
            add(symbol, f"klines_{name}", spans)
    rows = stored(comparison, "feed_status", "symbol", "channel", "status", "ts", "known_at")
    expected = Counter((*key, known) for key, known in expected.items())
    check_counts(comparison, "feed_status", expected, Counter(rows))


def check_quarantine(comparison, histories):
    """Numbers of rows by instrument, rule and when they are known."""
    expected = Counter()
    for symbol, history in histories.items():
        expected.update((symbol, rule, known) for rule, known, _ in history.quarantine)
    rows = stored(comparison, "quarantine", "symbol", "rule", "known_at")
    check_counts(comparison, "quarantine", expected, Counter(row for row in rows if row[1] in RULES))


# Both together.


def scenario(binary, work, strict, title, imports, replays):
    """(rows compared, rows that differ) of one log."""
    folder = work / title.replace(" ", "_")
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    run_prism(binary.resolve(), imports, folder, replays)
    print(f"{title}: import and replay {time.monotonic() - started:.1f} s", flush=True)
    compared = differing = 0
    for name in replays:
        started = time.monotonic()
        print(f"{title}, {name}:")
        tables, histories = run(imports, name)
        comparison = Comparison(folder / name, strict, TABLES, CONSTANT)
        for table in NAMES:
            if tables[table].rows:
                comparison.table(table, tables[table].rows)
        print(signals.summary(tables["signal_events"]))
        comparison.late_events(sum(history.too_late for history in histories.values()))
        check_statuses(comparison, histories)
        check_quarantine(comparison, histories)
        comparison.check_config_hash()
        print(f"recomputation and comparison: {time.monotonic() - started:.1f} s", flush=True)
        compared += comparison.compared
        differing += comparison.differing
    return compared, differing


def check(binary, work, strict):
    """(rows compared, rows that differ) of all scenarios; `work` is a folder of this program's own."""
    madefootprints.check()
    madestructure.check()
    madesetups.check()
    results = [
        scenario(binary, work, strict, "footprints", madefootprints.scenario(SEED), FLAT | OMIT),
        scenario(binary, work, strict, "structure", madestructure.scenario(), FLAT | OMIT),
        scenario(binary, work, strict, "setups", madesetups.scenario(SEED), FLAT | OMIT),
        scenario(binary, work, strict, "one import", scenarios.one_import(SEED), FLAT),
        scenario(binary, work, strict, "several imports", scenarios.several_imports(SEED), FLAT | OMIT),
        scenario(binary, work, strict, "edges", scenarios.edges(SEED), FLAT),
        scenario(binary, work, strict, "known late", scenarios.known_late(SEED), FLAT),
        scenario(binary, work, strict, "topics", scenarios.topics(SEED), FLAT),
    ]
    compared, differing = map(sum, zip(*results))
    if compared < LEAST_ROWS:
        print(f"too few rows were compared: {compared} < {LEAST_ROWS}")
        differing += 1
    return compared, differing


def main():
    binary, work = Path(sys.argv[1]), Path(sys.argv[2])
    if sys.argv[3:] == ["--disputed"]:
        for case in disputed.CASES:
            print(f"\n{case.__name__}: {case.__doc__ or ''}")
            scenario(binary, work, False, case.__name__, case(SEED), FLAT)
        return 0
    compared, differing = check(binary, work, False)
    print(f"{compared} rows compared, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
