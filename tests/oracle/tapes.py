"""The trades of a recording that are in an instrument's bars, and the flow of bars that they make. METHODS.md 1 and 2.

Each instrument has one stream of trades. Of each bar there is the flow that it has in the end, late trades among it.
"""

from fractions import Fraction

import flows
from bookrows import start_of
from orderbook import decimals

BASE_UNITS, VALUE_UNITS = 10**12, 10**8  # of inverse contracts: a trade's volume is rounded to one of these
MINUTE = 60 * 10**9


class Tape:
    """`arrived` = [(trade, when it became known)]; `contract` = (size as a Fraction, when that is known), if any."""

    def __init__(self, instrument, arrived, settings, contract):
        self.contract = contract
        if instrument.market == "inverse":
            self.units = flows.Units(BASE_UNITS, VALUE_UNITS)
        else:
            price = 10 ** max((decimals(trade.price) for trade, _ in arrived), default=0)
            size = 10 ** max((decimals(trade.size) for trade, _ in arrived), default=0)
            self.units = flows.Units(size, price * size)
        self.trades = []  # (time, whether bought, size, value)
        identities = set()
        for trade, known in arrived:
            identity = trade.number, trade.time // MINUTE
            if identity not in identities and self.is_taken(instrument, trade, known, settings):
                identities.add(identity)
                size, value = self.worth(instrument, Fraction(trade.price), Fraction(trade.size))
                self.trades.append((trade.time, trade.buy, size, value))

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
