"""An order book from its events, as METHODS.md 8 says, in exact integers: prices and sizes count units of the finest decimals
that the instrument's events name anywhere."""

from bisect import bisect_left, bisect_right
from collections import Counter, deque

OLD_IN_A_ROW = 3
OLD_BEFORE_JOINED = 100
WAITING = 1_000
LARGEST = 2**63 - 1

CHANGED, IGNORED, BROKE = "changed", "ignored", "broke"


def decimals(text):
    """Without zeros at the end: 1.50 has one."""
    return len(text.partition(".")[2].rstrip("0"))


def scaled(text, places):
    whole, _, fraction = text.partition(".")
    return int(whole + fraction[:places].ljust(places, "0"))


class Units:
    """The finest decimals of an instrument's prices and sizes."""

    def __init__(self, events):
        self.price = max((decimals(p) for e in events for p, _ in (*e.bids, *e.asks)), default=0)
        self.size = max((decimals(s) for e in events for _, s in (*e.bids, *e.asks)), default=0)

    def levels(self, levels):
        """{price: size}; of a price named twice the last holds."""
        return {scaled(price, self.price): scaled(size, self.size) for price, size, *_ in levels}


class Side:
    """Levels of one side; the keys that are kept in order are prices times `sign`, best first."""

    def __init__(self, sign):
        self.sign = sign  # 1 for asks, -1 for bids
        self.keys, self.sizes = [], {}
        self.whole, self.limit = False, None  # the reach: everything, or up to the key `limit` (None: all there is)
        self.cut = None  # (key of the last level, levels) of a snapshot that was cut and whose depth is known

    def replace(self, levels):
        self.sizes = {self.sign * price: size for price, size in levels.items() if size}
        self.keys = sorted(self.sizes)

    def set(self, price, size):
        key = self.sign * price
        if size:
            if key not in self.sizes:
                self.keys.insert(bisect_left(self.keys, key), key)
            self.sizes[key] = size
        elif key in self.sizes:
            del self.sizes[key]
            del self.keys[bisect_left(self.keys, key)]

    def best(self):
        return self.keys[0] if self.keys else None

    def within(self):
        """How many levels are within the reach."""
        return len(self.keys) if self.whole or self.limit is None else bisect_right(self.keys, self.limit)


