"""The structure of a series' bars (breaks, gaps, order blocks, swings and their levels, the profile of volume) with its two
tables, and the components of the dimension `pricestructure`, which read it: METHODS.md 2, "Structure of a bar", and 4."""

import math
from collections import namedtuple

EVENT_COLUMNS = "kind side state price_from price_to origin strength".split()
PROFILE_COLUMNS = "poc vah val low high volume".split()

SIDES = BULLISH, BEARISH = "bullish", "bearish"
OTHER = {BULLISH: BEARISH, BEARISH: BULLISH}
MOST_GAPS, MOST_BLOCKS, MOST_LEVELS = 16, 8, 24
WINDOW = 20  # bars: what a mean of V is of, where the bar of a block may be, what a swing is compared with, a range
PROFILE_BARS, BINS = 50, 48
VALUE_AREA = 0.7  # of the volume
EQUAL = 1 - 1e-9  # volumes, and this much of them
NOTHING = 1e-12  # a range, as a part of the price
MITIGATION = {"fresh": 1.0, "tested": 0.7, "mitigated": 0.4}

Event = namedtuple("Event", EVENT_COLUMNS)
Profile = namedtuple("Profile", PROFILE_COLUMNS)
# `place`: the number of the bar that something is of.
Swing = namedtuple("Swing", "place price volume strength")
Gap = namedtuple("Gap", "place low high")
Block = namedtuple("Block", "place low high strength state")
# What stands after a bar. Of a dictionary of sides `bearish` has swing highs, `bullish` swing lows; `swings` are the newest
# two; a `standing` one may be None; `trend`: a side or None.
State = namedtuple("State", "trend swings standing gaps blocks levels")
NO_STATE = State(None, *({side: of for side in SIDES} for of in ((), None, (), ())), ())


def mean(values):
    return sum(values) / len(values) if values else 0.0


def clip(x, low=0.0, high=1.0):
    return min(max(x, low), high)


def mean_volume(bars):
    return mean([bar.volume for bar in bars])


# 1. Breaks


def broken(bar, state):
    """(side to which a standing swing is broken, the swing) or None."""
    high, low = state.standing[BEARISH], state.standing[BULLISH]
    if high and bar.close > high.price:
        return BULLISH, high
    if low and bar.close < low.price:
        return BEARISH, low
    return None


def after_break(found, state, events):
    if not found:
        return state
    side, swing = found
    kind = "choch" if state.trend == OTHER[side] else "bos"
    events.append(Event(kind, side, "broken", swing.price, swing.price, swing.place, swing.strength))
    return state._replace(trend=side, standing=state.standing | {OTHER[side]: None})


# 2. Fair value gaps


def new_gap(bars):
    """(side, gap) of the newest bar and the two before it, or None."""
    if len(bars) < 3:
        return None
    before, between, bar = bars[-3:]
    place = len(bars) - 2
    if bar.low > before.high and between.close > between.open:
        return BULLISH, Gap(place, before.high, bar.low)
    if bar.high < before.low and between.close < between.open:
        return BEARISH, Gap(place, bar.high, before.low)
    return None


def after_gaps(bars, state, events):
    bar, gaps = bars[-1], {}

    def tell(side, word, gap):
        events.append(Event("fair_value_gap", side, word, gap.low, gap.high, gap.place, None))

    def is_filled(side, gap):
        return bar.low <= gap.low if side == BULLISH else bar.high >= gap.high

    for side in SIDES:
        for gap in state.gaps[side]:
            if is_filled(side, gap):
                tell(side, "filled", gap)
        gaps[side] = tuple(gap for gap in state.gaps[side] if not is_filled(side, gap))
    found = new_gap(bars)
    if found:
        side, gap = found
        tell(side, "open", gap)
        gaps[side] = (*gaps[side], gap)[-MOST_GAPS:]
    return state._replace(gaps=gaps)


