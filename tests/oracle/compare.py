"""Comparison of the stored Parquet tables with the expected rows, version by version."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from indicators import NAMES
from timeline import EXCHANGE, MARKET, SYMBOL

TOLERANCE = 1e-9  # absolute, plus the same relative to the larger value
COLUMN_TOLERANCE = {}  # (table, column): a wider one, with the reason

TIME, TEXT, INTEGER, FLOAT = "time", "text", "integer", "float"


def columns(kind, names):
    return [(name, kind) for name in names.split()]


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
        columns(TIME, "ts_close") + columns(FLOAT, " ".join(NAMES)),
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
        + columns(FLOAT, "score strength reliability price"),
    ),
}
CONSTANT = {"exchange": EXCHANGE, "market": MARKET, "symbol": SYMBOL}
TAIL = columns(TIME, "known_at") + columns(INTEGER, "revision") + [("retracted", "flag")]


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

    def __init__(self, store, strict, show=20):
        self.store, self.strict, self.show = Path(store), strict, show
        self.compared = self.differing = self.revised = 0
        self.config_hashes = set()

    def differ(self, table, key, column, expected, got):
        self.differing += 1
        if self.differing <= self.show:
            print(f"differs: {table} {key} {column}: expected {expected!r}, got {got!r}")

    def read(self, name):
        """{key: versions in order of revision}, each (known_at, retracted, values, revision)."""
        keys, values = TABLES[name]
        found = {}
        files = sorted((self.store / name).glob("*.parquet"))
        if not files:
            print(f"{name}: no files in the store")
        for file in files:
            table = parquet.ParquetFile(file).read()
            wanted = keys + values + TAIL
            missing = {c for c, _ in wanted} | set(CONSTANT) | {"config_hash"}
            missing -= set(table.column_names)
            if missing:
                self.differ(name, file.name, "columns", sorted(missing), "missing")
                wanted = [(c, kind) for c, kind in wanted if c not in missing]
            for column, value in CONSTANT.items():
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
        keys, columns_ = TABLES[name]
        kinds = [kind for _, kind in columns_]
        times = [i for i, kind in enumerate(kinds) if kind == TIME]
        key_times = [i for i, (_, kind) in enumerate(keys) if kind == TIME]
        tolerances = [COLUMN_TOLERANCE.get((name, c), TOLERANCE) for c, _ in columns_]
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
            f"{self.invisible} versions without a visible change on one side only, {differing} differ"
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
        """Walks both histories of a key in knowledge time.

        A version on one side only is no difference if its values equal the version before within the tolerance: whether
        the last bits of a sum moved depends on the order of additions. `--strict` does without this.
        """
        e = s = 0
        for index, version in enumerate(stored):
            if version[3] != index:
                self.differ(name, key, "revision", index, version[3])
                break
            if index and version[0] <= stored[index - 1][0]:
                self.differ(name, key, "known_at", f"after {stored[index - 1][0]}", version[0])
                break
        while e < len(expected) or s < len(stored):
            self.compared += 1
            expected_time = expected[e][0] if e < len(expected) else None
            stored_time = stored[s][0] if s < len(stored) else None
            if expected_time == stored_time:
                self.same_time(name, key, expected[e], stored[s], columns_, tolerances)
                e, s = e + 1, s + 1
            elif stored_time is None or (expected_time is not None and expected_time < stored_time):
                if not self.is_invisible(expected, e, columns_, tolerances):
                    self.differ(name, key, "version", f"known at {expected_time}", stored_time)
                e += 1
            else:
                if not self.is_invisible(stored, s, columns_, tolerances):
                    self.differ(name, key, "version", expected_time, f"known at {stored_time}")
                s += 1

    def same_time(self, name, key, expected, stored, columns_, tolerances):
        if stored[3]:
            self.revised += 1
        found = self.difference(expected[2], stored[2], columns_, tolerances)
        if expected[1] != stored[1]:
            self.differ(name, (*key, expected[0]), "retracted", expected[1], stored[1])
        elif found:
            self.differ(name, (*key, expected[0]), *found)

    def is_invisible(self, versions, index, columns_, tolerances):
        if self.strict or index == 0 or versions[index][1] != versions[index - 1][1]:
            return False
        if self.difference(versions[index][2], versions[index - 1][2], columns_, tolerances):
            return False
        self.invisible += 1
        return True

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
