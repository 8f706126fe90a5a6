"""Structures that were worked out by hand (`check`), markets of which each shows one thing about them (`scenario`), and what
there is of them in real klines.

`madestructure.py --data DIR [SYMBOL ..]` tells of klines of Binance's contracts; it needs no prism.
"""

import argparse
import io
import math
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa

import structure
from indicators import Indicators
from madefootprints import Script
from markets import MINUTE, PRICE_UNIT, START, Kline
from timeline import Bar

KLINES = "klines_binance_um/BINANCE_UM_{}_1m_futures.csv.zst"
SYMBOLS = "BTCUSDT", "SOLUSDT", "LAYERUSDT"
FRAMES = {"1m": 1, "5m": 5, "1h": 60, "4h": 240}


def bar_of(start, length, prices, volume):
    return Bar(start, start + length, *prices, volume, *[None] * 8, "venue", "ok")


# By hand


def made(text, atr=None, vwap=None):
    """What is found of each bar of `open high low close [volume]`, .."""
    series, found = structure.Series(), []
    for number, words in enumerate(text.split(",")):
        *prices, volume = [float(word) for word in (words.split() + ["1"])[:5]]
        found.append(series.append(bar_of(number, 1, prices, volume), atr, vwap))
    return series, found


def events(text, **more):
    """{bar: [events as words]}, of bars with some."""

    def words(event):
        return " ".join(str(round(value, 9) if isinstance(value, float) else value) for value in event)

    _, found = made(text, **more)
    return {number: [words(event) for event in each.events] for number, each in enumerate(found) if each.events}


def components(text, **more):
    return {name: values for (_, name), values in made(text, **more)[1][-1].components.items()}


FLAT = "10 10 10 10"
PEAK = f"{FLAT}, 10 11 10 11, 11 14 10 12, 12 12 11 11, 11 11 9 10"  # its swing is of bar 2
CONFIRMED = {4: ["swing_high bearish confirmed 14.0 14.0 2 0.1"]}
BROKEN = CONFIRMED | {
    6: [  # the block is of bar 4; V of it and the bars behind it is as always
        "bos bullish broken 14.0 14.0 2 0.1",
        "fair_value_gap bullish open 11.0 12.0 5 None",
        "order_block bullish fresh 9.0 11.0 4 0.34",
        "swing_low bullish confirmed 9.0 9.0 4 0.2",
    ]
}
TURNED = BROKEN | {
    7: ["fair_value_gap bullish filled 11.0 12.0 5 None", "order_block bullish tested 9.0 11.0 4 0.34"],
    8: ["order_block bullish mitigated 9.0 11.0 4 0.34", "swing_high bearish confirmed 15.0 15.0 6 0.3"],
    9: [
        "choch bearish broken 9.0 9.0 4 0.2",
        "order_block bullish broken 9.0 11.0 4 0.34",
        "order_block bearish fresh 12.0 15.0 6 0.38",
    ],
}
EVENTS = [  # bars, events
    (f"{FLAT}, {FLAT}, {FLAT}, {FLAT}, {FLAT}", {}),
    (PEAK, CONFIRMED),
    (f"{PEAK}, 11 14 11 14", CONFIRMED),  # not above
    (f"{PEAK}, 11 12 11 12, 12 15 12 15", BROKEN),
    (f"{PEAK}, 11 12 11 12, 12 15 12 15, 15 15 11 12, 12 12 9.5 11, 11 11 8 8", TURNED),
]


def check_events():
    for text, expected in EVENTS:
        assert events(text) == expected, (text, events(text))
    high = "swing_high bearish confirmed 12.0 12.0"
    # Of equal highs the first; 20 bars are enough.
    assert events("1 9 1 1, 1 9 1 1, 1 12 1 1, 1 12 1 1, 1 12 1 1, 1 9 1 1, 1 9 1 1") == {4: [f"{high} 2 0.1"]}
    assert events(", ".join([FLAT] * 25 + ["10 12 10 10", FLAT, FLAT])) == {27: [f"{high} 25 1.0"]}


def check_levels():
    peaks = "1 1 1 1, 1 1 1 1, 1 {} 1 1 2, 1 1 1 1, 1 1 1 1"
    for prices, expected in (
        ((10, 11), [(10.5, 4, 2, 7)]),  # at most half of 2 away
        ((10, 11.5), [(10, 2, 1, 2), (11.5, 2, 1, 7)]),
        ((10, 12, 11), [(10.5, 4, 2, 12), (12, 2, 1, 7)]),  # equally near
        ((10, 11, 11.5), [(32.5 / 3, 6, 3, 12)]),
        (range(10, 86, 3), [(price, 2, 1, 2 + 5 * place) for place, price in enumerate(range(10, 86, 3))][-24:]),
    ):
        series, _ = made(", ".join(peaks.format(price) for price in prices), atr=2.0)
        found = [(level.price, level.volume, level.number, level.last) for level in series.states[-1].levels]
        assert found == expected, (prices, found)
    assert not made(peaks.format(10))[0].states[-1].levels


