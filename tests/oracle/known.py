"""Versions of rows that change with what becomes known: which there are, how the newest is dated, and tables of them."""

from collections import namedtuple

LAST_BITS = 1e-11  # of numbers, relative to the larger one, or absolute

Version = namedtuple("Version", "known values")


class Among(frozenset):
    """One of these, whichever."""

    def __eq__(self, other):
        return other in self

    __hash__ = frozenset.__hash__


def versions(instants, of):
    """Of what is at each of the instants, None where it is not: those that are other than the one before."""
    found = []
    for known in instants:
        values = of(known)
        if (found or values is not None) and not (found and found[-1].values == values):
            found.append(Version(known, values))
    return found


def dated(found):
    """`known_at` and `revision` of the newest version.

    Whether the last bits of a number moved depends on the order of additions: a version in which nothing else did may
    count or not."""
    surely = [place for place in range(len(found)) if not place or not is_same(found[place - 1].values, found[place].values)]
    known, revisions = {version.known for version in found[surely[-1] :]}, range(len(surely) - 1, len(found))
    return {"known_at": either(known), "revision": either(revisions)}


def either(values):
    return min(values) if len(values) == 1 else Among(values)


def is_same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= LAST_BITS * max(1.0, abs(a), abs(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_same(a[name], b[name]) for name in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(is_same, a, b))
    return a == b


class Table:
    """Versions by key: lists of (known_at, retracted, values)."""

    def __init__(self):
        self.rows = {}

    def put(self, key, time, values):
        history = self.rows.setdefault(key, [])
        if not history or history[-1][1:] != (False, values):
            history.append((time, False, values))

    def drop(self, key, time, change=None):
        """Retracts a row if it exists; `change` may alter its last values."""
        history = self.rows.get(key)
        if history and not history[-1][1]:
            values = history[-1][2]
            history.append((time, True, change(values) if change else values))

    def last(self):
        """Values of every row that is not retracted."""
        return {key: history[-1][2] for key, history in self.rows.items() if not history[-1][1]}


class Numbered:
    """A table of which each bar has a number of rows, while it is written: those that are no more are retracted."""

    def __init__(self, table):
        self.table, self.written = table, {}  # {key of the bar: numbers}

    def put(self, key, time, end, rows):
        for number in self.written.get(key, set()) - rows.keys():
            self.table.drop((*key, number), time)
        for number, values in rows.items():
            self.table.put((*key, number), time, (end, *values))
        self.written[key] = set(rows)
