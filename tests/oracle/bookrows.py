"""The rows of `book_features` of one instrument, from its book events and the bars of its base timeframe."""

from collections import defaultdict, namedtuple
from fractions import Fraction

import heat
from orderbook import BROKE, CHANGED, Book, Units
from walls import Walls

DEPTHS, BANDS, IMBALANCES = (5, 10, 25), (10, 50, 100, 200), (1, 5, 10, 25)
TAKEN = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1m": 1_000_000}
NINE = 10**9

AT_END = (
    ["bid", "bid_size", "ask", "ask_size", "mid", "spread", "spread_bps", "microprice"]
    + [f"{side}_depth_{n}" for n in DEPTHS for side in ("bid", "ask")]
    + [f"{side}_depth_{n}bp" for n in BANDS for side in ("bid", "ask")]
    + [f"imbalance_{n}" for n in IMBALANCES]
    + ["imbalance_weighted"]
    + [f"slippage_{side}_{name}" for name in TAKEN for side in ("buy", "sell")]
    + heat.COLUMNS
)
OVER = ["ofi", "spread_mean", "mid_mean", "imbalance_mean"]
ALWAYS = ["live_share", "n_updates"]
NUMBERS = AT_END + OVER + ALWAYS

Settings = namedtuple("Settings", "base epoch grace horizon max_ahead")  # ns
Bar = namedtuple("Bar", "start quality source known revision")


