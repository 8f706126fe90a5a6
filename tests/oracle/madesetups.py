"""Setups and signals that were worked out by hand (`check`), and markets where prices meet those of setups exactly, where
there is no setup, and where late trades take back what happened to signals (`scenario`)."""

import math
import random
from collections import namedtuple

import setups
import signals
from madefootprints import WAVES, Script
from madestructure import PEAK, made

BREAK = f"{PEAK}, 11 12 11 12, 12 15 12 15"  # C 15, swing low 9, bullish block from 9 to 11, levels 14 and 9
BACK = f"{BREAK}, 15 15 11 12"
TURN = f"{BACK}, 12 12 9.5 11, 11 11 8 8"  # C 8, swing high 15, bearish block from 12 to 15, levels 14, 9 and 15
NOTHING = (None,) * 4
SETUPS = [  # bars, A, long, short
    (BREAK, None, None, None),
    (BREAK, 0.0, None, None),
    (PEAK, 1.0, (8.5, "atr", 14, 15.5), NOTHING),  # C 10, the swing high 14: 1.944 and then nothing
    (PEAK, 0.5, (9.25, "atr", 11.5, 12.25), (10.75, "atr", 8.5, 7.75)),  # 14 is too far for all
    (BREAK, 2.0, (8.982, "swing_low", 27.036, 33.054), (18, "atr", 9, 6)),
    (BREAK, 1.0, (13.5, "atr", 18, 19.5), (16.5, "atr", 11, 9)),  # 9 is 6 below
    (BREAK, 1.2, (8.982, "swing_low", 27.036, 33.054), (16.8, "atr", 11, 9)),  # and still near enough
    (BREAK, 4.1, (8.85, "atr", 27.3, 33.45), NOTHING),
    (BREAK, 10.0, NOTHING, NOTHING),  # a stop at 0
    (BACK, 1.0, (8.982, "swing_low", 18.036, 21.054), (13.5, "atr", 9, 7.5)),
    (TURN, 1.0, (6.5, "atr", 12, 14), (9.5, "atr", 5, 3.5)),
    (TURN, 1.5, (5.75, "atr", 14, 16.25), NOTHING),
]
LONG = setups.Setup(setups.Plan(95.0, "atr", 110.0, 120.0), setups.Plan(105.0, "atr", 90.0, 80.0))
Minute = namedtuple("Minute", "start end high low close")
SIGNALS = [  # score high low close of each minute, events of each signal with their minutes
    ("69.9 100 100 100, 70 100 100 100, 67 120 96 100, 66 100 100 100", ["raised 1 target_1 2 target_2 2 closed 3"]),
    ("70 120 90 100, 70 109 96 100, 60 110 96 100", ["raised 0 target_1 2 closed 2"]),
    ("70 100 100 100, 70 110 95 100, 70 120 96 100, 60 100 100 100", ["raised 0 stop 1 closed 3"]),
    ("70 100 100 100, 70 112 96 100, 70 112 96 100, 70 125 94 100", ["raised 0 target_1 1 stop 3"]),
    ("30 100 100 100, 33 104 90 100, 33 104 80 100, 34 105 70 100", ["raised 0 target_1 1 target_2 2 stop 3 closed 3"]),
    ("80 100 100 100, 20 94 94 94, 20 94 90 94, 66 94 94 94", ["raised 0 stop 1 superseded 1", "raised 1 target_1 2 closed 3"]),
    ("80 1 1 1, 20 1 1 1, 80 1 1 1", ["raised 0 stop 1 superseded 1", "raised 1 target_1 2 target_2 2 closed 2"]),
    ("80 1 1 1, 9 1 1 1, 9 1 1 1, 9 1 1 1, 9 1 1 1, 80 1 1 1", ["raised 0 stop 1 superseded 1", "", "raised 5"]),
]
WAVE_ENDS = (0, *WAVES)
# Levels, and how often a close is another than the leg it is on would have it. Of 500 the distances to what stops lean on
# are whole.
GRIDS = (1000, 0.5), (1000, 0.0), (2000, 0.1), (500, 0.5), (12, 0.5), (4, 0.5), (500, 0.4)
WILD, DRIFTING = 2, 7  # markets


