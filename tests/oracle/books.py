"""Recomputes what prism stores of order books, and of order flow, footprints, positions, structure, the dimensions
`orderbook`, `orderflow`, `pricestructure` and `sentiment`, and confluence, from raw frames of Binance and Bybit, recorded and
made, and compares every row. Which bars there are, and how they are, is taken from prism's table `bars`; what is read of
indicators, the other dimensions and the quality of confluence, which `oracle.py` compares, from prism, too.

`books.py --prism BIN --data DIR` compares; `--dry` needs no prism and shows what would be expected.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

import bookscores
import confluences
import frames
import madebooks
import madeedges
import madewalls
import positions
import sentiment
import setups
import signals
import tapes
from bookrows import NUMBERS, Bar, Rows, Settings, arrivals, rounded_up
from differences import Differences
from heat import heat_rows
from orderbook import CHANGED, Book, Units
from prints import Prints
from walls import wall_rows

MS, SECOND = 10**6, 10**9
RECORDED = ("hftbacktest/*.gz", "cryptofeed_v3_agpl/BYBIT.first25s.jsonl.zst", "cryptofeed/BINANCE*.jsonl.zst")
TIMES = (*signals.TIMES, "known_at", "since", "origin", "naked_poc_above_ts", "naked_poc_below_ts")
OF_POSITIONS = ("open_interest_analysis", "liquidation_analysis", "sentiment")
OF_BARS = ("order_flow", "footprint_analysis", "volume_profile", "setups", *OF_POSITIONS)
KEYS = {  # of the tables that are compared, beside ts
    "book_features": (), "component_scores": ("timeframe", "dimension", "component"),
    "dimension_scores": ("timeframe", "dimension"), "footprint": ("timeframe", "level"), "structure_levels": ("timeframe", "event"),
    "book_heat": ("bucket",), "book_walls": ("wall",), "confluence": (), "signals": ("signal_id",),
    "signal_events": ("signal_id", "event"),
} | dict.fromkeys(OF_BARS, ("timeframe",))  # fmt: skip
OF_DIMENSION = f"dimension IN {tuple(bookscores.WEIGHTS)}"
INDICATORS = ("adx_14", "vwap_day", *sentiment.READ)
TOPICS = ("books", "trades", "tickers", "liquidations", "reference")

CONFIGS = {
    "second": (Settings(SECOND, 100 * MS, 250 * MS, 7_200 * SECOND, 10 * SECOND), "1s 5s 15s 1m", ""),
    "minute": (Settings(60 * SECOND, MS, 0, 7_200 * SECOND, 10 * SECOND), "1m 5m 15m 1h", ""),
    "five": (Settings(5 * SECOND, 100 * MS, 20 * MS, 30 * SECOND, 2 * SECOND), "5s 15s 1m 5m", ""),
    "omit": (Settings(SECOND, MS, 20 * MS, 7_200 * SECOND, 10 * SECOND), "1s 5s 15s 1m", '[bars]\nempty = "omit"\n'),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prism", type=Path, help="the binary")
    parser.add_argument("--data", required=True, type=Path, help="folder with the recordings")
    parser.add_argument("--dry", action="store_true", help="no prism: every interval has an ok bar; prints some rows")
    parser.add_argument("--seeds", type=int, default=2, help="recordings of each kind that are made")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--only", default="", help="recordings whose name has this in it")
    parser.add_argument("--configs", default=",".join(CONFIGS), help="some of " + ", ".join(CONFIGS))
    parser.add_argument("--work", type=Path, help="folder for what is made, and for logs and stores")
    parser.add_argument("--keep", action="store_true", help="leave that folder in place")
    parser.add_argument("--row", action="append", default=[], help="print these rows, expected and stored: their ts begins so")
    return parser.parse_args()


def config_text(settings, timeframes, more):
    names = ", ".join(f'"{name}"' for name in timeframes.split())
    times = {"epoch": settings.epoch, "grace": settings.grace, "horizon": settings.horizon, "max_ahead": settings.max_ahead}
    lines = [f'{key} = "{value // MS}ms"' for key, value in times.items()]
    lines += ["[timeframes]", f"maintained = [{names}]", f"roles = [{names}]", signals.text(signals.BRISK), more]
    return "\n".join(["[time]", *lines])


# prism


def run(binary, *words):
    return subprocess.run([str(binary), *map(str, words)], capture_output=True, text=True, check=False)


def must(done):
    if done.returncode:
        raise RuntimeError(f"{' '.join(done.args)}: {done.stderr or done.stdout}")
    return done


def select(binary, store, statement):
    return json.loads(must(run(binary, "sql", "--store", store, "--format", "json", statement)).stdout or "[]")


def nanoseconds(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
    return int(seconds) * SECOND + int(fraction.ljust(9, "0") or 0)


def by_instrument(rows):
    found = defaultdict(list)
    for row in rows:
        found[frames.Instrument(row["exchange"], row["market"], row["symbol"])].append(row)
    return found


def bars_of(rows, base):
    return {
        nanoseconds(row["ts"]): Bar(
            nanoseconds(row["ts"]), row["quality"], row["source"], nanoseconds(row["known_at"]), row["revision"]
        )
        for row in rows
        if row["timeframe"] == base
    }


def role_bars(rows, timeframes):
    """{timeframe: RoleBars}; of what is no more (`retracted`) SQL shows nothing."""
    found = {name: [] for name in timeframes}
    for row in rows:
        start, end, known = (nanoseconds(row[column]) for column in ("ts", "ts_close", "known_at"))
        traded = (row[column] for column in bookscores.OF_TRADES.split())
        bar = bookscores.RoleBar(start, end, row["quality"], known, bool(row["revision"]), *traded)
        found[row["timeframe"]].append(bar)
    return found


def in_partitions(entries, topic):
    """A recording's events, or trades, as the log has them: by partition, whose records name their instruments."""
    records = {path: path.read_bytes() for path in sorted(topic.glob("*/*"))}

    def number_of(instrument):
        texts = [text.encode() for text in instrument]
        name = b"".join(bytes([10 + 8 * place, len(text)]) + text for place, text in enumerate(texts))
        return next((path.parent.name for path, bytes_ in records.items() if name in bytes_), instrument)

    return frames.partitions(entries, number_of)


