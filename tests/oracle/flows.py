"""The order flow of bars with its table, and the dimension `orderflow` that reads it. METHODS.md 2, "Flow of a bar", and 4.

Sizes and values are whole numbers of an instrument's units; `Units` says how many of them are one base and one quote.
"""

import math
from collections import namedtuple
from decimal import Decimal
from itertools import accumulate, pairwise

from scores import WINDOW, part, rel, sign, squash

SLOTS = 6
LAST_CLASS = 31
FEW = 5  # bars, of what looks back less far than WINDOW
CHANGES = 12  # of a slot's price, at least
BUCKETS = 30
LARGE = 20  # at most one of so many trades is a large one
WORTH = 50_000  # of quote, from which on a bar's turnover counts in full
NOTHING = 1e-12  # of the close

COUNTS, SUMS = "n_buys n_sells", "buy_volume sell_volume buy_turnover sell_turnover"
WHOLE_AND_SLOTS = ("", *(f"_{number}" for number in range(1, SLOTS + 1)))  # how columns end

Units = namedtuple("Units", "size value")


# Flow


def worth_class(value, units):
    """The largest c of 1 to 31 with 2^c <= a trade's value, 0 if there is none."""
    return min(max((value // units.value).bit_length() - 1, 0), LAST_CLASS)


class Taken:
    """What takers bought and sold within some time; exact, in any order of arrival."""

    __slots__ = ("buys", "sells", "bought", "sold", "bought_value", "sold_value", "classes")

    def __init__(self):
        self.buys = self.sells = self.bought = self.sold = self.bought_value = self.sold_value = 0
        self.classes = {}  # {class: [number of trades, value bought - value sold]}

    def add(self, buy, size, value, units):
        if buy:
            self.buys += 1
            self.bought += size
            self.bought_value += value
        else:
            self.sells += 1
            self.sold += size
            self.sold_value += value
        self.count(worth_class(value, units), 1, value if buy else -value)

    def count(self, class_, trades, value):
        counts = self.classes.setdefault(class_, [0, 0])
        counts[0] += trades
        counts[1] += value

    def merge(self, other):
        self.buys += other.buys
        self.sells += other.sells
        self.bought += other.bought
        self.sold += other.sold
        self.bought_value += other.bought_value
        self.sold_value += other.sold_value
        for class_, counts in other.classes.items():
            self.count(class_, *counts)

    @property
    def trades(self):
        return self.buys + self.sells

    @property
    def delta(self):
        return self.bought - self.sold

    @property
    def volume(self):
        return self.bought + self.sold

    @property
    def value(self):
        return self.bought_value + self.sold_value


def merged(parts):
    whole = Taken()
    for each in parts:
        whole.merge(each)
    return whole


def difference(value_a, size_a, value_b, size_b, units):
    """Of the mean prices a - b, in quote: small beside the prices, so it is rounded only once."""
    return (value_a * size_b - value_b * size_a) * units.size / (size_a * size_b * units.value)


class Flow:
    """That of one bar; `slots` are what was taken in each, oldest first."""

    def __init__(self, open_, close, slots, units):
        self.open, self.close, self.slots, self.units = open_, close, slots, units
        self.taken = merged(slots)
        self.active = [slot for slot in slots if slot.trades]
        self.spreads = [  # (weight, bought dearer than sold) of the slots in which both sides took
            (min(slot.bought, slot.sold), difference(slot.bought_value, slot.bought, slot.sold_value, slot.sold, units))
            for slot in self.active
            if slot.bought and slot.sold
        ]


def of_bar(bar, trades, units):
    """The flow of a bar of the trades (time, whether bought, size, value)."""
    slots = [Taken() for _ in range(SLOTS)]
    for time, *trade in trades:
        slots[SLOTS * (time - bar.start) // (bar.end - bar.start)].add(*trade, units)
    return Flow(bar.open, bar.close, slots, units)


def columns(flow):
    """{column of order_flow: value}; without a trade it names no classes."""
    row, (size, value) = {}, flow.units
    for end, part_ in zip(WHOLE_AND_SLOTS, (flow.taken, *flow.slots)):
        counts = part_.buys, part_.sells
        sums = part_.bought / size, part_.sold / size, part_.bought_value / value, part_.sold_value / value
        row |= {name + end: x for name, x in zip(f"{COUNTS} {SUMS}".split(), counts + sums)}
    classes = sorted(flow.taken.classes.items())
    worth = " ".join(f"{class_}:{trades}:{plain(x / value)}" for class_, (trades, x) in classes)
    return row | {"worth": worth or None}


def plain(x):
    """The shortest decimal number that is a double."""
    return format(Decimal(repr(x)), "f").removesuffix(".0")


# What the last bars have


def root_mean_square(values):
    return math.sqrt(sum(x * x for x in values) / len(values))


class Window:
    """The last bars that have a flow, the newest one last; what is absent is None."""

    def __init__(self, flows):
        self.bar, self.units = flows[-1], flows[-1].units
        self.taken, self.close = self.bar.taken, self.bar.close
        self.many = flows if len(flows) == WINDOW else None
        self.few = flows[-FEW:] if len(flows) >= FEW else None
        self.balance = rel(self.taken.bought, self.taken.sold)
        self.sigma = self.close_sigma = self.spread = self.move = None
        if self.many:
            self.measure()

    def measure(self):
        """What is made of the slots, and of the closes, of the last 20 bars."""
        slots = [slot for flow in self.many for slot in flow.active]
        self.deltas = [slot.delta for slot in slots]
        self.changes = [  # u of each active slot but the oldest
            difference(b.value, b.volume, a.value, a.volume, self.units) for a, b in pairwise(slots)
        ]
        if len(self.changes) >= CHANGES:
            self.sigma = self.unless_nothing(root_mean_square(self.changes))
        self.close_sigma = self.unless_nothing(root_mean_square([b.close - a.close for a, b in pairwise(self.many)]))
        spreads = [entry for flow in self.many for entry in flow.spreads]
        if spreads:
            self.spread = sum(weight * spread for weight, spread in spreads) / sum(weight for weight, _ in spreads)
        size = sum(map(abs, self.deltas[:-1]))
        if size:
            self.move = sum(delta * change for delta, change in zip(self.deltas, self.changes)) / size

    def unless_nothing(self, x):
        return x if x > NOTHING * self.close else None

    def balance_of_few(self):
        """Of sizes, and of numbers of trades."""
        if not self.few:
            return None, None
        takens = [flow.taken for flow in self.few]
        sizes = sum(taken.bought for taken in takens), sum(taken.sold for taken in takens)
        return rel(*sizes), rel(sum(taken.buys for taken in takens), sum(taken.sells for taken in takens))

    def bps(self, x):
        return 10_000 * x / self.close


# Components: of a window, (raw value, raw score) or None


def flow_imbalance(w):
    newest, (few_sizes, few_numbers) = w.bar.active[-1] if w.bar.active else Taken(), w.balance_of_few()
    sizes = part([(0.2, rel(newest.bought, newest.sold)), (0.3, w.balance), (0.5, few_sizes)])
    numbers = [(0.2, rel(newest.buys, newest.sells)), (0.3, rel(w.taken.buys, w.taken.sells)), (0.5, few_numbers)]
    numbers = part(numbers)
    if sizes is None or numbers is None:
        return None
    x = 0.7 * sizes + 0.3 * numbers
    return x, 50 + 50 * math.tanh(2 * x)


def cvd_slope(w):
    if not w.few:
        return None
    sums = list(accumulate(slot.delta for flow in w.few for slot in flow.slots))
    n = len(sums)
    square = n * sum(x * x for x in sums) - sum(sums) ** 2
    if not square:
        return None
    product = n * sum(time * x for time, x in enumerate(sums)) - sum(range(n)) * sum(sums)
    r = product / math.sqrt(square) / math.sqrt(n * sum(time * time for time in range(n)) - sum(range(n)) ** 2)
    return r, squash(3 * r)


def cvd_divergence(w):
    if not w.many or w.close_sigma is None:
        return None
    deltas = [flow.taken.delta for flow in w.many]
    root = root_mean_square(deltas)
    if not root:
        return None
    f = math.tanh(sum(deltas[-5:]) / (root * math.sqrt(5)))
    p = math.tanh((w.close - w.many[-6].close) / (w.close_sigma * math.sqrt(5)))
    return f - p, 50 + 25 * (f - p)


def runs(w):
    active = [slot for flow in w.few or () for slot in flow.active]
    if not active:
        return None
    side, x = sign(active[-1].delta), 0.0
    for slot in reversed(active):
        if not side or sign(slot.delta) != side:
            break
        x += rel(slot.bought, slot.sold)
    return x, squash(x)


def large_trades(w):
    if not w.many or not w.taken.value:
        return None
    counts = [0] * (LAST_CLASS + 1)
    for flow in w.many:
        for class_, (trades, _) in flow.taken.classes.items():
            counts[class_] += trades
    least = LAST_CLASS + 1
    while least and LARGE * sum(counts[least - 1 :]) <= sum(counts):
        least -= 1
    x = sum(value for class_, (_, value) in w.taken.classes.items() if class_ >= least) / w.taken.value
    return x, 50 + 50 * math.tanh(3 * x)


def absorption(w):
    if not w.many or w.balance is None or w.close_sigma is None:
        return None
    mean = sum(flow.taken.value for flow in w.many) / WINDOW
    size = min(1.0, w.taken.value / (2 * mean)) * min(1.0, w.taken.value / w.units.value / WORTH)
    p = (w.close - w.bar.open) / w.close_sigma * sign(w.taken.delta)
    x = w.balance * size * min(max(1 - p, 0.0), 1.0)
    return x, 50 - 50 * math.tanh(2 * x)


def effective_spread(w, efficiency):
    if w.spread is None or w.balance is None or efficiency is None:
        return None
    return w.bps(w.spread), 50 + 50 * math.tanh(2 * w.balance) * (1 - efficiency)


def realised_spread(w):
    if w.spread is None or w.move is None or w.balance is None:
        return None
    kept = w.spread - 2 * w.move
    both = w.unless_nothing(abs(w.spread) + 2 * abs(w.move))
    return both and (w.bps(kept), 50 - 50 * math.tanh(2 * w.balance) * kept / both)


def vpin(w):
    balance, _ = w.balance_of_few()
    if not w.many or balance is None:
        return None
    slots = [slot for flow in w.many for slot in flow.active]
    size = sum(slot.volume for slot in slots)  # of a bucket, and a slot has BUCKETS times its volume
    imbalances, delta, room = 0.0, 0.0, size
    for slot in slots:
        volume = left = BUCKETS * slot.volume
        while left:
            share = min(left, room)
            delta += slot.delta * share / volume
            left, room = left - share, room - share
            if not room:
                imbalances, delta, room = imbalances + abs(delta), 0.0, size
    raw = imbalances / size
    return raw, 50 + 50 * math.tanh(3 * raw * balance)


def kyle_lambda(w):
    if w.sigma is None:
        return None
    deltas, changes, n = w.deltas[1:], w.changes, len(w.changes)
    variance = n * sum(d * d for d in deltas) - sum(deltas) ** 2
    if not variance:
        return None
    mean = sum(deltas) / n
    impact = n * sum((d - mean) * u for d, u in zip(deltas, changes)) / variance
    volume = sum(flow.taken.volume for flow in w.many) / WINDOW
    return w.bps(impact * volume), squash(impact * w.taken.delta / (w.sigma * math.sqrt(6)))


def adverse_selection(w):
    if w.move is None or w.sigma is None or w.balance is None:
        return None
    return w.bps(2 * w.move), 50 + 50 * math.tanh(2 * w.balance) * math.tanh(2 * w.move / w.sigma)


def refresh(flow, makers):
    """y of a bar, of what makers did at the best prices, in quote; None if it has none."""
    taken = flow.taken
    if makers is None or not taken.value:
        return None
    return (makers * flow.units.value - (taken.bought_value - taken.sold_value)) / taken.value


def quote_refresh(refreshes):
    """Of the last 20 y, or None."""
    root = root_mean_square(refreshes) if refreshes else 0.0
    return (refreshes[-1], squash(refreshes[-1] / root)) if root else None


OF_TRADES = (
    flow_imbalance, cvd_slope, cvd_divergence, runs, large_trades, absorption, realised_spread, vpin, kyle_lambda,
    adverse_selection,
)  # fmt: skip


def components(flows, refreshes=None, efficiency=None):
    """{(dimension, component): (raw value, raw score)} of the newest of the last bars that have a flow, 20 or fewer; a
    component that is absent is left out. Of the book are `refreshes`, the last 20 y, and `efficiency`, E of liquidity."""
    w = Window(flows)
    found = {function.__name__: function(w) for function in OF_TRADES}
    found |= {"quote_refresh": quote_refresh(refreshes), "effective_spread": effective_spread(w, efficiency)}
    return {("orderflow", name): values for name, values in found.items() if values}
