"""The walls of an order book from base end to base end, and the rows of `book_walls`. METHODS.md 8, "Walls"."""

from bisect import bisect_right
from collections import namedtuple
from fractions import Fraction

from heat import told
from known import dated, versions

SECOND = 10**9
FEWEST, TIMES, AT_ONCE, STANDING = 10, 5, 5, 16

# A wall at a base end, in the book's units; `lost` is None at the first, `median` where there are too few levels.
Seen = namedtuple("Seen", "sign price size largest since lost median both ended")


class Wall:
    def __init__(self, since, size):
        self.since, self.size, self.largest = since, size, size


def near(side, both):
    """Keys within the reach and 1 % of mid, best first."""
    return side.keys[: min(side.within(), bisect_right(side.keys, side.sign * both * (100 + side.sign) // 200))]


def reaches(side, key):
    return side.whole or key <= (side.keys[-1] if side.limit is None else side.limit)


class Walls:
    """`end` is called at each base end behind an event, and at some where nothing happened."""

    def __init__(self, tallies):
        self.standing = {-1: {}, 1: {}}  # {key: wall} of a side
        self.tallies = tallies  # what happened, so that a test can see that it did

    def end(self, book, end):
        """[Seen] at a base end, as they are numbered."""
        top = book.top()
        if not top:
            self.tally("walls of a book that is not at hand", sum(map(len, self.standing.values())))
            self.standing = {-1: {}, 1: {}}
            return []
        seen = []
        for side in book.bids, book.asks:
            seen += sorted(self.of_side(side, top[0] + top[2], end), key=lambda wall: (wall.price, not wall.ended))
        return seen

    def of_side(self, side, both, end):
        standing, keys = self.standing[side.sign], near(side, both)
        sizes = sorted(side.sizes[key] for key in keys)
        median = sizes[(len(sizes) - 1) // 2] if len(sizes) >= FEWEST else None
        for key, wall in list(standing.items()):
            if not reaches(side, key):
                del standing[key]
                self.tally("wall beyond the reach")
                continue
            size = side.sizes.get(key, 0)
            lost, wall.size, wall.largest = max(wall.size - size, 0), size, max(wall.largest, size)
            ended = 2 * size < wall.largest
            self.tally("wall of half its largest", 2 * size == wall.largest)
            yield Seen(side.sign, abs(key), size, wall.largest, wall.since, lost, median, both, ended)
            if ended:
                del standing[key]
        if median is None:
            return
        # Best first, and sorting leaves equal ones as they are.
        large = sorted((key for key in keys if side.sizes[key] >= TIMES * median), key=lambda key: -side.sizes[key])
        for key in large[:AT_ONCE]:
            if key in standing:
                continue
            if len(standing) == STANDING:
                self.tally("too many walls")
                continue
            size = side.sizes[key]
            standing[key] = Wall(end, size)
            yield Seen(side.sign, abs(key), size, size, end, None, median, both, False)

    def tally(self, what, times=1):
        if times:
            self.tallies[what] += int(times)


# Rows


def shares(wall, size, taken):
    """What of it is lost, filled at most and pulled at least; `taken` is None where the bar has no flow."""
    if wall.lost is None:
        return {"lost": None, "filled_at_most": None, "pulled_at_least": None, "state": "new"}
    lost = Fraction(wall.lost, size)
    filled = None if taken is None else min(lost, taken)
    pulled = None if filled is None else lost - filled
    state = "standing"
    if wall.ended:
        state = "gone" if pulled is None else "pulled" if 2 * pulled >= lost else "filled"
    numbers = ("lost", lost), ("filled_at_most", filled), ("pulled_at_least", pulled)
    return {name: None if x is None else float(x) for name, x in numbers} | {"state": state}


def lasting(wall, end, units):
    """What a later version of the bar leaves as it is."""
    size = 10**units.size
    return {
        "ts_close": end, "side": "bid" if wall.sign < 0 else "ask", "price": wall.price / 10**units.price,
        "size": wall.size / size, "largest": wall.largest / size, "since": wall.since, "age": (end - wall.since) / SECOND,
        "times_median": None if wall.median is None else wall.size / wall.median,
        "distance_bps": 10_000 * abs(2 * wall.price - wall.both) / wall.both, "retracted": False,
    }  # fmt: skip


def wall_rows(rows, found, stored, prints):
    """{(start, wall): row}; `prints` are None where no bar has a flow."""
    table, size, price = {}, 10**rows.units.size, 10**rows.units.price
    for start, end, quality, version in told(rows, found, stored):
        bar = rows.bars[start]
        has_flow = prints and bar.source == "trades"
        later = has_flow and bar.revision and version and prints.known_after(start, version["known_at"])
        for number, wall in enumerate(rows.walls[end]):

            def of(known, wall=wall, has_flow=has_flow, start=start):
                taken = None
                if has_flow and wall.lost is not None:
                    taken = prints.taken(start, known, Fraction(wall.price, price), wall.sign > 0) if wall.lost else 0
                return shares(wall, size, taken)

            dates = dated(versions([version["known_at"], *later], of)) if later else version
            table[start, number] = lasting(wall, end, rows.units) | of(float("inf")) | {"quality": quality} | dates
    return table
