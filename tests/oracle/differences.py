"""The rows of two sides, expected and stored, and where they differ."""

from collections import Counter, defaultdict
from datetime import datetime, timezone

from bookrows import NUMBERS

MS, SECOND = 10**6, 10**9
TOLERANCE = 1e-9  # absolute, and relative to the larger value
# Scores are points of 100: these are 1e-10 of that. Those of realised_spread are made of differences of mean prices, over
# themselves, and `div` of a quarter of differences of scores.
COLUMN_TOLERANCE = {"raw_score": 1e-8, "score": 1e-8, "div": 1e-8}
EXACT = "ts_close", "since", "retracted", "known_at", "revision"
EXACT_TABLES = "footprint", "footprint_analysis"
EXAMPLES = 3


def in_words(time_):
    return datetime.fromtimestamp(time_ // SECOND, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ % SECOND // MS:03d}Z"


class Differences:
    def __init__(self):
        self.compared = self.differing = self.nulls = self.numbers = 0
        self.kinds, self.examples = Counter(), defaultdict(list)
        self.qualities, self.tables = Counter(), Counter()
        self.dated, self.revised = Counter(), Counter()  # rows whose versions are compared, and those that have several

    def tell(self, column, kind, example):
        self.kinds[column, kind] += 1
        if len(self.examples[column, kind]) < EXAMPLES:
            self.examples[column, kind].append(example)

    def row(self, table, where, expected, stored):
        self.compared += 1
        self.tables[table] += 1
        self.dated[table] += bool(expected and "revision" in expected)
        self.revised[table] += bool(expected and expected.get("revision", 0) != 0)
        wrong = list(self.differences(table, expected, stored))
        for column, kind, a, b in wrong:
            self.tell(f"{table}: {column}", kind, f"{where}: expected {a!r}, stored {b!r}")
        self.differing += bool(wrong)
        if expected and table == "book_features":
            self.qualities[expected.get("quality", "as before")] += 1
            self.numbers += sum(column in expected for column in NUMBERS)
            self.nulls += sum(column in expected and expected[column] is None for column in NUMBERS)

    def rows(self, table, place, expected, stored, shown):
        """`expected` and `stored` by (start, *more)."""
        for key in sorted(expected.keys() | stored.keys()):
            a, b = expected.get(key), stored.get(key)
            where = " ".join([place, in_words(key[0]), *map(str, key[1:])])
            self.row(table, where, a, b)
            if any(in_words(key[0]).startswith(wanted) for wanted in shown):
                print(f"{table} {where}\n  expected {a}\n  stored   {b}")

    def differences(self, table, expected, stored):
        if expected is None or stored is None:
            yield "row", "is not expected" if expected is None else "is missing", expected, stored
            return
        for column, a in expected.items():  # what is not there depends on earlier versions of the bar
            b = stored.get(column, "no such column")
            if a == b:
                continue
            exact = column in EXACT or table in EXACT_TABLES
            if isinstance(a, (int, float)) and isinstance(b, (int, float)) and not exact:
                if abs(a - b) <= COLUMN_TOLERANCE.get(column, TOLERANCE) * max(1.0, abs(a), abs(b)):
                    continue
                yield column, "other number", a, b
            else:
                yield column, "null" if a is None or b is None else "other value", a, b

    def show(self):
        for (column, kind), count in sorted(self.kinds.items()):
            print(f"differs: {column}, {kind}: {count} rows")
            for example in self.examples[column, kind]:
                print(f"    {example}")
