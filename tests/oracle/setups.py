"""Where a position entered at the close of a bar would be given up, and where it would be closed: METHODS.md 2, "Structure of
a bar", table `setups`."""

from collections import namedtuple

from structure import BEARISH, BULLISH, OTHER

SIDES = {"long": BULLISH, "short": BEARISH}
OF_SIDE = "stop basis target_1 target_2".split()
COLUMNS = [f"{side}_{name}" for side in SIDES for name in OF_SIDE]

REACH = 5  # times A, how far away what a stop leans on may be
LEAST = 1.5  # times A, a distance
BEYOND = {BULLISH: 0.998, BEARISH: 1.002}  # of what it leans on
SWINGS = {BULLISH: "swing_low", BEARISH: "swing_high"}

Plan = namedtuple("Plan", OF_SIDE)
NO_PLAN = Plan(None, None, None, None)
Setup = namedtuple("Setup", SIDES)


def supports(side, state):
    """[(price, word)] of what a stop may lean on; of equal prices the first counts."""
    swing = state.standing[side]
    blocks = [block.low if side == BULLISH else block.high for block in state.blocks[side]]
    return ([(swing.price, SWINGS[side])] if swing else []) + [(price, "order_block") for price in blocks]


def aims(side, state, profile):
    swing, blocks = state.standing[OTHER[side]], state.blocks[OTHER[side]]
    found = [swing.price] if swing else []
    found += [block.low if side == BULLISH else block.high for block in blocks]
    found += [level.price for level in state.levels]
    return found + ([profile.poc, profile.vah, profile.val] if profile else [])


def plan(side, close, atr, state, profile):
    """What is mirrored is the sign of all prices."""
    sign = 1 if side == BULLISH else -1
    entry, distance, basis = sign * close, LEAST * atr, "atr"
    near = [(sign * price, word) for price, word in supports(side, state)]
    near = [(price, word) for price, word in near if entry - REACH * atr <= price < entry]
    if near:
        price, word = max(near, key=lambda each: each[0])
        beyond = entry - BEYOND[side] * price
        if beyond > distance:
            distance, basis = beyond, word
    ahead = [sign * price for price in aims(side, state, profile)]

    def first(low, high):
        return min((price for price in ahead if low <= price <= high), default=low)

    target_1 = first(entry + 2 * distance, entry + 4 * distance)
    target_2 = first(target_1 + distance, target_1 + 3 * distance)
    found = Plan(sign * (entry - distance), basis, sign * target_1, sign * target_2)
    least = found.stop if side == BULLISH else found.target_2
    return found if least > 0 else NO_PLAN


def of_newest(series, atr):
    """The setup of the newest bar of a structure.Series, or None if there is neither side."""
    if not atr:
        return None
    close, state, profile = series.bars[-1].close, series.states[-1], series.profiles[-1]
    found = Setup(*(plan(side, close, atr, state, profile) for side in SIDES.values()))
    return None if found.long == found.short == NO_PLAN else found


def values(setup):
    """Of COLUMNS."""
    return setup and (*setup.long, *setup.short)


def rows(scored):
    """{(start, timeframe): row} of a bookscores.Scored."""
    found = {}
    for series in scored.series:
        for bar, setup in series.setups.items():
            if setup:
                row = dict(zip(COLUMNS, values(setup)))
                found[bar.start, series.name] = scored.unless(bar.end >= scored.changed_bars, bar, row)
    return found
