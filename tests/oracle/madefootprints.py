"""Footprints that were worked out by hand (`check`), and markets of which each shows one thing about them (`scenario`).

Trades are written `B 100.5 0.3`: a taker bought 0.3 at 100.5.
"""

import random
from decimal import Decimal

import footprints
from markets import MINUTE, PRICE_UNIT, SIZE_UNIT, START, File, Kline, Trade

WAVES = (150, 170, 190)  # minutes at which imports end; what one tells of before the end of the one before is late
HAND = footprints.Scale(3, 1000)


# By hand


def parsed(text):
    """[(whether bought, price, size)], as whole thousandths."""
    words = [trade.split() for trade in text.split(",")]
    return [(side == "B", *(int(1000 * Decimal(number)) for number in numbers)) for side, *numbers in words]


def ladder(first, step, number, side="B", size="1"):
    """A trade at each of so many prices."""
    return ", ".join(f"{side} {Decimal(first) + place * Decimal(step)} {size}" for place in range(number))


def made(text):
    prices = {}
    for buy, price, size in parsed(text):
        footprints.add(prices, price, buy, size)
    return footprints.of_prices(prices, HAND)


def values(text):
    return dict(zip(footprints.ANALYSIS_COLUMNS, made(text).analysis()))


def imbalances(text):
    """Levels with a buy imbalance, and with one of sales."""
    rows = [dict(zip(footprints.LEVEL_COLUMNS, row)) for row in made(text).rows().values()]
    return tuple([row["price_from"] for row in rows if row[f"{side}_imbalance"]] for side in ("buy", "sell"))


def stacks(text):
    found = values(text)
    return tuple(tuple(found[f"stacked_{side}{end}"] for end in ("", "_from", "_to")) for side in ("buys", "sells"))


HEIGHTS = [  # trades, height, number of levels
    (ladder("100", "1", 32), 1, 32),
    (ladder("100", "1", 33), 5, 7),  # 100, .. 130
    (ladder("100", "1", 160), 5, 32),
    (ladder("104", "1", 157), 10, 17),  # 33 levels of 5, the first of one price
    (ladder("100", "1", 321), 50, 7),
    (ladder("100", "0.1", 32), 0.1, 32),
    (ladder("100", "0.1", 33), 0.5, 7),
    (ladder("100", "0.1", 320), 1, 32),  # also at 1, as if the unit were none
    (ladder("100", "1", 20) + ", B 110.01 1", 0.01, 21),  # decimals do not count levels
    (ladder("100", "1", 33) + ", B 100.01 1", 5, 7),
    (ladder("100", "0.5", 32) + ", S 100.000 1", 0.1, 32),
    ("B 100 1, B 99000 1", 1, 2),  # what is between has no trades
    (ladder("100", "0.1", 161) + ", B 100.03 1", 1, 17),  # 10 units, and then the unit is a finer one
    (ladder("100", "1", 161) + ", B 100.5 1, S 100.25 1", 10, 17),
    (ladder("100", "0.01", 161) + ", B 100.5 1", 0.1, 17),
    ("B 0.07 1", 0.01, 1),
    ("B 1000 1, S 5000 1", 1, 2),
]
POCS = [  # trades, POC, its size
    ("B 100 1, S 101 1", 100.5, 1.0),  # of equal ones the lowest
    ("B 100 0.1, S 100 0.2, S 101 0.299", 100.5, 0.3),
    ("B 100 0.1, S 100 0.2, S 101 0.301", 101.5, 0.301),
    ("S 0.5 1", 0.55, 1.0),
    (ladder("100", "1", 33), 102.5, 5.0),
]
IMBALANCES = [  # trades, levels with a buy imbalance, with a sell imbalance
    ("S 100 0.1, B 101 0.3", [101.0], []),  # exactly 3 times, which doubles do not say
    ("S 100 0.1, B 101 0.299", [], []),
    ("B 101 0.1, S 100 0.3", [], [100.0]),
    ("B 101 0.1, S 100 0.299", [], []),
    ("S 0.1 0.1, B 0.2 0.3", [0.2], []),
    ("S 100 0.01, B 101 0.1, S 102 0.49", [101.0], []),  # 0.6 / (2 x 3)
    ("S 100 0.01, B 101 0.1, S 102 0.491", [], []),
    ("B 102 0.01, S 101 0.1, B 100 0.49", [], [101.0]),
    ("B 102 0.01, S 101 0.1, B 100 0.491", [], []),
    ("S 100 1, B 101 1", [], []),
    ("S 100 1, B 102 1", [102.0], [100.0]),  # nothing was traded between
    ("B 100 5, B 102 1", [], []),  # the lowest has none
    ("B 100 5, B 102 2", [102.0], []),
    ("S 100 2, S 102 5", [], [100.0]),  # and the highest
    ("S 100 1, B 100 3, S 101 1, B 101 3", [101.0], []),
]
STACKS = [  # trades, of buys, of sales: number of levels, and bounds
    (ladder("100", "1", 3), (0, None, None), (0, None, None)),
    (ladder("100", "1", 4), (3, 101.0, 104.0), (0, None, None)),
    (ladder("100", "1", 4, "S"), (0, None, None), (3, 100.0, 103.0)),
    (ladder("100", "1", 4) + ", " + ladder("105", "1", 3), (3, 105.0, 108.0), (0, None, None)),
    (ladder("100", "1", 5) + ", " + ladder("106", "1", 3), (4, 101.0, 105.0), (0, None, None)),
    (ladder("100", "1", 3, "S") + ", " + ladder("104", "1", 4, "S"), (0, None, None), (3, 100.0, 103.0)),
    (ladder("100", "1", 3, "S") + ", " + ladder("104", "1", 5, "S"), (0, None, None), (4, 104.0, 108.0)),
    (ladder("100", "1", 4, "S") + ", " + ladder("104", "1", 4), (3, 105.0, 108.0), (3, 100.0, 103.0)),
]


