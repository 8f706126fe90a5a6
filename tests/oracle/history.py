"""The bars of one instrument on every timeframe, from its trades and klines and from what is covered, with their holes."""

from coverage import Coverage
from markets import FRAMES, MINUTE, PRICE_UNIT, SIZE_UNIT
from timeline import BASE, HORIZON, JUMP, Bar, round_up

GAP_MAX = 3_600_000


def in_order(trade):
    return trade.time, trade.number


def gap(start, end):
    return Bar(start, end, *[None] * 8, 0, None, None, None, None, "trades", "gap")


class History:
    """What is known of an instrument before `before`; `imports` holds (floor of knowledge, files of this instrument)."""

    def __init__(self, symbol, imports, before, until, flat):
        self.symbol, self.until, self.flat = symbol, until, flat
        self.coverage = Coverage(imports, before)
        self.too_late = self.duplicates = 0
        self.take_trades(imports, before)
        self.take_klines(imports, before)
        self.bars = {name: self.series(name, length) for name, length in FRAMES.items()}

    def take_trades(self, imports, before):
        """Trades of one instant follow each other by number, whatever the order of their rows."""
        seen = {}
        for floor, files in imports:
            for trade in sorted((t for f in files if f.kind == "trades" for t in f.rows), key=in_order):
                known = round_up(max(floor, trade.time))
                identity = trade.number, trade.time // MINUTE
                if known >= before:
                    continue
                if known - (trade.time // BASE * BASE + BASE) > HORIZON:
                    self.too_late += 1
                elif identity in seen:
                    self.duplicates += 1
                else:
                    seen[identity] = trade
        self.trades = sorted(seen.values(), key=in_order)

    def take_klines(self, imports, before):
        first_trade = self.trades[0].time if self.trades else float("inf")
        self.klines = {}
        for floor, files in imports:
            for file in files:
                for kline in file.rows if file.kind != "trades" else ():
                    known = round_up(max(floor, kline.end))
                    if known < before and (kline.end <= first_trade or known - kline.end <= HORIZON):
                        self.klines[file.kind, kline.start] = kline

    def kline(self, name, start):
        """(open, high, low, close, volume, turnover, count) of the venue's own kline, or of what shorter ones make."""
        own = self.klines.get((name, start))
        if own:
            return own[2:]
        length = FRAMES[name]
        shorter = [(other, n) for n, other in FRAMES.items() if other < length and length % other == 0]
        if not shorter:
            return None
        part, part_name = max(shorter)
        parts = [self.kline(part_name, time) for time in range(start, start + length, part)]
        if None in parts:
            return None
        _, highs, lows, _, volumes, turnovers, counts = zip(*parts)
        return parts[0][0], max(highs), min(lows), parts[-1][3], sum(volumes), sum(turnovers), sum(counts)

    def first_kline(self, name, length):
        starts = sorted({start // length * length for _, start in self.klines})
        return next((start for start in starts if self.kline(name, start)), None)

    def quality(self, high, low, previous, otherwise):
        suspect = previous is not None and (high > JUMP * previous or low < previous / JUMP)
        return "suspect" if suspect else otherwise

    def traded(self, start, end, trades, previous):
        prices = [t.price for t in trades]
        volume = sum(t.size for t in trades)
        turnover = sum(t.price * t.size for t in trades)
        bought = [t.size for t in trades if t.buy]
        high, low = max(prices) / PRICE_UNIT, min(prices) / PRICE_UNIT
        quality = self.quality(high, low, previous, "ok" if self.coverage.covered(start, end) else "partial")
        return Bar(
            start, end, prices[0] / PRICE_UNIT, high, low, prices[-1] / PRICE_UNIT, volume / SIZE_UNIT,
            turnover / (PRICE_UNIT * SIZE_UNIT), sum(bought) / SIZE_UNIT, (volume - sum(bought)) / SIZE_UNIT,
            len(prices), len(bought), turnover / volume / PRICE_UNIT,
            str(trades[0].number), str(trades[-1].number), "trades", quality,
        )  # fmt: skip

    def venue(self, start, end, kline, previous):
        """The number of trades is taken to be one of the flow columns: null."""
        *prices, volume, turnover, _ = kline
        open_, high, low, close = (price / PRICE_UNIT for price in prices)
        vwap = turnover / volume / PRICE_UNIT if volume else None
        return Bar(
            start, end, open_, high, low, close, volume / SIZE_UNIT, turnover / (PRICE_UNIT * SIZE_UNIT), None, None,
            None, None, vwap, None, None, "venue", self.quality(high, low, previous, "ok"),
        )  # fmt: skip

    def differing_klines(self):
        """Klines over bars of trades and flat bars that have other prices or another volume."""
        found = 0
        for (name, start), kline in self.klines.items():
            values = [price / PRICE_UNIT for price in kline[2:6]] + [kline.volume / SIZE_UNIT]
            bars = (bar for bar in self.bars[name] if bar.start == start)
            found += any(bar.source == "trades" and bar.quality != "gap" and list(bar[2:7]) != values for bar in bars)
        return found

    def paused(self, start, end):
        """Whether an interval that would be a gap has no row: too long after the feed, the histories and the klines."""
        signs = [self.coverage.last_sign(end)]
        ends = [self.klines[key].end for key in self.klines if self.klines[key].start < end]
        signs.append(min(max(ends), end) if ends else None)
        signs = [sign for sign in signs if sign is not None]
        return bool(signs) and start - max(signs) > GAP_MAX

    def series(self, name, length):
        by_start = {}
        for trade in self.trades:
            by_start.setdefault(trade.time // length * length, []).append(trade)
        first_trade = min(by_start, default=float("inf"))
        first_kline = self.first_kline(name, length)
        start = first_trade if first_kline is None else min(first_trade, first_kline)
        bars, previous = [], None
        while start <= self.until:
            end = start + length
            kline = None
            if start in by_start:
                bar = self.traded(start, end, by_start[start], previous)
            elif end > first_trade and previous is not None and self.coverage.covered(start, end):
                flow = [0.0, 0.0, 0.0, 0.0, 0, 0, None, None, None, "trades", "ok"]
                bar = Bar(start, end, *[previous] * 4, *flow) if self.flat else None
            elif kline := self.kline(name, start):
                bar = self.venue(start, end, kline, previous)
            else:
                bar = gap(start, end) if self.flat and not self.paused(start, end) else None
            if bar:
                bars.append(bar)
                previous = previous if bar.quality == "gap" else bar.close
            start = end
        return bars