def check_profiles():
    """Of 50 bars: 48 flat ones at 100, one from 100 to 148, one at 148; bins are of 1."""
    flat, last = ["100 100 100 100"] * 48, "148 148 148 148 {}"
    for volumes, expected in (
        ((48, 10), (100.5, 127.0, 100.0, 100.0, 148.0, 106.0)),
        ((48, 47), (100.5, 148.0, 100.0, 100.0, 148.0, 143.0)),  # has to go on to the other end
        ((48, 48), (100.5, 148.0, 100.0, 100.0, 148.0, 144.0)),  # of equal ones the lowest
        ((48, 49), (147.5, 148.0, 100.0, 100.0, 148.0, 145.0)),
        ((0, 48), (100.5, 148.0, 100.0, 100.0, 148.0, 96.0)),
    ):
        bars = ", ".join([*flat, f"100 148 100 148 {volumes[0]}", last.format(volumes[1])])
        assert all(found.profile is None for found in made(bars)[1][:-1])
        assert tuple(made(bars)[1][-1].profile) == expected, (volumes, made(bars)[1][-1].profile)
    assert made(", ".join([FLAT] * 60))[1][-1].profile is None


def check_components():
    found = components(f"{PEAK}, 11 12 11 12, 12 15 12 15, 12 14 12 13", atr=2.0, vwap=12.5)
    assert set(found) == {"order_blocks", "vwap", "support_resistance"}
    assert math.isclose(found["order_blocks"][0], 0.34 * 2**-1)  # 2 above 11
    assert found["vwap"] == (0.25, 50 + 50 * math.tanh(2.5) * 0.25)
    # Levels at 14 (n 1, v 1, of 5 bars before) and 9 (of 3 bars before): z is -.5 and 2.
    below, above = (0.125 + 0.15 + 0.2 * 2 ** -(age / 100) for age in (3, 5))
    assert math.isclose(found["support_resistance"][0], below * 2 * 2**-1 - above * 0.5 * 2**0.5)
    bars = ", ".join(["10 12 8 10", "10 12 8 11"] * 10)
    for last, expected in (
        ("11 11 11 11", -4 * 0.5 * 0.5 * 0.5 * (1 - 1 / 19)),
        ("10 10 7 10", 0.5 * 0.5),
        ("10 14 10 10", 0.5 * -1.0),
        ("10 13 10 13", 0.5 * -0.5 * 0.5 + 0.5),
        ("9 9 4 4", -1.0),
    ):
        x, score = components(f"{bars}, {last}", atr=2.0)["range"]
        assert math.isclose(x, expected) and score == 50 + 50 * x, (last, x)


def check():
    """Raises where a structure is not what it was found to be by hand."""
    check_events()
    check_levels()
    check_profiles()
    check_components()


# Markets


def bars(script, first, *texts):
    """Bars from a minute on, each by its prices; the minute behind them."""
    for number, text in enumerate(texts, first):
        script.minute(number, ", ".join(f"B {price} 1" for price in text.split()))
    return first + len(texts)


def distant():
    """Breaks whose candle of the other colour is 20 and 21 bars before them, upwards and downwards; in the end some of these
    candles and of the swings are others than was known."""
    script, number, level = Script("AAAUSDT"), 0, 1000
    for sign in 1, -1:
        for quiet in 18, 19, 17:
            spike, end = level + 100 * sign, level + 101 * sign
            swing = [f"{level}", f"{level} {level - sign}", f"{level - sign} {spike} {level - sign}"]
            after = [f"{level - sign}"] * quiet
            number = bars(script, number, *swing, *after, f"{level - sign} {end}")
            level = end
    script.minute(1, "B 1001 1", 1)  # the candle is none
    script.minute(48, "B 1300 1", 1)  # another swing, not broken
    script.minute(72, "S 990 1", 2)
    return script


def halves():
    """A is 2, and swings are 1 from each other or from two levels."""
    script = Script("BBBUSDT")
    steps = "0 " * 20 + "0 0 1 0 0 1 1 2 1 1 2 2 3 4 3 3 2 2 3 2 2 1 0 0 1 0 0 -1 -2 -2 -3 -2 -2 -1 -1 -2 -1 -1 0 0"
    closes = [1000 + int(step) for step in steps.split()]
    bars(script, 0, *(f"{close} {close + 1} {close - 1} {close}" for close in closes))
    return script


