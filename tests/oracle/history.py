"""The bars of one instrument on every timeframe, from its trades and klines and from what is covered, with their holes."""

import math

from coverage import Coverage
from markets import FRAMES, MINUTE, PRICE_UNIT, SIZE_UNIT
from timeline import BASE, HORIZON, JUMP, Bar, close_time, round_up

GAP_MAX = 3_600_000
MEMORY = HORIZON + BASE
SAME = 1e-9  # relative; klines whose numbers lie within it of a bar's do not differ


def in_order(trade):
    return trade.time, trade.number


def gap(start, end):
    return Bar(start, end, *[None] * 8, 0, None, None, None, None, "trades", "gap")


class History:
    """What is known of an instrument before `before`; `imports` holds (floors of knowledge, files of this instrument).

    `earlier` is what was known of it before `since`, if anything. Later than `since` nothing becomes known late.
    """

    def __init__(self, symbol, imports, earlier, since, before, until, flat):
        self.symbol, self.until, self.flat = symbol, until, flat
        self.earlier, self.since = earlier, since
        self.coverage = Coverage(imports, before)
        self.too_late = 0
        self.quarantine = set(earlier.quarantine) if earlier else set()  # (rule, known_at, identity)
        self.forgotten = {}  # end of each timeframe's newest bar that is forgotten
        for name in FRAMES:
            bars, last_made = (earlier.bars[name], earlier.last_made(name, since)) if earlier else ((), 0)
            self.forgotten[name] = max((bar.end for bar in bars if last_made - bar.end > MEMORY), default=0)
        self.take_trades(imports, before)
        self.take_klines(imports, before)
        self.decided = {}  # by timeframe and end of what may be a gap: when that was decided, and the newest kline then
        self.bars = {name: self.series(name, length) for name, length in FRAMES.items()}
        self.compare_klines()

    def last_made(self, name, time):
        """The last instant before some time at which a bar of a timeframe was made or made again, or 0."""
        late = {bar for bar in self.bars[name] if close_time(bar.end) < self.since}
        if self.earlier:
            late.difference_update(self.earlier.bars[name])
        on_time = max((close_time(bar.end) for bar in self.bars[name] if self.since <= close_time(bar.end) < time), default=0)
        return on_time or (self.since if late else self.earlier.last_made(name, self.since) if self.earlier else 0)

    def forgotten_then(self, name, end, other):
        """End of the newest bar of another timeframe that was forgotten when a bar was made, for the last time."""
        if end <= self.forgotten[name]:
            return self.earlier.forgotten_then(name, end, other)
        return self.forgotten[other]

    def take_trades(self, imports, before):
        """Trades of one instant follow each other by number, whatever the order of their rows."""
        seen = {}
        for floors, files in imports:
            for trade in sorted((t for f in files if f.kind == "trades" for t in f.rows), key=in_order):
                known = round_up(max(floors.trades, trade.time))
                identity = trade.number, trade.time // MINUTE
                if known >= before:
                    continue
                if known - (trade.time // BASE * BASE + BASE) > HORIZON:
                    self.too_late += 1
                elif identity in seen:
                    self.quarantine.add(("duplicate", known, identity))
                else:
                    seen[identity] = trade
        self.trades = sorted(seen.values(), key=in_order)

    def take_klines(self, imports, before):
        """`all_klines`: those of each interval that could fill it, in order, with when each was known; `klines` and
        `first_klines`: the last and the first of those that still can."""
        first_trade = self.trades[0].time if self.trades else float("inf")
        self.all_klines = {key: list(klines) for key, klines in self.earlier.all_klines.items()} if self.earlier else {}
        for floors, files in imports:
            for file in files:
                for kline in file.rows if file.kind != "trades" else ():
                    key = file.kind, kline.start
                    known = round_up(max(floors.klines, kline.end))
                    if not self.since <= known < before:
                        continue
                    if kline.end <= first_trade and kline.start < self.forgotten[file.kind]:
                        self.quarantine.add(("kline_too_late", known, key))
                    elif kline.end <= first_trade or known - kline.end <= HORIZON:
                        self.all_klines.setdefault(key, []).append((kline, known))
        self.klines, self.first_klines = {}, {}
        for key, klines in self.all_klines.items():
            for kline, known in klines:
                if kline.end <= first_trade or known - kline.end <= HORIZON:
                    self.klines[key] = kline
                    self.first_klines.setdefault(key, kline)

    def kline(self, name, start, first=False):
        """(open, high, low, close, volume, turnover) of the venue's own kline, the last one or the first, or of what the
        first shorter ones make."""
        own = (self.first_klines if first else self.klines).get((name, start))
        if own:
            return own[2:8]
        if start < self.forgotten[name]:
            return self.earlier.kline(name, start, first)
        length = FRAMES[name]
        shorter = [(other, n) for n, other in FRAMES.items() if other < length and length % other == 0]
        if not shorter:
            return None
        part, part_name = max(shorter)
        parts = []
        for time in range(start, start + length, part):
            parts.append(self.kline(part_name, time, first=True))
            if not parts[-1]:
                return None
        _, highs, lows, _, volumes, turnovers = zip(*parts)
        return parts[0][0], max(highs), min(lows), parts[-1][3], sum(volumes), sum(turnovers)

    def first_kline(self, name, length):
        starts = sorted({start // length * length for _, start in self.klines})
        return next((start for start in starts if self.kline(name, start)), None)

    def quality(self, high, low, previous, otherwise):
        suspect = previous is not None and (high > JUMP * previous or low * JUMP < previous)
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
        *prices, volume, turnover = kline
        open_, high, low, close = (price / PRICE_UNIT for price in prices)
        vwap = turnover / volume / PRICE_UNIT if volume else None
        return Bar(
            start, end, open_, high, low, close, volume / SIZE_UNIT, turnover / (PRICE_UNIT * SIZE_UNIT), None, None,
            None, None, vwap, None, None, "venue", self.quality(high, low, previous, "ok"),
        )  # fmt: skip

    def compare_klines(self):
        """Klines over bars of trades and flat bars that have other prices or another volume."""
        bars = {(name, bar.start): bar for name, bars in self.bars.items() for bar in bars}
        numbered = ((key, entry) for key, klines in self.all_klines.items() for entry in enumerate(klines))
        for key, (number, (kline, known)) in numbered:
            bar = bars.get(key)
            if bar and bar.source == "trades" and bar.quality != "gap" and known - kline.end <= HORIZON:
                values = [price / PRICE_UNIT for price in kline[2:6]] + [kline.volume / SIZE_UNIT]
                if not all(math.isclose(a, b, rel_tol=SAME) for a, b in zip(values, bar[2:7])):
                    # All instruments here are contracts of Binance.
                    no_less = lambda a, b: a >= b or math.isclose(a, b, rel_tol=SAME)
                    within = not bar.n_trades or (no_less(values[1], bar.high) and no_less(bar.low, values[2]))
                    rule = "kline_holds_more" if within and no_less(values[4], bar.volume) else "kline_differs"
                    self.quarantine.add((rule, max(known, close_time(bar.end)), (*key, number)))

    def is_old(self, name, start, kline):
        """Whether a kline was known before `since`, as it is."""
        return not self.earlier or self.earlier.kline(name, start) == kline

    def paused(self, name, start, end, newest_kline, behind_late_kline):
        """Whether an interval that would be a gap has no row: too long after the feed, the histories and the klines. Of
        histories and klines counts what was known when this was decided first, or last behind a late kline."""
        decided = max(close_time(end), self.since), newest_kline
        if self.earlier and close_time(end) < self.since and not behind_late_kline:
            decided = self.earlier.decided.get((name, end), decided)
        self.decided[name, end] = time, newest_kline = decided
        signs = [self.coverage.last_sign(end, FRAMES[name], time), newest_kline]
        signs = [sign for sign in signs if sign is not None]
        return bool(signs) and start - max(signs) > GAP_MAX

    def series(self, name, length):
        by_start = {}
        for trade in self.trades:
            by_start.setdefault(trade.time // length * length, []).append(trade)
        first_trade = min(by_start, default=float("inf"))
        first_kline = self.first_kline(name, length)
        start = first_trade if first_kline is None else min(first_trade, first_kline)
        old = {bar.start for bar in self.earlier.bars[name] if close_time(bar.end) < self.since} if self.earlier else ()
        bars, previous, newest_kline, behind_late_kline = [], None, None, False
        while start <= self.until:
            end = start + length
            kline = self.kline(name, start)
            if start in by_start:
                bar = self.traded(start, end, by_start[start], previous)
            elif end > first_trade and previous is not None and self.coverage.covered(start, end):
                flow = [0.0, 0.0, 0.0, 0.0, 0, 0, None, None, None, "trades", "ok"]
                bar = Bar(start, end, *[previous] * 4, *flow) if self.flat else None
            elif kline:
                bar = self.venue(start, end, kline, previous)
            else:
                paused = self.paused(name, start, end, newest_kline, behind_late_kline and start not in old)
                bar = gap(start, end) if self.flat and not paused else None
            if bar:
                bars.append(bar)
                previous = previous if bar.quality == "gap" else bar.close
            if kline:
                newest_kline, behind_late_kline = end, not self.is_old(name, start, kline)
            elif bar and bar.quality != "gap":
                behind_late_kline = False
            start = end
        return bars