def arrived_of(partitions, settings, clock):
    return {instrument: found for each in partitions for instrument, found in arrivals(each, settings, clock).items()}


def contract_of(rows):
    """(size, when it was first known) of an instrument that has one."""
    told = [(nanoseconds(row["known_at"]), row["contract_size"]) for row in rows if row["contract_size"] is not None]
    return (Fraction(str(min(told)[1])), min(told)[0]) if told else None


# Comparison


def newest(rows, *keys):
    """{(start, *keys): row} of stored rows, times as numbers."""
    found = {}
    for row in rows:
        row |= {column: nanoseconds(row[column]) for column in TIMES if row.get(column)}
        found[(row["ts"], *(row[key] for key in keys))] = row
    return found


def compare(options, path, told_of, config, log, folder, differences):
    settings, timeframes, more = CONFIGS[config]
    file, store = folder / f"{config}.toml", folder / config
    file.write_text(config_text(settings, timeframes, more), encoding="ascii")
    must(run(options.prism, "replay", "--log", log, "--store", store, "--seal", "--config", file))

    def read(table, columns="*", where="TRUE"):
        return by_instrument(select(options.prism, store, f"SELECT {columns} FROM {table} WHERE {where}"))

    bars, declared, told = read("bars"), read("instruments"), read("feed_status", where="channel = 'book'")
    indicators = read("indicators", ", ".join(("ts, exchange, market, symbol, timeframe", *INDICATORS)))
    others = read("dimension_scores", where=f"NOT {OF_DIMENSION}")
    stored = {table: read(table, where=OF_DIMENSION if "dimension" in keys else "TRUE") for table, keys in KEYS.items()}
    arrived, traded, *of_told = (arrived_of(told_of[topic], settings, topic in TOPICS[:2]) for topic in TOPICS)
    unknown = set(arrived) - set(bars)
    if unknown:
        print(f"{path.name}, {config}: no bars of {', '.join(sorted(i.symbol for i in unknown))}")
    for instrument in sorted(set(arrived).union(traded, *stored.values())):
        states = [(nanoseconds(r["ts"]), r["status"], nanoseconds(r["known_at"])) for r in told[instrument]]
        contract = contract_of(declared[instrument]) if instrument.market == "inverse" else None
        names, of_instrument = timeframes.split(), bars[instrument]
        bars_of_base = bars_of(of_instrument, names[0])
        rows = Rows(instrument, arrived.get(instrument, ()), bars_of_base, settings, contract, states)
        found = rows.rows()
        closes = {start: {"ts_close": start + settings.base, "retracted": False} for start in found}
        expected = {"book_features": {(start,): row | closes[start] for start, row in found.items()}}
        values = {(row["timeframe"], nanoseconds(row["ts"])): row for row in indicators[instrument]}
        of_store = {table: newest(stored[table][instrument], *keys) for table, keys in KEYS.items()}
        once = {start for (start,), row in of_store["book_features"].items() if not row["revision"]}
        tape = tapes.Tape(instrument, traded.get(instrument, ()), settings, contract)
        roles = role_bars(of_instrument, names)
        flows = {name: tape.flows(roles[name]) for name in names}
        sentiments = {}
        if instrument.market != "spot":
            tickers, forced, series = (entries.get(instrument, ()) for entries in of_told)
            told_ = positions.Told([*tickers, *series], forced, settings, contract, instrument.market == "inverse")
            held = {name: positions.Positions(told_, roles[name]) for name in names}
            sentiments = {name: sentiment.Sentiment(held[name], atrs_of(values, name)) for name in names}
        expected |= of_positions(sentiments)
        of_others = newest(others[instrument], "timeframe", "dimension")
        scored = bookscores.Scored(rows, found, once, roles, values, flows, sentiments, of_others)
        expected |= {"component_scores": scored.components, "dimension_scores": scored.dimensions}
        qualities = {start: row["quality"] for (start,), row in of_store["confluence"].items()}
        expected["confluence"] = confluences.rows(scored, qualities)
        of_signals = signals.rows(scored, expected["confluence"], instrument, signals.BRISK)
        expected |= zip(signals.TABLES, of_signals)
        expected["order_flow"] = scored.flows
        expected["structure_levels"], expected["volume_profile"] = scored.of_structure()
        expected["setups"] = setups.rows(scored)
        expected["footprint"], expected["footprint_analysis"] = scored.of_footprints(roles, tape)
        prints = Prints(instrument, traded.get(instrument, ()), settings, contract, tape)
        expected["book_heat"] = heat_rows(rows, found, of_store["book_features"])
        expected["book_walls"] = wall_rows(rows, found, of_store["book_features"], prints)
        for table, of_table in of_store.items():
            place = f"{path.name} {config} {instrument.market} {instrument.symbol}"
            differences.rows(table, place, expected[table], of_table, options.row)