# By hand


def is_close(found, expected):
    return len(found) == len(expected) and all(
        a == b or isinstance(b, (int, float)) and a is not None and math.isclose(a, b) for a, b in zip(found, expected)
    )


def check_setups():
    for text, atr, *expected in SETUPS:
        series, _ = made(text, atr=atr)
        found = setups.of_newest(series, atr)
        if expected in ([None, None], [NOTHING, NOTHING]):
            assert found is None
        else:
            assert all(map(is_close, found, expected)), (text, atr, found)


def words(signal):
    return " ".join(f"{event.name} {event.row}" for event in signal.events)


def check_signals():
    for text, expected in SIGNALS:
        found = signals.Signals(("", "", ""))
        for minute, numbers in enumerate(text.split(",")):
            score, *prices = (float(word) for word in numbers.split())
            bar = Minute(60_000 * minute, 60_000 * (minute + 1), *prices)
            found.append(minute, signals.Point(bar, score, 0.5, LONG))
        texts = map(words, found.list)
        assert all(b in ("", a) for a, b in zip(texts, expected, strict=True)), (text, *map(words, found.list))
    values = found.list[0].values("1m", signals.DEFAULT, found.list[0].events)
    assert is_close(values[10:18], (1, 1, 95, "atr", 110, 120, 109 / 94, 0.1 / 94 * 0.5)), values
    assert values[18:] == (120_000, None, None), values


def check():
    """Raises where a setup or a signal is not what it was found to be by hand."""
    check_setups()
    check_signals()


# Markets


def waves():
    """(minute, the import that tells of it)."""
    for wave, (first, end) in enumerate(zip(WAVE_ENDS, WAVES)):
        yield from ((minute, wave) for minute in range(first, end))


def grid(symbol, rng, level, restless):
    """Every range is 2, so that A is, and every close at most one away from the one before, at 2 at least; up and down."""
    script, close, leg = Script(symbol), level, 1
    for minute, wave in waves():
        leg = -leg if rng.random() < 0.08 else leg
        step = rng.choice((0, -leg)) if rng.random() < restless else leg
        before, close = close, max(2, close + step)
        script.minute(minute, f"B {before} 1, S {close + 1} 1, S {close - 1} 1, B {close} 1", wave)
    return script


def wild(symbol, rng):
    """Ranges as large as prices; one of twenty trades is told late."""
    script = Script(symbol)
    for minute, wave in waves():
        for price in [rng.randint(2, 90) for _ in range(3)] if minute % 60 > 20 else [40, 41, rng.randint(39, 42)]:
            late = rng.random() < 1 / 20 and wave + 1 < len(WAVES)
            script.minute(minute, f"{rng.choice('BS')} {price} {rng.randint(1, 5)}", wave + 1 if late else wave)
    return script


def drifting(symbol, rng):
    """With trends; one of twelve trades is told late, and half of these are far away. Some minutes reach far up and down."""
    script, price, drift = Script(symbol), 100.0, 0.0
    for minute, wave in waves():
        if minute % 15 == 0:
            drift = rng.choice((-0.06, -0.02, 0.02, 0.06))
        if rng.random() < 0.03:
            script.minute(minute, f"B {price * 1.03:.2f} 1, S {price * 0.97:.2f} 1", wave)
        for _ in range(4):
            price *= 1 + (drift + rng.gauss(0, 0.06)) / 100
            late = rng.random() < 1 / 12 and wave + 1 < len(WAVES)
            at = price * (1 + rng.gauss(0, 0.004)) if late and rng.random() < 0.5 else price
            side = "B" if rng.random() < 0.5 + 4 * drift else "S"
            script.minute(minute, f"{side} {at:.2f} {rng.randint(1, 9)}", wave + 1 if late else wave)
    return script


def scenario(seed):
    rng = random.Random(f"{seed} setups")
    makers = [(grid, *each) for each in GRIDS] + [(wild,)] * WILD + [(drifting,)] * DRIFTING
    scripts = [maker(f"{chr(ord('A') + place) * 3}USDT", rng, *more) for place, (maker, *more) in enumerate(makers)]
    return [[file for files in of_import for file in files] for of_import in zip(*(script.files() for script in scripts))]