class Book:
    """The state machine. `rule` is "bybit", "spot" or "contracts" (of Binance)."""

    def __init__(self, rule, units):
        self.rule, self.units = rule, units
        self.bids, self.asks = Side(-1), Side(1)
        self.synced = self.joined = False
        self.broken = False  # out of step after a break
        self.last, self.old = None, 0
        self.waiting = deque(maxlen=WAITING)
        self.price_decimals = self.size_decimals = 0
        self.asked = None
        self.seen = Counter()  # what happened, so that a test can see that it did

    def apply(self, event):
        """CHANGED, IGNORED or BROKE."""
        if event.snapshot:
            return self.snapshot(event)
        return self.bybit_delta(event) if self.rule == "bybit" else self.binance_delta(event)

    def break_off(self, why, event, behind=()):
        """A delta that breaks waits for the next snapshot, and so do those `behind` it that would have joined this one."""
        self.seen["break: " + why] += 1
        self.synced, self.broken = False, True
        self.waiting.clear()
        if self.rule != "bybit":
            self.waiting.extend([*([] if event.snapshot else [event]), *behind])
        return BROKE

    def ignore(self, why):
        self.seen["ignored: " + why] += 1
        return IGNORED

    # Numbers

    def see_decimals(self, event, *standing):
        """Of an event that is taken, if its numbers and what is `standing` fit then; else it is not taken."""
        before, levels = (self.price_decimals, self.size_decimals), [*event.bids, *event.asks]
        self.price_decimals = max([self.price_decimals, *(decimals(price) for price, *_ in levels)])
        self.size_decimals = max([self.size_decimals, *(decimals(size) for _, size, *_ in levels)])
        can_be = all(float(price) > 0 and float(size) >= 0 for price, size, *_ in levels)
        if can_be and all(map(self.fits, [*standing, *(self.units.levels([level]) for level in levels)])):
            return True
        self.price_decimals, self.size_decimals = before
        return False

    def fits(self, levels):
        """Whether all prices (or their keys) and sizes are 64-bit numbers at the most decimals seen so far."""
        price = 10 ** (self.units.price - self.price_decimals)
        size = 10 ** (self.units.size - self.size_decimals)
        return all(abs(p) // price <= LARGEST and s // size <= LARGEST for p, s in levels.items())

    # Events

    def snapshot(self, event):
        """It and those that wait, one after another: what breaks, or does not follow, leaves the book unsynchronised."""
        if self.rule != "bybit" and self.synced and event.last <= self.last:
            return self.ignore("old snapshot")
        waiting, was_synced = list(self.waiting), self.synced
        if not self.see_decimals(event):
            return self.break_off("number does not fit, snapshot", event, waiting)
        self.asked = event.asked
        for side, levels in (self.bids, event.bids), (self.asks, event.asks):
            side.replace(self.units.levels(levels))
            self.set_reach(side)
        if self.crossed():
            return self.break_off("crossed snapshot", event, waiting)
        self.last, self.joined = event.last, False
        for place, delta in enumerate(waiting):
            if delta.last <= self.last:
                continue  # old by then, and ignored
            if not (self.follows(delta) if self.joined else self.joins(delta)):
                return self.ignore("snapshot that is not joined")
            if self.take(delta, waiting[place + 1 :]) == BROKE:
                return BROKE
        self.seen["snapshot" + (" over a synchronised book" if was_synced else "") + (", joined" if self.joined else "")] += 1
        self.synced, self.broken, self.old = True, False, 0
        self.waiting.clear()
        self.see_full()
        return CHANGED

    def set_reach(self, side):
        count, asked = len(side.keys), self.asked
        side.whole = not count or asked is not None and count < asked
        side.limit = side.cut = None
        if self.rule != "bybit" and not side.whole:
            side.limit = side.keys[-1]
            side.cut = (side.limit, count) if asked is not None else None

    def crossed(self):
        bid, ask = self.bids.best(), self.asks.best()
        return bid is not None and ask is not None and -bid >= ask

    def near_the_cut(self, side):
        return side.cut and bisect_right(side.keys, side.cut[0]) < -(-side.cut[1] // 4)

    def see_full(self):
        """After an event: of Bybit a side that has as many levels as were asked for is no longer whole."""
        for side in self.bids, self.asks:
            if self.rule == "bybit" and self.asked is not None and len(side.keys) >= self.asked:
                side.whole = False

    def joins(self, delta):
        return delta.previous <= self.last if self.rule == "contracts" else delta.first <= self.last + 1

    def follows(self, delta):
        return delta.previous == self.last if self.rule == "contracts" else delta.first == self.last + 1

    def old_delta(self, delta):
        self.old += 1
        if self.old > (OLD_IN_A_ROW if self.joined else OLD_BEFORE_JOINED):
            return self.break_off("old ones in a row", delta)
        return self.ignore("old delta")

    def bybit_delta(self, delta):
        if not self.synced:
            return self.ignore("delta without a book")
        if delta.last == self.last + 1:
            return self.take(delta)
        if delta.last == 1:
            return self.break_off("u = 1", delta)
        return self.old_delta(delta) if delta.last <= self.last else self.break_off("does not follow", delta)

    def binance_delta(self, delta):
        if not self.synced:
            self.waiting.append(delta)
            return self.ignore("waits")
        if delta.last <= self.last:
            return self.old_delta(delta)
        if not (self.follows(delta) if self.joined else self.joins(delta)):
            return self.break_off("does not follow", delta)
        return self.take(delta)

    def take(self, delta, behind=()):
        if not self.see_decimals(delta, self.bids.sizes, self.asks.sizes):
            return self.break_off("number does not fit", delta, behind)
        for side, levels in (self.bids, delta.bids), (self.asks, delta.asks):
            for price, size in self.units.levels(levels).items():
                side.set(price, size)
        self.last, self.joined, self.old = delta.last, True, 0
        if self.crossed():
            return self.break_off("crossed", delta, behind)
        if self.near_the_cut(self.bids) or self.near_the_cut(self.asks):
            return self.break_off("near the cut", delta, behind)
        self.seen["delta"] += 1
        self.see_full()
        return CHANGED

    def top(self):
        """(bid, its size, ask, its size) of a book that is at hand, else None."""
        if not self.synced or not self.bids.within() or not self.asks.within():
            return None
        bid, ask = self.bids.keys[0], self.asks.keys[0]
        return -bid, self.bids.sizes[bid], ask, self.asks.sizes[ask]