def atrs_of(indicators, name):
    return {start: row["atr_14"] for (timeframe, start), row in indicators.items() if timeframe == name}


def of_positions(sentiments):
    """{table: {(start, timeframe): row}}."""
    found = {table: {} for table in OF_POSITIONS}
    for name, told in sentiments.items():
        for table, histories in zip(OF_POSITIONS, (told.held.open, told.held.forced, told.told)):
            found[table] |= told.held.rows(histories, name)
    return found


# Recordings


def recordings(options, folder):
    paths = [path for pattern in RECORDED for path in sorted(options.data.glob(pattern))]
    if not paths:
        raise SystemExit(f"no recordings in {options.data}")
    folder.mkdir(parents=True, exist_ok=True)
    paths.append(madeedges.make_edges(folder))
    paths += [make(folder, market) for make in (madeedges.make_held, madeedges.make_forgotten) for market in madeedges.SILENCES]
    paths += madewalls.make_all(folder)
    for seed in range(options.seed, options.seed + options.seeds):
        paths += [madebooks.make(folder, kind, seed) for kind in madebooks.KINDS]
    return [path for path in paths if options.only in path.name]


def check_tops(recording):
    """(compared, differing): best prices after a delta that the venue told itself, under the same number."""
    compared = differing = 0
    for instrument, tops in recording.tops.items():
        events = recording.events[instrument]
        book = Book("spot" if instrument.market == "spot" else "contracts", Units(events))
        for event in events:
            if book.apply(event) == CHANGED and event.last in tops and book.top():
                (bid, bid_size), (ask, ask_size) = (
                    next(iter(book.units.levels([level]).items())) for level in (tops[event.last][:2], tops[event.last][2:])
                )
                compared += 1
                differing += book.top() != (bid, bid_size, ask, ask_size)
    return compared, differing


