"""What follows from the bars of one instrument that have holes: indicators, structure, components, confluence and signals."""

import bisect

import flows
import footprints
import scores
import sentiment
import setups
import signals
import structure
from indicators import Indicators
from markets import FRAMES, PRICE_UNIT, SIZE_UNIT
from timeline import close_time

ROLES = ("1m", "5m", "1h", "4h")
UNITS = flows.Units(SIZE_UNIT, PRICE_UNIT * SIZE_UNIT)
SCALE = footprints.Scale(len(str(PRICE_UNIT)) - 1, SIZE_UNIT)
INDICATOR_WINDOW, COMPONENT_WINDOW = 200, 50


class Series:
    """The bars of one timeframe that are not gaps, and how many stand between each and the last hole before it."""

    def __init__(self, name, bars, flat):
        self.name = name
        self.ends = [bar.end for bar in bars]
        self.index = []  # of every bar, gaps included: its place among those that are not gaps, or None
        self.bars, self.behind_hole = [], []
        self.indicators = Indicators(FRAMES[name])
        since, previous_end = None, None
        for bar in bars:
            if previous_end is not None and flat and bar.start != previous_end:
                since = 0
            previous_end = bar.end
            if bar.quality == "gap":
                since = 0
                self.index.append(None)
                continue
            self.index.append(len(self.bars))
            self.bars.append(bar)
            self.behind_hole.append(since)
            self.indicators.append(bar)
            since = None if since is None else since + 1

    def quality(self, i, window):
        """The bar's; an ok one is partial where fewer than so many bars stand between it and a hole."""
        quality, since = self.bars[i].quality, self.behind_hole[i]
        return "partial" if quality == "ok" and since is not None and since < window else quality

    def as_of(self, end, forgotten):
        """Place of the newest bar that ends at or before an instant; None if there is none or it is a gap, or if it is
        older than the newest one that is forgotten."""
        newest = bisect.bisect_right(self.ends, end) - 1
        return self.index[newest] if newest >= 0 and self.ends[newest] >= forgotten else None


