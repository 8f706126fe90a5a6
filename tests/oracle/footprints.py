"""The footprints of bars: sizes by level of price, imbalances, and points of control that no bar reached since; with their
two tables. METHODS.md 2, "Footprint of a bar".

Prices and sizes are whole numbers: a price counts 10^-`places`, and `size` of a size are one base. Nothing is rounded before
a column is made.
"""

from collections import namedtuple
from decimal import Decimal
from itertools import count

MOST_LEVELS = 32
TIMES = 3  # an imbalance is, of what the other side took in the level beside it
LEAST_STACK = 3
LOOKS_BACK = 100  # bars

LEVEL_PRICES, LEVEL_COUNTS, LEVEL_SIZES = "price_from price_to", "n_buys n_sells", "buy_volume sell_volume"
LEVEL_FLAGS = "buy_imbalance sell_imbalance is_poc"
LEVEL_COLUMNS = f"{LEVEL_PRICES} {LEVEL_COUNTS} {LEVEL_SIZES} {LEVEL_FLAGS}".split()
NAKED = "naked_poc_above naked_poc_above_ts naked_poc_below naked_poc_below_ts"
ANALYSIS_COLUMNS = (
    "height n_levels poc poc_volume n_buy_imbalances n_sell_imbalances stacked_buys stacked_buys_from stacked_buys_to "
    f"stacked_sells stacked_sells_from stacked_sells_to {NAKED}"
).split()

Scale = namedtuple("Scale", "places size")


# By price


class Counts:
    """What takers bought and sold at a price, or in a level."""

    __slots__ = ("buys", "sells", "bought", "sold")

    def __init__(self):
        self.buys = self.sells = self.bought = self.sold = 0

    def add(self, buy, size):
        if buy:
            self.buys += 1
            self.bought += size
        else:
            self.sells += 1
            self.sold += size

    def merge(self, other):
        self.buys += other.buys
        self.sells += other.sells
        self.bought += other.bought
        self.sold += other.sold

    @property
    def size(self):
        return self.bought + self.sold


def add(prices, price, buy, size):
    """`prices`: {price: Counts}."""
    if price not in prices:
        prices[price] = Counts()
    prices[price].add(buy, size)


def merged(parts, level_of=lambda price: price):
    whole = {}
    for prices in parts:
        for price, counts in prices.items():
            level = level_of(price)
            if level not in whole:
                whole[level] = Counts()
            whole[level].merge(counts)
    return whole


# Heights


def finest(prices, places):
    """10^-d, as a whole number."""
    unit = 10**places
    while any(price % unit for price in prices):
        unit //= 10
    return unit


def height_of(prices, places):
    unit = finest(prices, places)
    heights = (times * unit * 10**power for power in count() for times in (1, 5))
    return next(height for height in heights if len({price // height for price in prices}) <= MOST_LEVELS)


# Footprints


def stack(numbers, order):
    """(lowest, number of levels) of the run that counts, or (None, 0); of equally long ones that for which `order`, of
    its lowest, is largest."""
    runs = {}
    for number in sorted(numbers):
        lowest = next((low for low, length in runs.items() if low + length == number), number)
        runs[lowest] = runs.get(lowest, 0) + 1
    long = [(length, order(lowest), lowest) for lowest, length in runs.items() if length >= LEAST_STACK]
    length, _, lowest = max(long, default=(0, None, None))
    return lowest, length


class Footprint:
    """That of one bar, of its {price: Counts}."""

    def __init__(self, prices, scale):
        self.scale = scale
        self.height = height_of(prices, scale.places)
        self.levels = dict(sorted(merged([prices], lambda price: price // self.height).items()))
        self.size = sum(counts.size for counts in self.levels.values())
        self.lowest, self.highest = min(self.levels), max(self.levels)
        self.poc = max(self.levels, key=lambda number: (self.levels[number].size, -number))
        self.buys = [number for number in self.levels if self.is_bought(number)]
        self.sells = [number for number in self.levels if self.is_sold(number)]

    def is_large(self, size):
        return 2 * len(self.levels) * size >= self.size

    def is_bought(self, number):
        """Whether there is a buy imbalance."""
        bought, below = self.levels[number].bought, self.levels.get(number - 1, Counts())
        return number > self.lowest and bought >= TIMES * below.sold and self.is_large(bought)

    def is_sold(self, number):
        sold, above = self.levels[number].sold, self.levels.get(number + 1, Counts())
        return number < self.highest and sold >= TIMES * above.bought and self.is_large(sold)

    def price(self, number):
        """Where a level begins."""
        return number * self.height / 10**self.scale.places

    @property
    def poc_price(self):
        """Exactly: its middle."""
        return Decimal(f"{5 * (2 * self.poc + 1) * self.height}e-{self.scale.places + 1}")

    def rows(self):
        """{level: values of LEVEL_COLUMNS}."""
        found, size = {}, self.scale.size
        for level, (number, counts) in enumerate(self.levels.items()):
            flags = number in self.buys, number in self.sells, number == self.poc
            sizes = counts.bought / size, counts.sold / size
            found[level] = self.price(number), self.price(number + 1), counts.buys, counts.sells, *sizes, *flags
        return found

    def analysis(self):
        """Values of ANALYSIS_COLUMNS but the last four."""
        poc = float(self.poc_price), self.levels[self.poc].size / self.scale.size
        values = self.height / 10**self.scale.places, len(self.levels), *poc, len(self.buys), len(self.sells)
        for numbers, order in (self.buys, lambda lowest: lowest), (self.sells, lambda lowest: -lowest):
            lowest, length = stack(numbers, order)
            values += (length, self.price(lowest), self.price(lowest + length)) if length else (0, None, None)
        return values


def of_prices(prices, scale):
    """The footprint of what was traded, None where nothing was."""
    return Footprint(prices, scale) if prices else None


# The series


def exactly(price):
    """The decimal number that a venue told, of the double that it became."""
    return Decimal(repr(price))


class Series:
    """The bars of a timeframe that are no gaps, one after another."""

    def __init__(self):
        self.naked = []  # behind each bar: [(POC, start and place of its bar)], its own included, the oldest first

    def cut(self, place):
        del self.naked[place:]

    def append(self, start, low, high, close, footprint):
        """Values of ANALYSIS_COLUMNS of the next bar, None if it has no footprint."""
        place = len(self.naked)
        low, high, close = exactly(low), exactly(high), exactly(close)
        naked = [
            (poc, start_, place_)
            for poc, start_, place_ in (self.naked[-1] if place else ())
            if place_ >= place - LOOKS_BACK and not low <= poc <= high
        ]
        above = min(((poc, -start_) for poc, start_, _ in naked if poc > close), default=None)
        below = max(((poc, start_) for poc, start_, _ in naked if poc < close), default=None)
        if footprint:
            naked.append((footprint.poc_price, start, place))
        self.naked.append(naked)
        if not footprint:
            return None
        values = (float(above[0]), -above[1]) if above else (None, None)
        values += (float(below[0]), below[1]) if below else (None, None)
        return footprint.analysis() + values