def ok_bars(name, first, last, settings):
    length = int(name[:-1]) * {"s": 1, "m": 60, "h": 3_600}[name[-1]] * SECOND
    ends = range(first // length * length + length, last + length, length)
    return [bookscores.RoleBar(end - length, end, "ok", rounded_up(end + settings.grace, settings.epoch), False) for end in ends]


def dry(path, recording, config, seen):
    settings, timeframes, _ = CONFIGS[config]
    lines = []
    for instrument, events in sorted(recording.events.items()):
        first, last = (function(e.received for e in events) // settings.base * settings.base for function in (min, max))
        roles = {name: ok_bars(name, first, last, settings) for name in timeframes.split()}
        bars = {bar.start: Bar(bar.start, "ok", "trades", bar.known, 0) for bar in roles[timeframes.split()[0]]}
        contract = (Fraction(100 if "BTC" in instrument.symbol else 10), 0) if instrument.market == "inverse" else None
        arrived = arrivals([(instrument, event) for event in events], settings)[instrument]
        found = Rows(instrument, arrived, bars, settings, contract)
        rows = found.rows()
        seen.update(found.book.seen)
        seen["clock"] += len(events) - len(arrived)
        qualities = Counter(row["quality"] for row in rows.values())
        seen.update({f"row: {quality}": count for quality, count in qualities.items()})
        indicators = {(name, bar.start): {"adx_14": 20.0} for name in roles for bar in roles[name]}
        scored = bookscores.Scored(found, rows, set(rows), roles, indicators, {}, {}, {})
        seen.update(f"component: {timeframe} {component}" for _, timeframe, _, component in scored.components)
        seen.update(f"divergence: {row['div_type']}" for row in scored.components.values())
        seen.update(f"wall: {row['state']}" for row in wall_rows(found, rows, {}, None).values())
        nulls = sum(row[column] is None for row in rows.values() for column in NUMBERS)
        counts = ", ".join(f"{count} {quality}" for quality, count in sorted(qualities.items()))
        lines.append(f"    {instrument.symbol}: {len(events)} events, {len(rows)} rows ({counts}; {nulls} nulls)")
        best = [row for row in rows.values() if row["quality"] == "ok"]
        if best:
            row = best[len(best) // 2]
            shown = "bid bid_size ask ask_size microprice bid_depth_5 ask_depth_50bp imbalance_5 slippage_buy_10k ofi mid_mean"
            lines.append("        " + ", ".join(f"{column} {row[column]}" for column in shown.split()))
    print(f"{path.name}, {config}\n" + "\n".join(lines), flush=True)


def main():
    options = arguments()
    configs = options.configs.split(",")
    work = options.work or Path(tempfile.mkdtemp(prefix="prism-books-"))
    if not options.dry and not options.prism:
        raise SystemExit("--prism BIN, or --dry")
    differences, seen, tops = Differences(), Counter(), Counter()
    try:
        for path in recordings(options, work / "made"):
            started = time.monotonic()
            recording = frames.Recording(path)
            compared, differing = check_tops(recording)
            tops.update(compared=compared, differing=differing)
            if options.dry:
                for config in configs:
                    dry(path, recording, config, seen)
                continue
            folder = work / path.name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            must(run(options.prism, "import", path, "--log", folder / "log"))
            before = differences.compared, differences.differing
            told = (recording.all, recording.trades, recording.tickers, recording.forced, recording.series)
            told = zip(TOPICS, told)
            told = {topic: in_partitions(entries, folder / "log" / f"prism.{topic}") for topic, entries in told}
            for config in configs:
                compare(options, path, told, config, folder / "log", folder, differences)
            counts = differences.compared - before[0], differences.differing - before[1]
            print(f"{path.name}: {counts[0]} rows, {counts[1]} differ, {time.monotonic() - started:.1f} s", flush=True)
            if not options.keep:
                shutil.rmtree(folder)
    finally:
        if not options.keep:
            shutil.rmtree(work / "made", ignore_errors=True)
            if not options.work:
                shutil.rmtree(work)
    print(f"best prices that the venue told under the same number: {tops['compared']} compared, {tops['differing']} differ")
    if options.dry:
        print("; ".join(f"{what} {count}" for what, count in sorted(seen.items())))
        return 1 if tops["differing"] else 0
    differences.show()
    print("; ".join(f"{count} {quality}" for quality, count in sorted(differences.qualities.items())), end="; ")
    print(f"{differences.nulls} of {differences.numbers} numbers are null")
    for table, count in differences.tables.items():
        dated, revised = differences.dated[table], differences.revised[table]
        print(f"{table}: {count} rows, {dated} of them with their versions, {revised} of these with several")
    print(f"{differences.compared} rows compared, {differences.differing} differ")
    return 1 if differences.differing or tops["differing"] or not differences.compared else 0


if __name__ == "__main__":
    sys.exit(main())
