"""What takers took of a price in a base bar: the level of its footprint that holds it, of the trades that were known at an
instant. METHODS.md 2, "Footprint of a bar"."""

from collections import defaultdict
from fractions import Fraction

from bookrows import start_of
from orderbook import decimals, scaled
from tapes import BASE_UNITS, MINUTE

LEVELS = 32


class Prints:
    """`arrived` and `contract` as of the instrument's `tape`, which tells what is in a bar."""

    def __init__(self, instrument, arrived, settings, contract, tape):
        self.inverse, self.contract, self.base = instrument.market == "inverse", contract, settings.base
        self.places = max((decimals(trade.price) for trade, _ in arrived), default=0)
        self.trades = defaultdict(list)  # of a bar: [(trade, when it became known)]
        self.made = {}
        identities = set()
        for trade, known in arrived:
            identity = trade.number, trade.time // MINUTE
            if identity not in identities and tape.is_taken(instrument, trade, known, settings):
                identities.add(identity)
                self.trades[start_of(trade.time, settings.base)].append((trade, known))

    def known_after(self, start, instant):
        return sorted({known for _, known in self.trades.get(start, ()) if known > instant})

    def taken(self, start, known, price, bought):
        """In the book's units of size."""
        trades = [trade for trade, when in self.trades.get(start, ()) if when <= known]
        if not trades:
            return 0
        if (start, len(trades)) not in self.made:
            self.made[start, len(trades)] = self.footprint(trades)
        height, levels = self.made[start, len(trades)]
        number = price * 10**self.places // height
        size = levels.get((number, bought), 0)
        # No less than the contracts that were traded: all of them cost less than where the level ends.
        end = Fraction((number + 1) * height, 10**self.places)
        return size * end / self.contract[0] if self.inverse else size

    def footprint(self, trades):
        """(height, {(level number, whether bought): size}); heights count the finest decimals of the instrument's trades."""
        prices = [scaled(trade.price, self.places) for trade in trades]
        height = 10 ** (self.places - max(decimals(trade.price) for trade in trades))
        factor = 5
        while len({price // height for price in prices}) > LEVELS:
            height *= factor
            factor = 10 // factor
        levels = defaultdict(Fraction)
        for price, trade in zip(prices, trades):
            levels[price // height, trade.buy] += self.size(trade)
        return height, levels

    def size(self, trade):
        size = Fraction(trade.size)
        if not self.inverse:
            return size
        price = Fraction(trade.price)
        base = Fraction(round(size * self.contract[0] / price * BASE_UNITS), BASE_UNITS)
        return base