def many():
    """One more level than is kept, of which the oldest two are of one bar, and back to these."""
    script = Script("CCCUSDT")
    calm = "1000 1001 999 1000"
    number = bars(script, 0, *[calm] * 18, "1000 1003 997 1000", calm, calm)
    for level in range(1008, 1100, 4):
        beside = [f"{level} {level + 1}"] * 2
        number = bars(script, number, *beside, f"{level} {level + 2} {level}", *beside)
    bars(script, number, *[calm] * 4)
    return script


def worthless():
    """Klines of no volume, between some that have one."""
    script = Script("DDDUSDT")
    for minute in range(130):
        close = 1000 + (minute * minute) % 13 + 40 * (minute in (30, 77, 101))
        prices = 1000 + (minute * 5) % 11, max(close, 1020 + 25 * (minute % 7 == 0)), 990 - minute % 5, close
        prices = [PRICE_UNIT * price for price in prices]
        volume = 0 if 20 <= minute < 120 else 3000
        start = START + minute * MINUTE
        script.klines.append(Kline(start, start + MINUTE, *prices, volume, volume * prices[3], volume // 1000))
    return script


def scenario():
    scripts = [distant(), halves(), many(), worthless()]
    return [[file for files in of_import for file in files] for of_import in zip(*(script.files() for script in scripts))]


# Real klines


def klines(path, minutes):
    """Bars of so many minutes."""
    with pa.input_stream(str(path), compression="zstd") as stream:
        lines = io.TextIOWrapper(io.BytesIO(stream.read()), encoding="ascii").read().splitlines()[1:]
    rows, length = defaultdict(list), minutes * MINUTE
    for start, *numbers in (line.split(",") for line in lines):
        rows[int(start) // length * length].append([float(number) for number in numbers])
    for start, of_bar in sorted(rows.items()):
        opens, highs, lows, closes, volumes = zip(*of_bar)
        yield bar_of(start, length, (opens[0], max(highs), min(lows), closes[-1]), sum(volumes))


def check_state(series):
    """What stands after the newest bar, by the bars since."""
    place, bars, state = len(series.bars) - 1, series.bars, series.states[-1]
    for side, swings in state.swings.items():
        if swings:
            since = [bar.close for bar in bars[swings[-1].place :]]
            price = swings[-1].price
            assert bool(state.standing[side]) == (max(since) <= price if side == structure.BEARISH else min(since) >= price)
    for side, gaps in state.gaps.items():
        for gap in gaps:
            since = bars[gap.place + 2 :]
            assert all(bar.low > gap.low if side == structure.BULLISH else bar.high < gap.high for bar in since)
    assert all(0 < block.place < place and block.low < block.high for blocks in state.blocks.values() for block in blocks)
    assert len(state.levels) <= structure.MOST_LEVELS
    found = series.profiles[-1]
    if found:
        assert found.low <= found.val < found.poc < found.vah <= found.high * (1 + 1e-12)
        bins = structure.spread(bars[-structure.PROFILE_BARS :], found.low, (found.high - found.low) / structure.BINS)
        assert math.isclose(sum(bins), found.volume)


def tell(path, symbol, name):
    series, indicators = structure.Series(), Indicators(FRAMES[name] * MINUTE)
    counts, scores, number = Counter(), defaultdict(list), 0
    for number, bar in enumerate(klines(path, FRAMES[name]), 1):
        indicators.append(bar)
        found = series.append(bar, indicators.now("atr_14"), indicators.now("vwap_day"))
        counts.update((event.kind, event.side, event.state) for event in found.events)
        counts["profile"] += bool(found.profile)
        for (_, component), (_, score) in found.components.items():
            assert 0 <= score <= 100, (bar, component, score)
            scores[component].append(score)
        check_state(series)
    print(f"{symbol} {name}: {number} bars, {counts.pop('profile')} profiles")
    print("    " + ", ".join(f"{count} {' '.join(words)}" for words, count in sorted(counts.items())))
    for component, values in scores.items():
        spread = f"{min(values):.2f} .. {max(values):.2f}, mean {sum(values) / len(values):.2f}"
        far = sum(abs(score - 50) >= 20 for score in values) / len(values)
        print(f"    {component}: {len(values)} scores, {spread}, {100 * far:.0f} % of them 20 or more from 50")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with klines_binance_um")
    parser.add_argument("--timeframes", default=",".join(FRAMES))
    parser.add_argument("symbols", nargs="*", default=SYMBOLS)
    options = parser.parse_args()
    check()
    print("as by hand")
    for symbol in options.symbols if options.data else ():
        for name in options.timeframes.split(","):
            tell(options.data / KLINES.format(symbol), symbol, name)


if __name__ == "__main__":
    main()