def check_series():
    """Points of control above and below, of bars (low, high, close, trades)."""
    series = footprints.Series()

    def append(low, high, close, text=None):
        start = len(series.naked)
        found = series.append(start, low, high, close, made(text) if text else None)
        return found and found[-4:]

    nothing = None, None
    assert append(50.0, 50.0, 50.0, "B 50 1") == nothing * 2
    assert append(150.0, 150.0, 150.0, "B 150 1") == (*nothing, 50.5, 0)
    assert append(150.0, 150.0, 150.0, "B 150 2") == (150.5, 1, 50.5, 0)  # its own is none yet
    assert append(50.6, 150.4, 100.0, "B 100 1") == (150.5, 2, 50.5, 0)  # of equal ones the newest
    append(100.5, 100.5, 100.5)
    assert append(50.5, 100.0, 100.0, "B 100 1") == (150.5, 2, *nothing)
    assert append(100.0, 150.5, 101.0, "B 100 1, B 101 1") == nothing * 2  # and what was at 100.5 is reached, too
    append(10.0, 10.0, 10.0, "B 10 1")
    for _ in range(99):
        append(10.0, 10.0, 10.0)
    assert append(200.0, 200.0, 200.0, "B 200 1") == (*nothing, 10.5, 7)
    assert append(200.0, 200.0, 200.0, "B 200 1") == (200.5, 107, *nothing)  # 101 bars later


def check():
    """Raises where a footprint is not what it was found to be by hand."""
    for text, height, number in HEIGHTS:
        found = values(text)
        assert (found["height"], found["n_levels"]) == (height, number), (text, found)
    for text, poc, size in POCS:
        found = values(text)
        assert (found["poc"], found["poc_volume"]) == (poc, size), (text, found)
    for text, *expected in IMBALANCES:
        assert [*imbalances(text)] == expected, (text, imbalances(text))
    for text, *expected in STACKS:
        assert [*stacks(text)] == expected, (text, stacks(text))
    check_series()


