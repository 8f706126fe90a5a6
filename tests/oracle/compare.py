"""Comparison of the stored Parquet tables with the expected rows, each row with its known_at and revision."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

import flows
import footprints
import setups
import structure
from indicators import NAMES
from timeline import EXCHANGE, MARKET, SYMBOL

TOLERANCE = 1e-9  # absolute, plus the same relative to the larger value
NOISE_MAX = 0.1  # share of the revised rows whose count of versions may hang on last bits
NOISY = {"component_scores", "dimension_scores", "confluence"}
# (table, column): a wider one. Scores are points of 100: this is 1e-10 of that. Those of realised_spread are made of
# differences of mean prices, over themselves.
COLUMN_TOLERANCE = {("component_scores", "raw_score"): 1e-8, ("component_scores", "score"): 1e-8}
EXACT = {"footprint", "footprint_analysis"}  # of these a number is the nearest double of an exact one

TIME, TEXT, INTEGER, FLOAT, FLAG = "time", "text", "integer", "float", "flag"


def columns(kind, names):
    return [(name, kind) for name in names.split()]


FOOTPRINT_KINDS = {"n_levels": INTEGER, "n_buy_imbalances": INTEGER, "n_sell_imbalances": INTEGER}
FOOTPRINT_KINDS |= {"stacked_buys": INTEGER, "stacked_sells": INTEGER}
FOOTPRINT_KINDS |= {"naked_poc_above_ts": TIME, "naked_poc_below_ts": TIME}
EVENT_KINDS = {"kind": TEXT, "side": TEXT, "state": TEXT, "origin": TIME}
FLOW_COLUMNS = columns(INTEGER, flows.COUNTS) + columns(FLOAT, flows.SUMS)
# Key columns, then value columns in the order of the expected values.
TABLES = {
    "bars": (
        columns(TEXT, "timeframe") + columns(TIME, "ts"),
        columns(TIME, "ts_close")
        + columns(FLOAT, "open high low close volume turnover buy_volume sell_volume")
        + columns(INTEGER, "n_trades n_buys")
        + columns(FLOAT, "vwap")
        + columns(TEXT, "first_trade_id last_trade_id source quality"),
    ),
    "indicators": (
        columns(TEXT, "timeframe") + columns(TIME, "ts"),
        columns(TIME, "ts_close") + columns(FLOAT, " ".join(NAMES)) + columns(TEXT, "quality"),
    ),
    "order_flow": (
        columns(TEXT, "timeframe") + columns(TIME, "ts"),
        columns(TIME, "ts_close")
        + [(name + end, kind) for end in flows.WHOLE_AND_SLOTS for name, kind in FLOW_COLUMNS]
        + columns(TEXT, "worth"),
    ),
    "footprint": (
        columns(TEXT, "timeframe") + columns(TIME, "ts") + columns(INTEGER, "level"),
        columns(TIME, "ts_close")
        + columns(FLOAT, footprints.LEVEL_PRICES)
        + columns(INTEGER, footprints.LEVEL_COUNTS)
        + columns(FLOAT, footprints.LEVEL_SIZES)
        + columns(FLAG, footprints.LEVEL_FLAGS),
    ),
    "footprint_analysis": (
        columns(TEXT, "timeframe") + columns(TIME, "ts"),
        columns(TIME, "ts_close") + [(name, FOOTPRINT_KINDS.get(name, FLOAT)) for name in footprints.ANALYSIS_COLUMNS],
    ),
    "structure_levels": (
        columns(TEXT, "timeframe") + columns(TIME, "ts") + columns(INTEGER, "event"),
        columns(TIME, "ts_close") + [(name, EVENT_KINDS.get(name, FLOAT)) for name in structure.EVENT_COLUMNS],
    ),
    "volume_profile": (
        columns(TEXT, "timeframe") + columns(TIME, "ts"),
        columns(TIME, "ts_close") + columns(FLOAT, " ".join(structure.PROFILE_COLUMNS)),
    ),
    "setups": (
        columns(TEXT, "timeframe") + columns(TIME, "ts"),
        columns(TIME, "ts_close") + [(name, TEXT if name.endswith("basis") else FLOAT) for name in setups.COLUMNS],
    ),
    "component_scores": (
        columns(TEXT, "timeframe") + columns(TIME, "ts") + columns(TEXT, "dimension component"),
        columns(TIME, "ts_close")
        + columns(FLOAT, "raw_value raw_score div")
        + columns(TEXT, "div_type")
        + columns(FLOAT, "score weight impact")
        + columns(TEXT, "label")
        + columns(FLOAT, "coverage"),
    ),
    "dimension_scores": (
        columns(TEXT, "timeframe") + columns(TIME, "ts") + columns(TEXT, "dimension"),
        columns(TIME, "ts_close") + columns(FLOAT, "score weight impact coverage"),
    ),
    "confluence": (
        columns(TIME, "ts"),
        columns(TIME, "ts_close")
        + columns(TEXT, "profile")
        + columns(FLOAT, "score coverage")
        + columns(FLOAT, "technical_score technical_weight technical_contribution technical_coverage")
        + columns(FLOAT, "volume_score volume_weight volume_contribution volume_coverage")
        + columns(FLOAT, "orderflow_score orderflow_weight orderflow_contribution orderflow_coverage")
        + columns(FLOAT, "pricestructure_score pricestructure_weight pricestructure_contribution pricestructure_coverage")
        + columns(FLOAT, "sentiment_score sentiment_weight sentiment_contribution sentiment_coverage")
        + columns(TEXT, "consensus")
        + columns(FLOAT, "consensus_strength reliability reliability_quality reliability_coverage")
        + columns(FLOAT, "reliability_agreement reliability_calibration price")
        + columns(TEXT, "quality"),
    ),
    "signals": (
        columns(TEXT, "signal_id"),
        columns(TIME, "ts ts_close")
        + columns(TEXT, "timeframe profile signal status")
        + columns(TIME, "status_ts")
        + columns(FLOAT, "score strength reliability price entry_price stop_loss")
        + columns(TEXT, "stop_basis")
        + columns(FLOAT, "target_1 target_2 risk_reward position_size_percent")
        + columns(TIME, "stop_ts target_1_ts target_2_ts"),
    ),
    "signal_events": (
        columns(TEXT, "signal_id event"),
        columns(TIME, "ts ts_close") + columns(TEXT, "timeframe") + columns(TIME, "event_ts") + columns(FLOAT, "price score"),
    ),
}
CONSTANT = {"exchange": EXCHANGE, "market": MARKET, "symbol": SYMBOL}
TAIL = columns(TIME, "known_at") + columns(INTEGER, "revision") + [("retracted", FLAG)]


def in_microseconds(value):
    return None if value is None else value * 1000


def stored_column(table, name, kind):
    column = table.column(name).combine_chunks()
    if kind == TIME:
        column = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    elif kind == TEXT:
        column = column.cast(pa.string())
    return column.to_pylist()


class Comparison:
    """Counts of rows compared and rows that differ, and the first differences."""

    def __init__(self, store, strict, tables=TABLES, constant=CONSTANT, show=20):
        # A store of one replay holds its rows in that run's folder.
        runs = sorted(Path(store).glob("run_id=*"))
        self.store = runs[0] if len(runs) == 1 else Path(store)
        self.strict, self.show = strict, show
        self.tables, self.constant = tables, constant
        self.compared = self.differing = self.revised = 0
        self.config_hashes = set()

    def differ(self, table, key, column, expected, got):
        self.differing += 1
        if self.differing <= self.show:
            print(f"differs: {table} {key} {column}: expected {expected!r}, got {got!r}")

    def read(self, name):
        """{key: versions in order of revision}, each (known_at, retracted, values, revision)."""
        keys, values = self.tables[name]
        found = {}
        files = sorted((self.store / name).glob("*.parquet"))
        if not files:
            print(f"{name}: no files in the store")
        for file in files:
            table = parquet.ParquetFile(file).read()
            wanted = keys + values + TAIL
            missing = {c for c, _ in wanted} | set(self.constant) | {"config_hash"}
            missing -= set(table.column_names)
            if missing:
                self.differ(name, file.name, "columns", sorted(missing), "missing")
                wanted = [(c, kind) for c, kind in wanted if c not in missing]
            for column, value in self.constant.items():
                if column not in missing and set(stored_column(table, column, TEXT)) - {value}:
                    self.differ(name, file.name, column, value, "other values")
            if "config_hash" not in missing:
                self.config_hashes |= set(stored_column(table, "config_hash", TEXT))
            lists = {c: stored_column(table, c, kind) for c, kind in wanted}
            lists.update({c: [None] * table.num_rows for c in missing})
            self.check_day(name, file, lists["ts"])
            rows = zip(
                zip(*(lists[c] for c, _ in keys)),
                lists["known_at"],
                lists["retracted"],
                zip(*(lists[c] for c, _ in values)),
                lists["revision"],
            )
            for key, *version in rows:
                found.setdefault(key, []).append(tuple(version))
        for versions in found.values():
            versions.sort(key=lambda version: (version[3], version[0]))
        return found

    def check_day(self, name, file, times):
        day = {str(value)[:10] for value in pa.array({t - t % 86_400_000_000 for t in times}, pa.timestamp("us")).to_pylist()}
        if day - {file.stem}:
            self.differ(name, file.name, "ts", "rows of that day", sorted(day))

    def table(self, name, expected_rows):
        """Compares one table and prints its line of the summary."""
        keys, columns_ = self.tables[name]
        kinds = [kind for _, kind in columns_]
        times = [i for i, kind in enumerate(kinds) if kind == TIME]
        key_times = [i for i, (_, kind) in enumerate(keys) if kind == TIME]
        tolerances = [0.0 if name in EXACT else COLUMN_TOLERANCE.get((name, c), TOLERANCE) for c, _ in columns_]
        before = (self.compared, self.differing, self.revised)
        self.invisible = 0

        expected = {}
        for key, versions in expected_rows.items():
            key = tuple(in_microseconds(v) if i in key_times else v for i, v in enumerate(key))
            expected[key] = [
                (known * 1000, retracted, tuple(in_microseconds(v) if i in times else v for i, v in enumerate(values)))
                for known, retracted, values in versions
            ]
        stored = self.read(name)

        for key in sorted(expected.keys() | stored.keys()):
            self.versions(name, key, expected.get(key, []), stored.get(key, []), columns_, tolerances)
        compared, differing, revised = (now - old for now, old in zip((self.compared, self.differing, self.revised), before))
        print(
            f"{name}: {len(expected)} keys, {compared} rows compared, {revised} of them revisions, "
            f"{self.invisible} with versions that hang on last bits, {differing} differ"
        )

    def difference(self, a, b, columns_, tolerances):
        """(column, a's value, b's value) of the first difference of two rows' values, or None."""
        if a == b:
            return None
        for x, y, (column, kind), tolerance in zip(a, b, columns_, tolerances):
            if x == y:
                continue
            if kind == FLOAT and x is not None and y is not None:
                if abs(x - y) <= tolerance + tolerance * max(abs(x), abs(y)):
                    continue
            return column, x, y
        return None

    def versions(self, name, key, expected, stored, columns_, tolerances):
        """Compares the stored row of a key, its newest version, with the last of its expected history.

        Whether the last bits of a sum moved depends on the order of additions, so an expected version whose values equal
        those before within the tolerance is optional: the row may count it or not. `--strict` does without this.
        """
        self.compared += 1
        if len(stored) != 1 or not expected:
            self.differ(name, key, "rows", min(len(expected), 1), len(stored))
            return
        known, retracted, values, revision = stored[0]
        if revision:
            self.revised += 1
        found = self.difference(expected[-1][2], values, columns_, tolerances)
        if found:
            self.differ(name, key, *found)
        elif expected[-1][1] != retracted:
            self.differ(name, key, "retracted", expected[-1][1], retracted)
        elif (known, revision) != (expected[-1][0], len(expected) - 1):
            optional = [self.is_optional(expected, i, columns_, tolerances) for i in range(len(expected))]
            last_sure = max(i for i, skip in enumerate(optional) if not skip)
            least = len(expected) - 1 - sum(optional)
            # A version of the last bits may also be on the other side only; it then is the newest or one between.
            noisy = any(optional) or (not self.strict and name in NOISY and self.invisible < NOISE_MAX * max(self.revised, 200))
            if not noisy or revision < least or known < expected[last_sure][0]:
                self.differ(name, key, "known_at, revision", (expected[-1][0], len(expected) - 1), (known, revision))
            else:
                self.invisible += 1

    def is_optional(self, versions, index, columns_, tolerances):
        if self.strict or index == 0 or versions[index][1] != versions[index - 1][1]:
            return False
        return not self.difference(versions[index][2], versions[index - 1][2], columns_, tolerances)

    def late_events(self, expected):
        files = sorted((self.store / "late_events").glob("*.parquet"))
        stored = sum(parquet.ParquetFile(file).metadata.num_rows for file in files)
        self.compared += expected
        if stored != expected:
            self.differ("late_events", (), "rows", expected, stored)
        print(f"late_events: {expected} rows expected, {stored} stored")

    def check_config_hash(self):
        if len(self.config_hashes) != 1 or not all(self.config_hashes):
            self.differ("all tables", (), "config_hash", "one value", sorted(map(str, self.config_hashes)))
