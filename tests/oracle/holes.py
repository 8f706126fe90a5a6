"""Several instruments with holes, from synthetic files: imports and replays them, and compares every stored row.

`holes.py PRISM WORK` runs this alone; with `--disputed` it shows how prism differs in the cases of `disputed.py`.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as parquet

import compare
import disputed
import markets
import relations
import scenarios
from compare import FLOAT, INTEGER, TEXT, TIME, Comparison, columns, stored_column
from history import History
from scored import ROLES, Scored
from timeline import Table, round_up

SEED = 7
BENCHMARK = "BTCUSDT"
LEAST_ROWS = 250_000
NAMES = "bars indicators component_scores dimension_scores confluence signals relations".split()
TABLES = {name: (columns(TEXT, "symbol") + keys, values) for name, (keys, values) in compare.TABLES.items()}
TABLES["relations"] = (
    columns(TEXT, "symbol benchmark timeframe") + columns(INTEGER, "window") + columns(TIME, "ts"),
    columns(TIME, "ts_close") + columns(FLOAT, "alpha beta correlation r2 residual_volatility"),
)
CONSTANT = {"exchange": "binance", "market": "linear"}
SETTINGS = "[timeframes]\nmaintained = [{}]\nroles = [{}]\n".format(
    *(", ".join(f'"{name}"' for name in names) for names in (markets.FRAMES, ROLES))
)
FLAT, OMIT = {"flat": SETTINGS}, {"omit": SETTINGS + '[bars]\nempty = "omit"\n'}


# What should be stored.


def newest(files):
    """The largest receive time of an import: that of a kline is its end."""
    return max(row.time if file.kind == "trades" else row.end for file in files for row in file.rows)


def largest_event_time(imports):
    return max(row.time if file.kind == "trades" else row.start for files in imports for file in files for row in file.rows)


def by_symbol(imports):
    """{symbol: [(newest receive time of the imports before, files)]}.

    What is imported later is known as late as what came before it in its partition. Which instruments share one does not
    matter here: all that are part of an import which another follows end at the same instant.
    """
    symbols, floor = {}, 0
    for files in imports:
        for symbol in {file.symbol for file in files}:
            symbols.setdefault(symbol, []).append((floor, [file for file in files if file.symbol == symbol]))
        floor = max(floor, newest(files))
    return symbols


def state(imports, before, flat):
    """{table: {key: versions}} of all instruments, from what is known before an instant, and their histories."""
    until = largest_event_time(imports)
    rows, histories = {name: {} for name in NAMES}, {}
    for symbol, entries in sorted(by_symbol(imports).items()):
        histories[symbol] = History(symbol, entries, before, until, flat)
        for table, found in Scored(histories[symbol]).rows.items():
            rows[table].update(found)
    bars = {symbol: history.bars[ROLES[0]] for symbol, history in histories.items()}
    for symbol in bars.keys() - {BENCHMARK} if BENCHMARK in bars else ():
        rows["relations"].update(relations.rows(symbol, BENCHMARK, bars[symbol], bars[BENCHMARK], flat))
    return rows, histories


def run(imports, flat):
    """The tables with all versions. Between two instants at which something becomes known late, rows only come."""
    floors = {round_up(max(newest(files) for files in imports[:count])) for count in range(1, len(imports))}
    instants = [0, *sorted(floors), float("inf")]
    tables = {name: Table() for name in NAMES}
    for since, before in zip(instants, instants[1:]):
        rows, histories = state(imports, before, flat)
        for name, table in tables.items():
            for key, versions in rows[name].items():
                versions = [(max(known, since), values) for known, values in versions if known < before]
                for i, (known, values) in enumerate(versions):
                    if i + 1 == len(versions) or versions[i + 1][0] > known:
                        table.put(key, known, values)
            for key in table.rows.keys() - rows[name].keys():
                table.drop(key, since, withdrawn if name == "signals" else None)
    return tables, histories


def withdrawn(values):
    return values[:5] + ("withdrawn",) + values[6:]


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


def check_set(comparison, name, expected, got):
    comparison.compared += len(expected | got)
    for row in sorted(expected - got):
        comparison.differ(name, row, "rows", 1, 0)
    for row in sorted(got - expected):
        comparison.differ(name, row, "rows", 0, 1)
    print(f"{name}: {len(expected | got)} rows compared, {len(expected ^ got)} differ")


def check_statuses(comparison, histories):
    """Connections and missing trades of each instrument, each with when it is known."""
    expected = set()
    for symbol, history in histories.items():
        for spans, begins, ends in (
            (history.coverage.connections, "connected", "disconnected"),
            (history.coverage.missing, "gap", "resync_finished"),
        ):
            for span in spans:
                expected |= {(symbol, begins, span.first, span.known_first), (symbol, ends, span.last, span.known_last)}
    rows = stored(comparison, "feed_status", "symbol", "status", "ts", "known_at", "channel")
    check_set(comparison, "feed_status", expected, {row[:4] for row in rows if row[4] is None})


def check_quarantine(comparison, expected):
    """Numbers of rows by rule."""
    rules = [rule for rule, in stored(comparison, "quarantine", "rule")]
    for rule, count in expected.items():
        comparison.compared += count
        if rules.count(rule) != count:
            comparison.differ("quarantine", rule, "rows", count, rules.count(rule))


# Both together.


def scenario(binary, work, strict, title, imports, replays, klines=False):
    """(rows compared, rows that differ) of one log; `klines`: rows of `kline_differs` are counted, too."""
    folder = work / title.replace(" ", "_")
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    run_prism(binary.resolve(), imports, folder, replays)
    print(f"{title}: import and replay {time.monotonic() - started:.1f} s", flush=True)
    compared = differing = 0
    for name in replays:
        started = time.monotonic()
        print(f"{title}, {name}:")
        tables, histories = run(imports, name == "flat")
        comparison = Comparison(folder / name, strict, TABLES, CONSTANT)
        for table in NAMES:
            if tables[table].rows:
                comparison.table(table, tables[table].rows)
        comparison.late_events(sum(history.too_late for history in histories.values()))
        check_statuses(comparison, histories)
        expected = {"duplicate": sum(history.duplicates for history in histories.values())}
        if klines:
            expected["kline_differs"] = sum(history.differing_klines() for history in histories.values())
        check_quarantine(comparison, expected)
        comparison.check_config_hash()
        print(f"recomputation and comparison: {time.monotonic() - started:.1f} s", flush=True)
        compared += comparison.compared
        differing += comparison.differing
    return compared, differing


def check(binary, work, strict):
    """(rows compared, rows that differ) of all scenarios; `work` is a folder of this program's own."""
    results = [
        scenario(binary, work, strict, "one import", scenarios.one_import(SEED), FLAT),
        scenario(binary, work, strict, "several imports", scenarios.several_imports(SEED), FLAT | OMIT),
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
            scenario(binary, work, False, case.__name__, case(SEED), FLAT, klines=True)
        return 0
    compared, differing = check(binary, work, False)
    print(f"{compared} rows compared, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