# 3. Order blocks


def state_of_block(side, block, bar):
    """The state that the bar leaves a block in."""
    middle = (block.low + block.high) / 2
    if side == BULLISH:
        is_broken, is_mitigated, is_tested = bar.close < block.low, bar.low <= middle, bar.low <= block.high
    else:
        is_broken, is_mitigated, is_tested = bar.close > block.high, bar.high >= middle, bar.high >= block.low
    if is_broken:
        return "broken"
    if is_mitigated or block.state == "mitigated":
        return "mitigated"
    return "tested" if is_tested else block.state


def new_block(bars, side, swing, standing):
    """The block of a break, or None."""
    newest = len(bars) - 1
    for place in range(newest - 1, max(0, newest - WINDOW) - 1, -1):
        bar = bars[place]
        if bar.close < bar.open if side == BULLISH else bar.close > bar.open:
            if any(block.place == place for block in standing):
                return None
            usual = mean_volume(bars[-WINDOW:])
            v = mean_volume(bars[place:]) / usual if usual else 0.0
            return Block(place, bar.low, bar.high, 0.6 * min(1.0, v / 2) + 0.4 * swing.strength, "fresh")
    return None


def after_blocks(bars, found, state, events):
    blocks = {}

    def tell(side, block):
        events.append(Event("order_block", side, block.state, block.low, block.high, block.place, block.strength))

    for side in SIDES:
        now = [(block, block._replace(state=state_of_block(side, block, bars[-1]))) for block in state.blocks[side]]
        for before, block in now:
            if block != before:
                tell(side, block)
        blocks[side] = tuple(block for _, block in now if block.state != "broken")
    if found:
        side, swing = found
        block = new_block(bars, side, swing, blocks[side])
        if block:
            tell(side, block)
            blocks[side] = (*blocks[side], block)[-MOST_BLOCKS:]
    return state._replace(blocks=blocks)


# 4. Swings


def new_swing(bars, side):
    """Of the bar before the newest two: a swing high (`bearish`) or low, or None."""
    place = len(bars) - 3
    if place < 2:
        return None
    heights = [bar.high if side == BEARISH else -bar.low for bar in bars[max(0, place - WINDOW) :]]
    *before, own, next_, newest = heights
    if not (own > max(before[-2:]) and own >= max(next_, newest)):
        return None
    number = next((number for number, height in enumerate(reversed(before)) if height >= own), len(before))
    bar = bars[place]
    return Swing(place, bar.high if side == BEARISH else bar.low, bar.volume, number / WINDOW)


def after_swings(bars, atr, state, events):
    for side, kind in (BEARISH, "swing_high"), (BULLISH, "swing_low"):
        swing = new_swing(bars, side)
        if not swing:
            continue
        events.append(Event(kind, side, "confirmed", swing.price, swing.price, swing.place, swing.strength))
        swings = state.swings | {side: (*state.swings[side], swing)[-2:]}
        levels = joined(state.levels, swing, atr / 2) if atr else state.levels
        state = state._replace(swings=swings, standing=state.standing | {side: swing}, levels=levels)
    return state


# 5. Levels


class Level(namedtuple("Level", "total volume number last")):
    """Of swings: the sum of their prices, that of their bars' V, how many they are, and the place of the last."""

    @property
    def price(self):
        return self.total / self.number

    def with_(self, swing):
        return Level(self.total + swing.price, self.volume + swing.volume, self.number + 1, swing.place)


def joined(levels, swing, reach):
    """The levels with another swing."""

    def distance(level):
        return abs(level.price - swing.price)

    near = [level for level in levels if distance(level) <= reach]
    if near:
        nearest = min(near, key=lambda level: (distance(level), level.price))
        return tuple(level.with_(swing) if level is nearest else level for level in levels)
    if len(levels) == MOST_LEVELS:
        oldest = min(levels, key=lambda level: (level.last, level.price))
        levels = tuple(level for level in levels if level is not oldest)
    return (*levels, Level(swing.price, swing.volume, 1, swing.place))