def flows_of(history, name):
    """{start of bar: its flow} of the bars of a timeframe that have one: those of trades, and flat ones."""
    length, by_start = FRAMES[name], {}
    for trade in history.trades:
        taken = trade.time, trade.buy, trade.size, trade.price * trade.size
        by_start.setdefault(trade.time // length * length, []).append(taken)
    traded = (bar for bar in history.bars[name] if bar.source == "trades" and bar.quality != "gap")
    return {bar.start: flows.of_bar(bar, by_start.get(bar.start, ()), UNITS) for bar in traded}


class Scored:
    """`rows` holds {table: {key: versions}}, each version (when its inputs are known, values)."""

    def __init__(self, history, of_signals):
        self.history, self.symbol = history, history.symbol
        self.rows = {}
        self.series = {name: Series(name, bars, history.flat) for name, bars in history.bars.items()}
        for name, bars in history.bars.items():
            for bar in bars:
                self.put("bars", bar, (name, bar.start), bar[1:])
        for name, series in self.series.items():
            for i, bar in enumerate(series.bars):
                values = (bar.end, *series.indicators.row(i), series.quality(i, INDICATOR_WINDOW))
                self.put("indicators", bar, (name, bar.start), values)
        self.mark()
        self.score_roles()
        self.score_all(of_signals)

    def put(self, table, bar, key, values):
        rows = self.rows.setdefault(table, {})
        rows.setdefault((self.symbol, *key), []).append((close_time(bar.end), values))

    def mark(self):
        for name in ROLES:
            series, prices = footprints.Series(), {}
            for trade in self.history.trades:
                of_bar = prices.setdefault(trade.time // FRAMES[name] * FRAMES[name], {})
                footprints.add(of_bar, trade.price, trade.buy, trade.size)
            for bar in self.series[name].bars:
                footprint = footprints.of_prices(prices.get(bar.start), SCALE)
                values = series.append(bar.start, bar.low, bar.high, bar.close, footprint)
                if footprint:
                    self.put("footprint_analysis", bar, (name, bar.start), (bar.end, *values))
                    for level, values in footprint.rows().items():
                        self.put("footprint", bar, (name, bar.start, level), (bar.end, *values))

    def structure(self, name, bar, found, setup):
        """Its components."""
        for number, event in enumerate(found.events):
            self.put("structure_levels", bar, (name, bar.start, number), (bar.end, *event))
        if found.profile:
            self.put("volume_profile", bar, (name, bar.start), (bar.end, *found.profile))
        if setup:
            self.put("setups", bar, (name, bar.start), (bar.end, *setups.values(setup)))
        return found.components

    def score_roles(self):
        self.components, self.dimensions, self.setups = {}, {}, {}
        own = {}
        for name in ROLES:
            series = self.series[name]
            own[name] = [scores.components(series.indicators, i) for i in range(len(series.bars))]
            past, of_bars, structures = scores.Past(), flows_of(self.history, name), structure.Series()
            for i, (found, bar) in enumerate(zip(own[name], series.bars)):
                atr, vwap = (series.indicators.columns[column][i] for column in ("atr_14", "vwap_day"))
                of_structure = structures.append(bar, atr, vwap)
                self.setups[name, i] = setup = setups.of_newest(structures, atr)
                found |= self.structure(name, bar, of_structure, setup)
                last = past.last(of_bars.get(bar.start))
                read = {column: series.indicators.columns[column][i] for column in sentiment.READ}
                found |= sentiment.of_market(bar, read, last)
                if last:
                    found |= flows.components(last)
                    values = (bar.end, *flows.columns(last[-1]).values())
                    self.put("order_flow", bar, (name, bar.start), values)
        for role, name in enumerate(ROLES):
            series = self.series[name]
            self.components[name], self.dimensions[name] = [], []
            for i, bar in enumerate(series.bars):
                higher = []
                for weight, other in zip(scores.ROLE_WEIGHTS[role + 1 :], ROLES[role + 1 :]):
                    j = self.series[other].as_of(bar.end, self.history.forgotten_then(name, bar.end, other))
                    if j is not None:
                        higher.append((weight, own[other][j]))
                rows = scores.component_rows(own[name][i], series.indicators.columns["adx_14"][i], higher)
                dimensions = scores.dimension_rows(rows)
                self.components[name].append(rows)
                self.dimensions[name].append(dimensions)
                for (dimension, component), values in rows.items():
                    self.put("component_scores", bar, (name, bar.start, dimension, component), (bar.end, *values))
                for dimension, values in dimensions.items():
                    self.put("dimension_scores", bar, (name, bar.start, dimension), (bar.end, *values))

    def score_all(self, of_signals):
        base = self.series[ROLES[0]]
        found = signals.Signals(("binance", "linear", self.symbol), of_signals)
        for i, bar in enumerate(base.bars):
            roles, quality = [], bar.quality
            for weight, name in zip(scores.ROLE_WEIGHTS, ROLES):
                series = self.series[name]
                j = i if series is base else series.as_of(bar.end, self.history.forgotten_then(base.name, bar.end, name))
                if j is None:
                    continue
                roles.append((weight, self.components[name][j], self.dimensions[name][j]))
                since = series.behind_hole[j] if self.dimensions[name][j] else None  # a role without a component is not present
                if quality == "ok" and since is not None and since < COMPONENT_WINDOW:
                    quality = "partial"
            everything = scores.all_rows(roles)
            for dimension, values in everything.items():
                self.put("dimension_scores", bar, ("all", bar.start, dimension), (bar.end, *values))
            row = scores.confluence_row(everything, roles, bar._replace(quality=quality))
            if row:
                self.put("confluence", bar, (bar.start,), (bar.end, *row))
                found.append(i, signals.Point(bar, row[1], row[scores.RELIABILITY], self.setups[base.name, i]))
        for table, key, bar, values in signals.versions(found, base.name):
            self.put(table, bar, key, values)