def rounded_up(time, epoch):
    return -(-time // epoch) * epoch


def start_of(time, base):
    return time // base * base


def arrivals(partition, settings, clock=True):
    """{instrument: [(event, when it became known)]} of a partition's [(instrument, event)], without those that are
    `clock`, if any of its topic is."""
    found, newest = defaultdict(list), None
    for instrument, event in partition:
        end = start_of(event.time, settings.base) + settings.base
        if clock and newest is not None and min(event.received - end, event.received - newest) > settings.horizon:
            continue
        newest = event.received if newest is None else max(newest, event.received)
        found[instrument].append((event, rounded_up(newest, settings.epoch)))
    return found


class Interval:
    """What happened within [s, e)."""

    def __init__(self):
        self.live = self.spread = self.mid = self.imbalance = 0  # ns, and integrals over ns
        self.ofi = self.updates = 0
        self.broken = False  # a break in it, or out of step after one
        self.told_late = []  # knowledge times of deltas that say so


class Rows:
    """`events` = [(event, known)]; `bars` by start; `contract` = (contract size as a Fraction, when that is known) of inverse
    contracts, if declared; `states` = [(event time, status, known)] of channel `book`."""

    def __init__(self, instrument, events, bars, settings, contract=None, states=()):
        self.instrument, self.settings, self.bars = instrument, settings, bars
        self.contract, self.states = contract, states
        self.units = Units([event for event, _ in events])
        rule = "bybit" if instrument.exchange == "bybit" else "spot" if instrument.market == "spot" else "contracts"
        self.book = Book(rule, self.units)
        self.intervals, self.at_end, self.heat, self.walls = {}, {}, {}, {}
        self.standing_walls = Walls(self.book.seen)
        self.counted = []  # (instant, when it became known) of each snapshot that counted
        self.first = None  # start of the interval of the first event
        self.ends = sorted(start + settings.base for start in bars)
        self.next_end = 0
        self.run(events)

    def interval(self, start):
        return self.intervals.setdefault(start, Interval())

    def start_of(self, time):
        return start_of(time, self.settings.base)

    def closed(self, known):
        """E(k)."""
        settings = self.settings
        return start_of(known - settings.epoch - settings.grace, settings.base)

    def close(self, end):
        return rounded_up(end + self.settings.grace, self.settings.epoch)

    # The events, in order

    def run(self, events):
        settings, instant = self.settings, None
        for event, known in events:
            if event.time > event.received + settings.max_ahead:
                event = event._replace(time=event.received)
            then = max(self.closed(known), event.time)
            if instant is None:
                instant, self.first = then, self.start_of(then)
            self.pass_time(instant, max(instant, then))
            instant = max(instant, then)
            self.happen(event, instant, known)
        if instant is not None and self.ends:
            self.pass_time(instant, max(instant, self.ends[-1]))
            self.take_ends(self.ends[-1])

    def pass_time(self, since, until):
        """The book as it stands, over [since, until); and at the ends up to `until`, that of before the event there."""
        top, broken, base = self.book.top(), self.book.broken, self.settings.base
        if top and until > since:
            bid, bid_size, ask, ask_size = top
            difference, total = bid_size - ask_size, bid_size + ask_size
            share = abs(difference) * NINE // total * (1 if difference > 0 else -1)
        start = self.start_of(since)
        while start < until and (top or broken):
            part = min(until, start + base) - max(since, start)
            if part > 0:
                interval = self.interval(start)
                interval.broken |= broken
                if top:
                    interval.live += part
                    interval.spread += part * (ask - bid)
                    interval.mid += part * (ask + bid)
                    interval.imbalance += part * share
            start += base
        first = self.start_of(since) + base
        if first <= until and first - base not in self.bars:
            self.standing_walls.end(self.book, first)  # of no bar, but what happened is seen there
        self.take_ends(until)

    def take_ends(self, until):
        while self.next_end < len(self.ends) and self.ends[self.next_end] <= until:
            end = self.ends[self.next_end]
            self.at_end[end] = self.numbers()
            if self.at_end[end]:
                self.heat[end] = heat.heat(self.book)
                self.at_end[end] |= heat.columns(self.book, self.heat[end])
            self.walls[end] = self.standing_walls.end(self.book, end)
            self.next_end += 1

    def happen(self, event, instant, known):
        before = self.book.top()
        outcome = self.book.apply(event)
        after = self.book.top()
        interval = self.interval(self.start_of(instant))
        if before and after:
            (b1, q1, a1, r1), (b, q, a, r) = before, after
            interval.ofi += (b >= b1) * q - (b <= b1) * q1 - (a <= a1) * r + (a >= a1) * r1
        if outcome == BROKE:
            interval.broken = True
        if outcome != CHANGED:
            return
        interval.updates += 1
        if event.snapshot:
            self.counted.append((instant, known))
            return
        end, closed = self.start_of(event.time) + self.settings.base, self.closed(known)
        if end <= closed:
            self.book.seen["late delta"] += 1
        while end <= closed:
            if known - end <= self.settings.horizon:
                self.interval(end - self.settings.base).told_late.append(known)
            end += self.settings.base

    # Numbers of the book as it stands

    def numbers(self):
        """{column: number or None}, {} if the book is not at hand."""
        top = self.book.top()
        if not top:
            return {}
        bid, bid_size, ask, ask_size = top
        price, size = 10**self.units.price, 10**self.units.size
        found = {
            "bid": bid / price, "bid_size": bid_size / size, "ask": ask / price, "ask_size": ask_size / size,
            "mid": (bid + ask) / (2 * price), "spread": (ask - bid) / price, "spread_bps": 20_000 * (ask - bid) / (bid + ask),
            "microprice": (bid * ask_size + ask * bid_size) / (price * (bid_size + ask_size)),
        }  # fmt: skip
        both = bid + ask
        sums = {}
        for name, side in ("bid", self.book.bids), ("ask", self.book.asks):
            keys = side.keys[: side.within()]
            for n in sorted({*DEPTHS, *IMBALANCES}):
                enough = len(keys) >= n or side.whole
                sums[name, n] = sum(side.sizes[key] for key in keys[:n]) if enough else None
            for n in DEPTHS:
                found[f"{name}_depth_{n}"] = None if sums[name, n] is None else sums[name, n] / size
            for n in BANDS:
                # Times 20,000, as (bid + ask) / 2 x (1 -+ n / 10,000) is; keys of bids are negative.
                bound = both * (10_000 + n) if side.sign > 0 else -both * (10_000 - n)
                reached = side.whole or bound <= keys[-1] * 20_000
                total = sum(side.sizes[key] for key in keys if key * 20_000 <= bound)
                found[f"{name}_depth_{n}bp"] = total / size if reached else None
            taker = "buy" if name == "ask" else "sell"
            for label, amount in TAKEN.items():
                found[f"slippage_{taker}_{label}"] = self.slippage(side, keys, Fraction(amount), Fraction(both, 2 * price))
        for n in IMBALANCES:
            b, a = sums["bid", n], sums["ask", n]
            found[f"imbalance_{n}"] = None if b is None or a is None else (b - a) / (b + a)
        found["imbalance_weighted"] = None if found["imbalance_25"] is None else self.imbalance_weighted(both)
        return found

    def imbalance_weighted(self, both):
        """A level counts 1 / (1 + d / 10), d in basis points from mid, which is `both` / 2."""
        bids, asks = (
            sum(side.sizes[key] * both / (both + 1_000 * abs(2 * abs(key) - both)) for key in side.keys[: min(25, side.within())])
            for side in (self.book.bids, self.book.asks)
        )
        return (bids - asks) / (bids + asks)

    def slippage(self, side, keys, amount, mid):
        inverse = self.instrument.market == "inverse"
        if inverse and not self.contract:
            return None
        left, base = amount, Fraction(0)
        for key in keys:
            price, size = Fraction(abs(key), 10**self.units.price), Fraction(side.sizes[key], 10**self.units.size)
            worth = size * self.contract[0] if inverse else price * size
            taken = min(left, worth)
            base += taken / price
            left -= taken
            if not left:
                return float(side.sign * 10_000 * (amount / base / mid - 1))
        return None

    # Rows

    def rows(self):
        """{start: {column: value}} with `quality`, and `known_at` and `revision` where the bar was never changed."""
        found = {}
        for start, bar in sorted(self.bars.items()):
            if self.first is None or start < self.first:
                continue
            end = start + self.settings.base
            interval = self.intervals.get(start) or Interval()
            row = dict.fromkeys(NUMBERS)
            row |= {"live_share": interval.live / self.settings.base, "n_updates": interval.updates}
            versions = self.qualities(bar, interval, end)
            row["quality"] = versions[-1][1]
            if row["quality"] != "gap":
                row |= self.at_end[end] if self.known_contract(bar) else self.without_slippage(self.at_end[end])
                row |= self.means(interval)
            if not bar.revision:
                row |= {"known_at": versions[-1][0], "revision": len(versions) - 1}
            elif bar.known - end > self.settings.horizon:
                row = {column: row[column] for column in ALWAYS}  # the rest is as an earlier version of the bar says
            found[start] = row
        return found

    def known_contract(self, bar):
        return not self.contract or self.contract[1] <= bar.known

    def without_slippage(self, numbers):
        return {name: value for name, value in numbers.items() if not name.startswith("slippage")}

    def means(self, interval):
        price, size = 10**self.units.price, 10**self.units.size
        return {
            "ofi": interval.ofi / size,
            "spread_mean": interval.spread / (interval.live * price),
            "mid_mean": interval.mid / (2 * interval.live * price),
            "imbalance_mean": interval.imbalance / (interval.live * NINE),
        }

    def qualities(self, bar, interval, end):
        """[(known, quality)], each other than the one before."""
        told = sorted({*interval.told_late, *self.suspected(end)})
        versions = []
        for known in [bar.known, *(known for known in told if known > bar.known)]:
            late = any(other <= known for other in told)
            if bar.quality == "gap" or not interval.live:
                quality = "gap"
            elif bar.quality == "suspect" or interval.broken or late:
                quality = "suspect"
            elif bar.quality == "partial" or bar.source == "venue" or interval.live < self.settings.base:
                quality = "partial"
            else:
                quality = "ok"
            if not versions or versions[-1][1] != quality:
                versions.append((known, quality))
        return versions

    def suspected(self, end):
        """Knowledge times of the states of channel `book` that say that the interval is suspect."""
        start, found = end - self.settings.base, []
        for time, status, known in self.states:
            if status not in ("gap", "resync_started"):
                continue
            finished = [other for other, word, _ in self.states if word == "resync_finished" and other >= time]
            until = min(finished + [instant for instant, when in self.counted if when > known], default=float("inf"))
            if time < end and start < until and (known <= self.close(end) or known - end <= self.settings.horizon):
                found.append(known)
        return found