# The profile of volume


def spread(bars, low, height):
    """Volumes of the bins."""
    bins = [0.0] * BINS
    for bar in bars:
        length, first = bar.high - bar.low, math.floor((bar.low - low) / height)
        if length <= NOTHING * bar.high:
            bins[min(BINS - 1, first)] += bar.volume
            continue
        last = math.floor((bar.high - low) / height)
        for k in range(max(0, first - 1), min(BINS, last + 2)):  # one more on both sides, whatever was rounded
            overlap = min(bar.high, low + (k + 1) * height) - max(bar.low, low + k * height)
            bins[k] += bar.volume * max(0.0, overlap) / length
    return bins


def value_area(bins, poc):
    """(first, last) of its bins."""
    first = last = poc
    inside, wanted = bins[poc], EQUAL * VALUE_AREA * sum(bins)
    while inside < wanted:
        above = bins[last + 1] if last + 1 < BINS else None
        below = bins[first - 1] if first else None
        if below is None or above is not None and above >= EQUAL * below:
            last, inside = last + 1, inside + above
        else:
            first, inside = first - 1, inside + below
    return first, last


def profile(bars):
    """Of the last 50 bars, or None."""
    bars = bars[-PROFILE_BARS:]
    low, high = min(bar.low for bar in bars), max(bar.high for bar in bars)
    volume = sum(bar.volume for bar in bars)
    if len(bars) < PROFILE_BARS or high - low <= NOTHING * high or not volume:
        return None
    height = (high - low) / BINS
    bins = spread(bars, low, height)
    most = EQUAL * max(bins)
    poc = next(k for k in range(BINS) if bins[k] >= most)
    first, last = value_area(bins, poc)
    return Profile(low + (poc + 0.5) * height, low + (last + 1) * height, low + first * height, low, high, volume)


# Components: of what is read at a bar, (raw value, raw score) or None

# `before`: the last 20 bars before it; `state` and `profile`: of the bar before it.
Reading = namedtuple("Reading", "place bar atr vwap before state profile")


def pull(side, low, high, now):
    """g of a zone."""
    close = now.bar.close
    if side == BULLISH:
        beyond, inside, length = close - high, close - low, high - low
    else:
        beyond, inside, length = low - close, high - close, high - low
    return 2 ** -(beyond / now.atr) if beyond >= 0 else 0.0 if inside <= 0 else inside / length


def most(values):
    return max(values, default=0.0)


def order_blocks(now):
    pulls = {}
    for side, blocks in now.state.blocks.items():
        pulls[side] = [block.strength * MITIGATION[block.state] * pull(side, block.low, block.high, now) for block in blocks]
    if not any(pulls.values()):
        return None
    x = most(pulls[BULLISH]) - most(pulls[BEARISH])
    return x, 50 + 50 * x


def value_area_component(now):
    if not now.profile:
        return None
    off = now.bar.close - now.profile.poc
    u = off / (now.profile.vah - now.profile.poc if off >= 0 else now.profile.poc - now.profile.val)
    f = -2 * u * (1 - abs(u)) if abs(u) <= 1 else math.copysign(math.tanh(abs(u) - 1), u)
    return u, 50 + 50 * f


def vwap(now):
    if now.vwap is None:
        return None
    d = clip((now.bar.close - now.vwap) / now.atr, -1.0)
    return d, 50 + 50 * math.tanh(10 * d) * (0.5 - abs(d))


def support_resistance(now):
    if not now.state.levels:
        return None
    usual, pulls = mean_volume(now.before), {1: [], -1: []}
    for level in now.state.levels:
        z = (now.bar.close - level.price) / now.atr
        s = 0.5 * min(1.0, level.number / 4) + 0.2 * 2 ** -((now.place - level.last) / 100)
        s += 0.3 * min(1.0, level.volume / (2 * level.number * usual)) if usual else 0.0
        if z:
            pulls[1 if z > 0 else -1].append(s * abs(z) * 2 ** (1 - abs(z)))
    x = clip(most(pulls[1]) - most(pulls[-1]), -1.0)
    return x, 50 + 50 * x