# Markets


class Script:
    """What is traded in one symbol, as the imports tell it."""

    def __init__(self, symbol):
        self.symbol, self.trades, self.lost, self.klines = symbol, [], [], []
        for wave, end in enumerate(WAVES):
            self.trades.append((wave, START + end * MINUTE, True, 100 * PRICE_UNIT, SIZE_UNIT))

    def minute(self, number, text, wave=0):
        """The trades follow each other in the minute's first half; those of later imports in its second."""
        for place, (buy, price, size) in enumerate(parsed(text)):
            time = START + number * MINUTE + 10_000 * wave + 1_000 + 25 * place
            self.trades.append((wave, time, buy, price * PRICE_UNIT // 1000, size * SIZE_UNIT // 1000))

    def hole(self, first, last, *klines):
        """Between the trades before and those from the minute `last` on some are missing; klines are (low, high) in text."""
        self.lost.append(START + last * MINUTE)
        for number, prices in zip(range(first, last), klines):
            start, (low, high) = START + number * MINUTE, (int(PRICE_UNIT * Decimal(price)) for price in prices)
            self.klines.append(Kline(start, start + MINUTE, low, high, low, high, 5000, 5000 * low, 9))

    def files(self):
        """One of trades for each import, and one of klines in the first."""
        found, number = [], 1_000_000
        for wave in range(len(WAVES)):
            rows = []
            for _, time, buy, price, size in sorted(trade for trade in self.trades if trade[0] == wave):
                number += 1
                if self.lost and time >= self.lost[0]:
                    number += 1
                    del self.lost[0]
                rows.append(Trade(number, price, size, time, buy))
            found.append([File("a", self.symbol, "trades", rows)])
        if self.klines:
            found[0].append(File("a", self.symbol, "1m", self.klines))
        return found


def cases():
    """All that was worked out by hand, one a minute."""
    script = Script("AAAUSDT")
    for number, (text, *_) in enumerate(HEIGHTS + POCS + IMBALANCES + STACKS):
        script.minute(number, text)
    return script


def late():
    script = Script("BBBUSDT")
    script.minute(31, "B 100 1, S 101 2")
    script.minute(53, ladder("100", "1", 32))  # one level too many: 5; with 20 more far away its levels come back
    script.minute(53, "S 132 1", 1)
    script.minute(53, ladder("300", "10", 20, "S"), 2)
    script.minute(55, ladder("100", "1", 20))  # finer decimals: 0.01, then 0.05
    script.minute(55, "B 110.01 1", 1)
    script.minute(55, ladder("100.01", "1", 12, "S"), 2)
    script.minute(57, ladder("100", "1", 32, "S"))
    script.minute(57, "B 100.5 0.1", 1)  # both: 0.1 has 33, as 1 has 32
    script.minute(58, ladder("100", "0.1", 161))
    script.minute(58, "B 100.03 1", 1)
    script.minute(58, "S 100.05 1", 2)
    script.minute(60, "B 50 1")
    script.minute(61, "B 150 1")
    for number in range(62, 140):
        if number not in (80, 81):
            script.minute(number, "B 100 1, S 101 1")
    script.minute(70, "S 50.5 1", 1)  # reaches the first one
    script.minute(80, "S 120 1", 1)  # in a flat bar
    script.minute(90, "S 100 0.4, S 101 3", 1)  # nothing moves but the point of control
    script.minute(61, "S 140 2", 2)  # moves the second one
    script.minute(62, "S 149 0.1", 2)
    return script


def old(symbol, holes):
    """Of the first two minutes, above and below all that is traded later."""
    script = Script(symbol)
    script.minute(0, "B 50 1")
    script.minute(1, "B 150 1")
    without = {20, 21, 22, *(range(30, 40) if holes else ()), *(range(50, 55) if holes else ())}
    for number in range(2, 150):
        if number not in without:
            script.minute(number, "B 100 1, S 101 1")
    if holes:
        script.hole(30, 40)
        script.hole(50, 55, *[("100.00", "101.00")] * 5)
    return script


def touched():
    """At the low and the high, by bars of trades, of klines and by flat ones."""
    script, usual, flat = Script("EEEUSDT"), "B 100 1, S 101 1", ladder("1000", "1", 161, size="0.1")
    bars = ["B 50 1", "B 150 1", usual, "B 51 1, B 100 1", "B 50.5 1, B 100 1", usual, "S 150.49 1, S 100 1", usual]
    bars += ["S 150.5 1, S 100 1", usual, "B 40 1", "B 160 1", "B 160 2", usual, "B 40.51 1, B 100 1, S 101 1"]
    for number, text in enumerate(bars):
        script.minute(number, text)
    klines = ("40.51", "160.49"), ("40.50", "160.49"), ("41.00", "160.50")
    for place, kline in enumerate(klines):
        script.minute(20 + 2 * place, usual)
        script.hole(21 + 2 * place, 22 + 2 * place, kline)
    script.minute(26, usual)
    for number, last in ((30, "1055"), (33, "1056"), (36, "1054.99")):
        script.minute(number, f"{flat}, B {last} 9")
        script.minute(number + 2, usual)
    return script


def joined(symbol, coarse_first):
    """Every five minutes a minute of the height that the five have, and one of finer prices, which change nothing of it."""
    script, first = Script(symbol), 5
    for text in (ladder("100", step, number) for step in ("0.01", "0.1", "1") for number in (33, 161, 321)):
        for fine in "B 100.03 1", "S 100.3 1, B 100.5 1":
            for number, part in enumerate((text, fine) if coarse_first else (fine, text), first):
                script.minute(number, part)
            first += 5
    script.minute(60, "S 100.02 1", 1)
    script.minute(66, "S 100.02 1, B 100.9 2", 2)
    return script


def dice(symbol, seed):
    """Few sizes and levels, so that there are ties; prices of all decimals; a bit of it late."""
    script, rng, middle = Script(symbol), random.Random(f"{seed} {symbol}"), 10_000
    for number in range(WAVES[-1]):
        middle = max(3_000, middle + rng.choice((-700, -150, -20, 0, 0, 20, 150, 700)))
        if rng.random() < 0.06:
            continue
        tick = rng.choice((1, 5, 10, 50, 50, 100, 100, 100, 500))
        levels, sizes = rng.choice((3, 6, 12, 12, 30, 60, 400)), rng.choice(((1, 3), (1, 2, 3, 6), (1,), (1, 3, 9, 500)))
        bias, on_time = rng.choice((0.1, 0.5, 0.9)), next(wave for wave, end in enumerate(WAVES) if number < end)
        for _ in range(rng.choice((1, 3, 10, 30, 60, 100))):
            time = START + number * MINUTE + rng.randrange(MINUTE)
            price = (middle // tick + rng.randrange(levels)) * tick
            wave = on_time
            if rng.random() < 0.05 and wave < 2 and number >= 31:
                wave = rng.randint(wave + 1, 2) if number >= 51 else wave + 1
            script.trades.append((wave, time, rng.random() < bias, price, rng.choice(sizes)))
    return script


def scenario(seed):
    scripts = [cases(), late(), old("CCCUSDT", False), old("DDDUSDT", True), touched()]
    scripts += [joined("IIIUSDT", True), joined("JJJUSDT", False)]
    scripts += [dice(symbol, seed) for symbol in ("FFFUSDT", "GGGUSDT", "HHHUSDT")]
    return [[file for files in of_import for file in files] for of_import in zip(*(script.files() for script in scripts))]


if __name__ == "__main__":
    check()
    print("as by hand")
