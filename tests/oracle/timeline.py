"""Everything prism should have stored: each table's rows with every version, from the trades in arrival order."""

from collections import namedtuple

import flows
import footprints
import scores
import sentiment
import setups
import signals
import structure
from indicators import NAMES, Indicators
from known import Numbered, Table

EPOCH = 100
GRACE = 250
HORIZON = 7_200_000
CONTRACT_SIZE = 1
BASE_UNIT = 10**12  # trade volumes are rounded to this part of one unit of base
JUMP = 2.0
UNITS = flows.Units(BASE_UNIT, 1)
SCALE = footprints.Scale(8, BASE_UNIT)
ROLES = (("1m", 60_000), ("5m", 300_000), ("15m", 900_000), ("1h", 3_600_000))
BASE = ROLES[0][1]
EXCHANGE, MARKET, SYMBOL = INSTRUMENT = "bitmex", "inverse", "XBTUSD"

Bar = namedtuple(
    "Bar",
    "start end open high low close volume turnover buy_volume sell_volume n_trades n_buys vwap first_trade_id last_trade_id source quality",
)


def round_up(time):
    return -(-time // EPOCH) * EPOCH


def close_time(end):
    return round_up(end + GRACE)


def parse_price(text):
    """A decimal price as an integer number of 1e-8."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 10**8 + int(fraction.ljust(8, "0") or 0)


class Sums:
    """What is known of the trades of one interval; exact, and in any order of arrival.

    `slots` and `prices`: those of a base bar, where `add` made it."""

    __slots__ = ("trades", "buys", "volume", "buy_volume", "contracts", "high", "low", "first", "last", "slots", "prices")

    def __init__(self):
        self.trades = self.buys = self.volume = self.buy_volume = self.contracts = 0
        self.high = self.low = self.first = self.last = None
        self.slots = [flows.Taken() for _ in range(flows.SLOTS)]
        self.prices = {}

    def add(self, time, seq, price, size):
        contracts = abs(size)
        scaled = contracts * CONTRACT_SIZE * BASE_UNIT * 10**8
        volume = (2 * scaled + price) // (2 * price)
        if not self.trades:
            self.high = self.low = price
            self.first = self.last = (time, seq, price)
        else:
            if price > self.high:
                self.high = price
            if price < self.low:
                self.low = price
            if (time, seq) > self.last[:2]:
                self.last = (time, seq, price)
            elif (time, seq) < self.first[:2]:
                self.first = (time, seq, price)
        self.trades += 1
        self.volume += volume
        self.contracts += contracts
        if size > 0:
            self.buys += 1
            self.buy_volume += volume
        self.slots[flows.SLOTS * (time % BASE) // BASE].add(size > 0, volume, contracts * CONTRACT_SIZE, UNITS)
        footprints.add(self.prices, price, size > 0, volume)

    def merge(self, other):
        if not self.trades:
            self.high, self.low, self.first, self.last = other.high, other.low, other.first, other.last
        else:
            self.high, self.low = max(self.high, other.high), min(self.low, other.low)
            self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.trades += other.trades
        self.buys += other.buys
        self.volume += other.volume
        self.buy_volume += other.buy_volume
        self.contracts += other.contracts


class Series:
    """Closed bars of one timeframe, their flows, footprints, indicators, structure and components."""

    def __init__(self, name, length, first_trade, last_trade):
        self.name, self.length = name, length
        self.first_event, self.last_event = first_trade, last_trade
        self.start = first_trade // length * length
        self.total = last_trade // length - first_trade // length + 1  # sealing closes nothing after the last trade
        self.bars, self.flows = [], []
        self.footprints, self.marks, self.mark_rows = [], footprints.Series(), []
        self.indicators = Indicators(length)
        self.structure, self.found, self.setups = structure.Series(), [], []
        self.components = []  # of each bar: {(dimension, component): (raw value, raw score)}
        self.component_rows = []
        self.dimension_rows = []

    def index(self, time):
        return (time - self.start) // self.length

    def end(self, i):
        return self.start + (i + 1) * self.length

    def as_of(self, end):
        """Index of the newest bar that ends at or before an instant; -1 if there is none."""
        return (end - self.start) // self.length - 1

    def closed_by(self, time):
        count = len(self.bars)
        while count < self.total and close_time(self.end(count)) <= time:
            count += 1
        return count

    def build(self, i, minutes):
        start, end = self.start + i * self.length, self.end(i)
        sums = Sums()
        for minute in range(start, end, BASE):
            if minute in minutes:
                sums.merge(minutes[minute])
        previous = self.bars[i - 1].close if i else None
        connected = self.first_event <= start and end <= self.last_event
        if not sums.trades:
            assert connected and i, "a recording has no gap bars"
            return Bar(start, end, *[previous] * 4, 0.0, 0.0, 0.0, 0.0, 0, 0, None, None, None, "trades", "ok")
        high, low = sums.high / 10**8, sums.low / 10**8
        volume, turnover = sums.volume / BASE_UNIT, float(sums.contracts * CONTRACT_SIZE)
        if previous is not None and (high > JUMP * previous or low < previous / JUMP):
            quality = "suspect"
        else:
            quality = "ok" if connected else "partial"
        return Bar(
            start, end, sums.first[2] / 10**8, high, low, sums.last[2] / 10**8, volume, turnover,
            sums.buy_volume / BASE_UNIT, (sums.volume - sums.buy_volume) / BASE_UNIT, sums.trades, sums.buys,
            turnover / volume, str(sums.first[1]), str(sums.last[1]), "trades", quality,
        )  # fmt: skip

    def flow(self, bar, minutes):
        """A slot of this timeframe is as many slots of base bars as it has base bars."""
        parts = [part for minute in range(bar.start, bar.end, BASE) for part in self.slots_of(minutes.get(minute))]
        n = self.length // BASE
        slots = [flows.merged(part for part in parts[i : i + n] if part) for i in range(0, len(parts), n)]
        return flows.Flow(bar.open, bar.close, slots, UNITS)

    def footprint(self, bar, minutes):
        parts = [minutes[minute].prices for minute in range(bar.start, bar.end, BASE) if minute in minutes]
        return footprints.of_prices(footprints.merged(parts), SCALE)

    @staticmethod
    def slots_of(sums):
        return sums.slots if sums else [None] * flows.SLOTS

    def update(self, time, minutes, dirty):
        """Closes what is due and rebuilds what late trades changed; the index of the first bar that is new or
        different, or the number of bars if none is."""
        touched = {self.index(minute) for minute in dirty}
        first = known = len(self.bars)
        changed = False
        for i in range(min(touched, default=known), known):
            changed = (changed or i in touched) and self.replace(i, minutes)
            if changed:
                first = min(first, i)
        for i in range(known, self.closed_by(time)):
            self.bars.append(self.build(i, minutes))
            self.flows.append(self.flow(self.bars[i], minutes))
            self.footprints.append(self.footprint(self.bars[i], minutes))
        if first < len(self.bars):
            self.indicators.cut(first)
            self.marks.cut(first)
            self.structure.cut(first)
            del self.components[first:], self.mark_rows[first:], self.found[first:], self.setups[first:]
            for i in range(first, len(self.bars)):
                bar, last = self.bars[i], self.flows[max(0, i + 1 - scores.WINDOW) : i + 1]
                self.indicators.append(bar)
                found = self.structure.append(bar, self.indicators.now("atr_14"), self.indicators.now("vwap_day"))
                self.found.append(found)
                self.setups.append(setups.of_newest(self.structure, self.indicators.now("atr_14")))
                own = scores.components(self.indicators, i) | flows.components(last) | found.components
                read = {name: self.indicators.now(name) for name in sentiment.READ}
                self.components.append(own | sentiment.of_market(bar, read, last))
                self.mark_rows.append(self.marks.append(bar.start, bar.low, bar.high, bar.close, self.footprints[i]))
        return first

    def replace(self, i, minutes):
        bar = self.build(i, minutes)
        if bar == self.bars[i]:
            return False
        self.bars[i] = bar
        self.flows[i] = self.flow(bar, minutes)
        self.footprints[i] = self.footprint(bar, minutes)
        return True


class Engine:
    """All series and tables; `step` takes everything known at one instant into account."""

    def __init__(self, first_trade, last_trade, of_signals):
        self.minutes = {}  # Sums by start of the base bar
        self.series = [Series(name, length, first_trade, last_trade) for name, length in ROLES]
        self.confluence = []
        self.signals = signals.Written(INSTRUMENT, ROLES[0][0], of_signals)
        names = "bars indicators order_flow footprint footprint_analysis structure_levels volume_profile setups"
        names = f"{names} component_scores dimension_scores confluence"
        self.tables = {name: Table() for name in names.split()} | self.signals.tables
        self.levels = Numbered(self.tables["footprint"])
        self.events = Numbered(self.tables["structure_levels"])

    def close_times(self):
        """Every instant at which a bar closes."""
        times = {close_time(series.end(i)) for series in self.series for i in range(series.total)}
        return sorted(times)

    def step(self, time, dirty=()):
        firsts = [series.update(time, self.minutes, dirty) for series in self.series]
        for series, first in zip(self.series, firsts):
            for i in range(first, len(series.bars)):
                bar = series.bars[i]
                self.tables["bars"].put((series.name, bar.start), time, bar[1:])
                self.tables["indicators"].put((series.name, bar.start), time, (bar.end, *series.indicators.row(i), bar.quality))
                flow = flows.columns(series.flows[i]).values()
                self.tables["order_flow"].put((series.name, bar.start), time, (bar.end, *flow))
                levels = series.footprints[i].rows() if series.footprints[i] else {}
                self.levels.put((series.name, bar.start), time, bar.end, levels)
                self.write("footprint_analysis", (series.name, bar.start), time, bar.end, series.mark_rows[i])
                self.events.put((series.name, bar.start), time, bar.end, dict(enumerate(series.found[i].events)))
                self.write("volume_profile", (series.name, bar.start), time, bar.end, series.found[i].profile)
                self.write("setups", (series.name, bar.start), time, bar.end, setups.values(series.setups[i]))
        # A bar's scores depend on its own series and on the higher ones: highest first.
        changed_end = None
        for role in reversed(range(len(self.series))):
            series, first = self.series[role], firsts[role]
            if first < len(series.bars):
                end = series.end(first)
                changed_end = end if changed_end is None else min(changed_end, end)
            if changed_end is not None:
                self.score_role(role, max(0, -(-(changed_end - series.start) // series.length) - 1), time)
        if changed_end is not None:
            base = self.series[0]
            self.score_all(max(0, -(-(changed_end - base.start) // base.length) - 1), time)

    def score_role(self, role, first, time):
        series = self.series[role]
        del series.component_rows[first:]
        del series.dimension_rows[first:]
        for i in range(first, len(series.bars)):
            bar = series.bars[i]
            higher = []
            for weight, other in zip(scores.ROLE_WEIGHTS[role + 1 :], self.series[role + 1 :]):
                j = other.as_of(bar.end)
                if j >= 0:
                    higher.append((weight, other.components[j]))
            rows = scores.component_rows(series.components[i], series.indicators.columns["adx_14"][i], higher)
            dims = scores.dimension_rows(rows)
            series.component_rows.append(rows)
            series.dimension_rows.append(dims)
            for dimension, names in scores.WEIGHTS.items():
                for name in names:
                    key = (series.name, bar.start, dimension, name)
                    self.write("component_scores", key, time, bar.end, rows.get((dimension, name)))
                self.write("dimension_scores", (series.name, bar.start, dimension), time, bar.end, dims.get(dimension))

    def write(self, table, key, time, end, values):
        if values is None:
            self.tables[table].drop(key, time)
        else:
            self.tables[table].put(key, time, (end, *values))

    def score_all(self, first, time):
        base = self.series[0]
        del self.confluence[first:]
        for i in range(first, len(base.bars)):
            bar = base.bars[i]
            roles = []
            for weight, series in zip(scores.ROLE_WEIGHTS, self.series):
                j = series.as_of(bar.end)
                if j >= 0:
                    roles.append((weight, series.component_rows[j], series.dimension_rows[j]))
            everything = scores.all_rows(roles)
            for dimension in scores.WEIGHTS:
                key = ("all", bar.start, dimension)
                self.write("dimension_scores", key, time, bar.end, everything.get(dimension))
            row = scores.confluence_row(everything, roles, bar)
            self.confluence.append(row)
            self.write("confluence", (bar.start,), time, bar.end, row)
        self.signals.update(first, {i: self.point(i) for i in range(first, len(base.bars)) if self.confluence[i]}, time)

    def point(self, i):
        base, row = self.series[0], self.confluence[i]
        return signals.Point(base.bars[i], row[1], row[scores.RELIABILITY], base.setups[i])


def parse(lines):
    """(time, price, size, knowledge time) of each line; the receive time is the event time."""
    prices = {}
    newest = 0
    for line in lines:
        time, price, size = line.split(",")
        time = int(time)
        newest = max(newest, time)
        if price not in prices:
            prices[price] = parse_price(price)
        yield time, prices[price], int(size), round_up(newest)


def run(lines, of_signals):
    """The engine after the whole recording was replayed and sealed, and the number of trades beyond the horizon."""
    times = [int(line.split(",", 1)[0]) for line in lines]
    first_trade, last_trade = min(times), max(times)
    engine = Engine(first_trade, last_trade, of_signals)
    closes = engine.close_times()
    due = 0  # index of the next close time
    too_late = 0
    dirty, dirty_time = set(), None  # base bars changed by late trades, all known at the same time

    def advance(until):
        """Takes in the late trades collected so far, then closes what is due before an instant."""
        nonlocal due
        if dirty:
            if due < len(closes) and closes[due] == dirty_time:
                due += 1
            engine.step(dirty_time, dirty)
            dirty.clear()
        while due < len(closes) and closes[due] < until:
            engine.step(closes[due])
            due += 1

    known_before = None
    for seq, (time, price, size, known) in enumerate(parse(lines), 1):
        if known != known_before:
            advance(known)
            known_before = known
        minute = time // BASE * BASE
        if known - (minute + BASE) > HORIZON:
            too_late += 1
            continue
        if minute not in engine.minutes:
            engine.minutes[minute] = Sums()
        engine.minutes[minute].add(time, seq, price, size)
        if known > close_time(minute + BASE):
            dirty.add(minute)
            dirty_time = known
    advance(float("inf"))
    check_final_values(engine, first_trade, last_trade, of_signals)
    return engine, too_late


def check_final_values(engine, first_trade, last_trade, of_signals):
    """The last versions must be what one pass over the complete bars gives."""
    fresh = Engine(first_trade, last_trade, of_signals)
    fresh.minutes = engine.minutes
    fresh.step(fresh.close_times()[-1])
    for name, table in engine.tables.items():
        assert table.last() == fresh.tables[name].last(), f"{name}: versions and final values disagree"
