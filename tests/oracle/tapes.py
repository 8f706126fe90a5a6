"""The trades of a recording that are in an instrument's bars, and the flow and the footprint of bars that they make.
METHODS.md 1 and 2.

Each instrument has one stream of trades. Of each bar there is what it has in the end, late trades among it.
"""

from fractions import Fraction

import flows
import footprints
from bookrows import rounded_up, start_of
from known import versions
from orderbook import decimals

BASE_UNITS, VALUE_UNITS = 10**12, 10**8  # of inverse contracts: a trade's volume is rounded to one of these
MINUTE = 60 * 10**9


class Tape:
    """`arrived` = [(trade, when it became known)]; `contract` = (size as a Fraction, when that is known), if any."""

    def __init__(self, instrument, arrived, settings, contract):
        self.contract = contract
        self.close = lambda end: rounded_up(end + settings.grace, settings.epoch)
        places = max((decimals(trade.price) for trade, _ in arrived), default=0)
        if instrument.market == "inverse":
            self.units = flows.Units(BASE_UNITS, VALUE_UNITS)
        else:
            size = 10 ** max((decimals(trade.size) for trade, _ in arrived), default=0)
            self.units = flows.Units(size, 10**places * size)
        self.scale = footprints.Scale(places, self.units.size)
        self.trades, self.prices = [], []  # (time, whether bought, size, value); (price, known) of each
        identities = set()
        for trade, known in arrived:
            identity = trade.number, trade.time // MINUTE
            if identity not in identities and self.is_taken(instrument, trade, known, settings):
                identities.add(identity)
                size, value = self.worth(instrument, Fraction(trade.price), Fraction(trade.size))
                self.trades.append((trade.time, trade.buy, size, value))
                self.prices.append((int(Fraction(trade.price) * 10**places), known))

    def is_taken(self, instrument, trade, known, settings):
        if trade.time > trade.received + settings.max_ahead:
            return False
        if known - start_of(trade.time, settings.base) - settings.base > settings.horizon:
            return False
        return instrument.market != "inverse" or self.contract and self.contract[1] <= known

    def worth(self, instrument, price, size):
        """(size in base, value in quote) of a trade, in units."""
        if instrument.market == "inverse":
            value = size * self.contract[0]
            base = Fraction(round(value / price * self.units.size))
        else:
            value, base = price * size, size * self.units.size
        value *= self.units.value
        assert value.denominator == base.denominator == 1, "units are too coarse"
        return int(base), int(value)

    def flows(self, bars):
        """{start: flow} of the bars of one timeframe that have one."""
        bars = {bar.start: bar for bar in bars if bar.source == "trades" and bar.quality != "gap"}
        length = next((bar.end - bar.start for bar in bars.values()), 1)
        by_start = {start: [] for start in bars}
        for trade in self.trades:
            start = start_of(trade[0], length)
            if start in by_start:
                by_start[start].append(trade)
        return {start: flows.of_bar(bar, by_start[start], self.units) for start, bar in bars.items()}

    def footprints(self, bars):
        """({(start, level): versions}, {start: row}) of the bars of one timeframe."""
        bars = sorted(bar for bar in bars if bar.quality != "gap")
        length = next((bar.end - bar.start for bar in bars), 1)
        of_bars, levels, found, series = {}, {}, {}, footprints.Series()
        for (time, buy, size, _), (price, known) in zip(self.trades, self.prices):
            of_bars.setdefault(start_of(time, length), []).append((known, price, buy, size))
        for bar in bars:
            trades = of_bars.get(bar.start, ()) if bar.source == "trades" else ()
            footprint = self.footprint(trades)
            values = series.append(bar.start, bar.low, bar.high, bar.close, footprint)
            if footprint:
                found[bar.start] = dict(zip(footprints.ANALYSIS_COLUMNS, values))
                for level, history in self.levels(trades, self.close(bar.end)).items():
                    levels[bar.start, level] = history
        return levels, found

    def footprint(self, trades):
        prices = {}
        for _, price, buy, size in trades:
            footprints.add(prices, price, buy, size)
        return footprints.of_prices(prices, self.scale)

    def levels(self, trades, close):
        """{level: versions} of those that a bar's trades make in the end."""
        instants = [close, *sorted({known for known, *_ in trades if known > close})]
        made = {instant: self.footprint([trade for trade in trades if trade[0] <= instant]) for instant in instants}
        rows = {instant: footprint.rows() if footprint else {} for instant, footprint in made.items()}
        return {level: versions(instants, lambda known: rows[known].get(level)) for level in rows[instants[-1]]}
