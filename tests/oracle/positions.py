"""What is open, what holding it costs, and who was forced out, in the bars of contracts: `open_interest_analysis` and
`liquidation_analysis` with their versions, and the component `open_interest`; and what else is told of those who hold it.
METHODS.md 2, "Positions of a bar"."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter, namedtuple

from bookrows import rounded_up, start_of
from frames import Margins, Ratio, Ticker
from known import Version, dated, versions
from scores import FORGETS_AFTER, WINDOW, part, sign

SECOND = 10**9
LOOKS_BACK = {"open": 600 * SECOND, "funding": 600 * SECOND}  # for what is open, and what it costs
HOLDS = 600 * SECOND, 1_800 * SECOND  # all else: at least, at most
HORIZONS = (1, 5, 19)  # bars
NOTHING = 1e-12
DEAR = 0.0005  # of a funding rate
HALVED_AFTER = 5  # bars
IN_THE_END, NEVER = 2**63, math.inf  # when everything is known
PARTS = {"regime": 0.4, "divergence": 0.2, "structure": 0.2, "crowding": 0.2}
REGIMES = {(1, 1): "long_buildup", (-1, 1): "short_buildup", (1, -1): "short_covering", (-1, -1): "long_unwinding"}
OPEN_NUMBERS = "change_1 change_5 change_19 regime regime_strength divergence structure crowding concentration"

Fact = namedtuple("Fact", "time value known")
# In the order in which they are summed; `lossy`: from when on a stream that leaves some out told it, too.
Order = namedtuple("Order", "time buy price size known lossy")


def positive(value):
    return value if value is not None and value > 0 else None


def ratio(event):
    return float(event.long) / float(event.short) if min(event.long, event.short) > 0 else None


# {name: (of which events, their value or None)}; margins are (leverage, initial, maintenance).
VALUES = {
    "open": (Ticker, lambda event: positive(event.open)),
    "funding": (Ticker, lambda event: event.funding),
    "interval": (Ticker, lambda event: positive(event.interval)),
    "account": (Ratio, lambda event: ratio(event) if event.kind == "account" else None),
    "top_position": (Ratio, lambda event: ratio(event) if event.kind == "top_position" else None),
    "margins": (Margins, lambda event: event[2:] if min(event[2:]) > 0 else None),
}


class Told:
    """What is used of what was told of an instrument: `events` and `forced` are [(event, when it became known)]."""

    def __init__(self, events, forced, settings, contract, inverse):
        self.settings, self.contract, self.inverse = settings, contract, inverse
        self.facts = {name: self.used(events, *of) for name, of in VALUES.items()}
        self.orders = self.each_once(forced)
        told = {(fact.known, fact.time) for facts in [*self.facts.values(), self.orders] for fact in facts}
        told |= {(order.lossy, order.time) for order in self.orders if order.lossy < NEVER}
        self.late = sorted((known, time) for known, time in told if known > self.close(self.base_end(time)))

    def close(self, end):
        return rounded_up(end + self.settings.grace, self.settings.epoch)

    def base_end(self, time):
        return start_of(time, self.settings.base) + self.settings.base

    def is_used(self, event, known):
        in_time = 0 <= event.time <= event.received + self.settings.max_ahead
        return in_time and known - self.base_end(event.time) <= self.settings.horizon

    def used(self, events, kind, value_of):
        used = [(event, known) for event, known in events if isinstance(event, kind) and self.is_used(event, known)]
        values = ((event.time, value_of(event), known) for event, known in used)
        return sorted(Fact(time, value, known) for time, value, known in values if value is not None)

    def each_once(self, forced):
        counts, known_first, lossy = Counter(), {}, {}
        for event, known in forced:
            of_venue = event.time, not event.sale, event.price, event.size
            number = counts[event.received, of_venue]
            counts[event.received, of_venue] += 1
            if event.price > 0 and event.size > 0 and self.is_used(event, known):
                known_first.setdefault((of_venue, number), known)
                if not event.all:
                    lossy.setdefault((of_venue, number), known)
        return sorted(Order(*key[0], known, lossy.get(key, NEVER)) for key, known in known_first.items())

    def newest(self, name, end):
        """[(from when on, value)] of the newest of the facts at the end of a bar; the first is that of its close."""
        least, most = HOLDS
        facts, longer = self.facts[name], max(least, min(most, self.settings.horizon))
        since = end - LOOKS_BACK.get(name, longer)
        close, place, later, standing = self.close(end), bisect_left(facts, (end,)), [], None
        while place and facts[place - 1].time >= since and standing is None:
            place -= 1
            if facts[place].known <= close:
                standing = facts[place]
            else:
                later.append(facts[place])
        history = {close: standing and standing.value}
        for fact in sorted(later, key=lambda fact: fact.known):
            if standing is None or standing[:2] < fact[:2]:
                standing = fact
                history[fact.known] = fact.value
        return sorted(history.items(), key=lambda entry: entry[0])

    def worth_of_contract(self, known):
        """Of an inverse contract, if it is declared by then."""
        return self.contract[0] if self.contract and self.contract[1] <= known else None

    def worths(self, order, known):
        """(size in base, worth in quote) of an order, if that is known."""
        if not self.inverse:
            return float(order.size), float(order.price * order.size)
        contract = self.worth_of_contract(known)
        return contract and (float(order.size * contract / order.price), float(order.size * contract))


def at(history, known):
    """What a history says at an instant that is not before its first."""
    return history[bisect_right(history, known, key=lambda entry: entry[0]) - 1][1]


class Sums:
    """Of the forced orders of one bar."""

    def __init__(self, orders, known, told):
        self.numbers, self.volumes, self.worths, self.largest, self.all = [0, 0], [0.0, 0.0], [0.0, 0.0], 0.0, True
        for order in orders:
            worths = told.worths(order, known) if order.known <= known else None
            if worths:
                self.numbers[order.buy] += 1
                self.volumes[order.buy] += worths[0]
                self.worths[order.buy] += worths[1]
                self.largest = max(self.largest, worths[1])
                self.all &= known < order.lossy
        self.total = sum(self.worths)

    @property
    def imbalance(self):
        longs, shorts = self.worths
        return (longs - shorts) / self.total if self.total else None


class Positions:
    """Those of the bars of one timeframe.

    `open` and `forced` are {start: [Version]}, whose first is that of the bar's close if it is there then; a bar whose
    versions are not known, since bars that it reads have several, has the newest alone, known at no time (None)."""

    def __init__(self, told, bars):
        self.told = told
        self.all_bars = sorted(bars)
        self.bars = [bar for bar in self.all_bars if bar.quality != "gap"]
        self.newest = {name: [told.newest(name, bar.end) for bar in self.bars] for name in VALUES}
        self.orders = [self.within(bar) for bar in self.bars]
        self.unsure = [bar.start for bar in self.all_bars if bar.changed or bar.known != told.close(bar.end)]
        contract = {told.contract[1]} if told.contract else set()
        told_of = ({instant for order in orders for instant in (order.known, order.lossy)} for orders in self.orders)
        self.instants = [sorted(contract | instants) for instants in told_of]  # when what is known of a bar's orders changes
        self.sums_of = {}
        self.open, self.forced = {}, {}
        for place, bar in enumerate(self.bars):
            self.open[bar.start] = self.versions(place, self.open_row)
            self.forced[bar.start] = self.versions(place, self.forced_row)

    def within(self, bar):
        orders = self.told.orders
        return orders[bisect_left(orders, (bar.start,)) : bisect_left(orders, (bar.end,))]

    def versions(self, place, row):
        bar = self.bars[place]
        oldest = self.bars[min(row(place, known)[1] for known in (bar.known, IN_THE_END))].start
        if any(oldest <= start <= bar.start and (start != bar.start or bar.changed) for start in self.unsure):
            return [Version(None, found.values) for found in versions([IN_THE_END], lambda known: row(place, known)[0])]
        later = {known for known, time in self.told.late if time < bar.end and bar.known < known}
        return versions(sorted({bar.known, *later}), lambda known: row(place, known)[0])

    def rows(self, histories, name):
        """{(start, timeframe): row} of what is there in the end of `histories`, {start: [Version]}."""
        found, ends = {}, {bar.start: bar.end for bar in self.bars}
        for start, told in histories.items():
            if told and told[-1].values:
                found[start, name] = {"ts_close": ends[start], **told[-1].values, "retracted": False}
                if told[-1].known is not None:
                    found[start, name] |= dated(told)
        return found

    # What is open

    def now(self, name, place, known):
        return at(self.newest[name][place], known)

    def last(self, name, place, known):
        """([places of the last 20 bars that have it, or fewer, oldest first], the oldest place that was looked at)."""
        found, without, oldest = [], 0, place
        for oldest in range(place, -1, -1):
            if self.now(name, oldest, known) is not None:
                found.append(oldest)
                without = 0
            else:
                without += 1
            if len(found) == WINDOW or without == FORGETS_AFTER:
                break
        return found[::-1], oldest

    def open_row(self, place, known):
        """({column: value} or None, the oldest place that it reads)."""
        bar, open_ = self.bars[place], self.now("open", place, known)
        if open_ is None:
            return None, place
        funding = self.now("funding", place, known)
        contract = self.told.worth_of_contract(known)
        worth = float(open_) * bar.close if not self.told.inverse else contract and float(open_ * contract)
        row = {"open_interest": float(open_), "open_interest_value": worth}
        row |= {"funding_rate": None if funding is None else float(funding)} | dict.fromkeys(OPEN_NUMBERS.split())
        last, oldest = self.last("open", place, known)
        if len(last) == WINDOW:
            opens = [float(self.now("open", each, known)) for each in last]
            bars = [self.bars[each] for each in last]
            row |= open_numbers(opens, [each.close for each in bars], row["funding_rate"])
            turnovers = [each.turnover for each in bars]
            if worth is not None and None not in turnovers and sum(turnovers):
                row["concentration"] = worth / sum(turnovers)
        return row, oldest

    def component(self, start):
        """[(known, (raw value, raw score) or None)] of the component `open_interest`; as `open` otherwise."""
        return [Version(known, row and of_component(row)) for known, row in self.open.get(start, ())]

    # Forced orders

    def sums(self, place, known):
        key = place, bisect_right(self.instants[place], known)
        if key not in self.sums_of:
            self.sums_of[key] = Sums(self.orders[place], known, self.told)
        return self.sums_of[key]

    def mean(self, sums):
        return sum(each.total for each in sums) / len(sums)

    def is_cascade(self, place, known):
        if place + 1 < WINDOW:
            return False
        sums = [self.sums(each, known) for each in range(place + 1 - WINDOW, place + 1)]
        bar, own = self.bars[place], sums[-1]
        if not own.total or own.total < 3 * self.mean(sums) or abs(own.imbalance) < 0.6:
            return False
        return bar.close < bar.open if own.imbalance > 0 else bar.close > bar.open

    def cascade(self, place, known, sums):
        if place + 1 < WINDOW:
            return "none"
        if self.is_cascade(place, known):
            return "cascade"
        own = sums[-1].total
        for before in range(place - 1, place - 4, -1):
            if self.is_cascade(before, known):
                if own < self.sums(before, known).total / 2:
                    return "fading"
                break
        return "building" if own >= 2 * self.mean(sums) and own > sums[-2].total else "none"

    def forced_row(self, place, known):
        oldest = max(0, place + 1 - WINDOW)
        if not any(self.orders[oldest : place + 1]):
            return None, oldest
        sums = [self.sums(each, known) for each in range(oldest, place + 1)]
        if not any(sum(each.numbers) for each in sums):
            return None, oldest
        own, mean = sums[-1], self.mean(sums)
        row = {"n_longs": own.numbers[0], "n_shorts": own.numbers[1], "long_volume": own.volumes[0]}
        row |= {"short_volume": own.volumes[1], "long_turnover": own.worths[0], "short_turnover": own.worths[1]}
        row |= {"largest": own.largest, "completeness": "all" if own.all else "at_least", "imbalance": own.imbalance}
        weights = [2 ** (-age / HALVED_AFTER) for age in reversed(range(len(sums)))]
        longs, shorts = (sum(weight * each.worths[side] for weight, each in zip(weights, sums)) for side in (0, 1))
        row["weighted_imbalance"] = (longs - shorts) / (longs + shorts)
        row["acceleration"] = (own.total - (sums[-2].total if place else 0.0)) / mean
        row["cascade"] = self.cascade(place, known, sums)
        row["reversal_potential"] = reversal_potential(sums, mean) if len(sums) == WINDOW else 0.0
        return row, max(0, place - 2 - WINDOW)


def open_numbers(opens, closes, funding):
    """{column: value} of the last 20 O and C."""
    found = {f"change_{bars}": 100 * (opens[-1] / opens[-1 - bars] - 1) for bars in HORIZONS}
    scale_open, scale_close = (steps(values) for values in (opens, closes))
    if min(scale_open, scale_close) <= NOTHING:
        return found

    def z(values, scale, bars):
        return math.tanh(math.log(values[-1] / values[-1 - bars]) / (scale * math.sqrt(bars)))

    z_open = {bars: z(opens, scale_open, bars) for bars in HORIZONS}
    z_close = {bars: z(closes, scale_close, bars) for bars in HORIZONS}
    signs = tuple(sign(values[-1] - values[-6]) for values in (closes, opens))
    found["regime"] = REGIMES.get(signs, "none")
    found["regime_strength"] = z_close[5] * (0.75 + 0.25 * z_open[5])
    found["divergence"] = place_of_last(closes) * place_of_last(opens)
    found["structure"] = sum(z_open.values()) / len(z_open) * z_close[19]
    if funding is not None:
        found["crowding"] = -math.tanh(funding / DEAR) * (1 + z_open[19]) / 2
    return found


def steps(values):
    """Root of the mean of the squares of the changes from one to the next."""
    changes = [math.log(b / a) for a, b in zip(values, values[1:])]
    return math.sqrt(sum(change * change for change in changes) / len(changes))


def place_of_last(values):
    least, largest = min(values), max(values)
    return 2 * (values[-1] - least) / (largest - least) - 1


def of_component(row):
    if row["regime_strength"] is None:
        return None
    numbers = row | {"regime": row["regime_strength"]}
    return row["change_5"], 50 + 50 * part((weight, numbers[name]) for name, weight in PARTS.items())


def reversal_potential(sums, mean):
    peak = max(reversed(sums[-5:]), key=lambda each: each.total)  # of equal ones the newest
    if not peak.total:
        return 0.0
    return 100 * peak.imbalance * math.tanh(peak.total / (3 * mean)) * (1 - sums[-1].total / peak.total)