def market_structure(now):
    state, close, atr = now.state, now.bar.close, now.atr
    if any(len(swings) < 2 for swings in state.swings.values()):
        return None
    high, low = state.standing[BEARISH], state.standing[BULLISH]
    p = clip((close - high.price) / atr) if high else 0.0
    q = clip((low.price - close) / atr) if low else 0.0
    t = {BULLISH: 1, BEARISH: -1, None: 0}[state.trend] * (1 - max(p, q)) + p - q
    steps = [math.tanh((newest.price - before.price) / atr) for before, newest in state.swings.values()]
    bullish, bearish = (most(pull(side, gap.low, gap.high, now) for gap in state.gaps[side]) for side in SIDES)
    x = 0.5 * t + 0.15 * sum(steps) + 0.2 * (bullish - bearish)
    return x, 50 + 50 * x


def range_component(now):
    bars, bar, atr = now.before, now.bar, now.atr
    if len(bars) < WINDOW:
        return None
    top, bottom = max(each.high for each in bars), min(each.low for each in bars)
    if top - bottom <= NOTHING * top:
        return None
    way = sum(abs(after.close - before.close) for before, after in zip(bars, bars[1:]))
    e = abs(bars[-1].close - bars[0].close) / way if way else 0.0
    p = 2 * (bar.close - bottom) / (top - bottom) - 1
    r = -4 * p * (1 - abs(p)) if abs(p) <= 1 else 0.0
    b = clip((bar.close - top) / atr) - clip((bottom - bar.close) / atr)
    left = clip((bottom - bar.low) / atr) - clip((bar.high - top) / atr)
    x = clip(0.5 * (1 - e) * r + 0.5 * left * (1 - abs(b)) + b, -1.0)
    return x, 50 + 50 * x


COMPONENTS = {
    "order_blocks": order_blocks,
    "value_area": value_area_component,
    "vwap": vwap,
    "support_resistance": support_resistance,
    "market_structure": market_structure,
    "range": range_component,
}


# The series

# `components`: {(dimension, component): (raw value, raw score)}; `events`: values of EVENT_COLUMNS; `profile`: of
# PROFILE_COLUMNS, or None.
Found = namedtuple("Found", "components events profile")


class Series:
    """The bars of a timeframe that are no gaps, one after another."""

    def __init__(self):
        self.bars, self.states, self.profiles = [], [], []

    def cut(self, place):
        del self.bars[place:], self.states[place:], self.profiles[place:]

    def append(self, bar, atr, vwap_day):
        """What is found of the next bar, of which these are the indicators."""
        state, before = (self.states[-1], self.profiles[-1]) if self.bars else (NO_STATE, None)
        reading = Reading(len(self.bars), bar, atr, vwap_day, self.bars[-WINDOW:], state, before)
        self.bars.append(bar)
        components = {name: function(reading) for name, function in COMPONENTS.items()} if atr else {}
        state, events = self.after(state, atr)
        self.states.append(state)
        self.profiles.append(profile(self.bars))
        components = {("pricestructure", name): values for name, values in components.items() if values}
        return Found(components, events, self.profiles[-1])

    def after(self, state, atr):
        """The state after the newest bar, and its events, `origin` as the start of a bar."""
        events, found = [], broken(self.bars[-1], state)
        state = after_break(found, state, events)
        state = after_gaps(self.bars, state, events)
        state = after_blocks(self.bars, found, state, events)
        state = after_swings(self.bars, atr, state, events)
        return state, [event._replace(origin=self.bars[event.origin].start) for event in events]
