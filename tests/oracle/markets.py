"""Synthetic markets with holes: what happened on them by a seed, and the files that tell of some of it.

Times are milliseconds; prices are integers of a hundredth, sizes integers of a thousandth.
"""

import random
from collections import namedtuple

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_709_510_400_000  # 2024-03-04, a Monday
PRICE_UNIT, SIZE_UNIT = 100, 1000

Trade = namedtuple("Trade", "number price size time buy")
Kline = namedtuple("Kline", "start end open high low close volume turnover count")  # turnover: price unit x size unit
File = namedtuple("File", "folder symbol kind rows")  # kind: "trades" or the timeframe of klines; rows in their order
FRAMES = {"1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "4h": 4 * HOUR, "1d": DAY}


def at(day, clock):
    """A time of the scenario: day from 0, "HH:MM" or "HH:MM:SS" or "HH:MM:SS.mmm"."""
    parts = [float(part) for part in clock.split(":")] + [0.0]
    return START + day * DAY + round(1000 * (3600 * parts[0] + 60 * parts[1] + parts[2]))


class Common:
    """Returns per minute that all markets share, with trends of some hours."""

    def __init__(self, seed, begin, end):
        rng = random.Random(f"{seed} common")
        self.returns, drift = {}, 0.0
        for minute in range(begin, end, MINUTE):
            if minute % (90 * MINUTE) == 0:
                drift = rng.choice((-4e-4, -1e-4, 0.0, 1e-4, 4e-4))
            self.returns[minute] = rng.gauss(drift, 6e-4)


class Market:
    """All that was traded in one symbol: numbered trades, in order of time."""

    def __init__(self, seed, common, symbol, price, beta, begin, end, at_times=(), moves=(), silences=()):
        """`at_times`: instants with a trade whatever else happens; `moves`: (from, factor) of the price;
        `silences`: times without trades."""
        self.symbol = symbol
        rng = random.Random(f"{seed} {symbol}")
        forced, factors = {}, {moment // MINUTE * MINUTE: factor for moment, factor in moves}
        for time in at_times:
            forced.setdefault(time // MINUTE * MINUTE, []).append(time)
        quiet = self.quiet_minutes(rng, begin, end)
        quiet.update(start for first, last in silences for start in range(first, last, MINUTE))
        self.trades, number, value = [], rng.randrange(10**6, 10**9), float(price)
        for start in range(begin // MINUTE * MINUTE, end + 1, MINUTE):
            before = value
            value *= factors.get(start, 1) * (1 + beta * common.returns[start] + rng.gauss(0, 5e-4))
            times = self.times(rng, start, start in quiet) + forced.get(start, [])
            for time in sorted(t for t in times if begin <= t <= end):
                number += 1
                level = before + (value - before) * (time - start) / MINUTE
                level = round(level * (1 + rng.gauss(0, 2e-4)) * PRICE_UNIT)
                buy = rng.random() < (0.7 if value > before else 0.3)
                self.trades.append(Trade(number, level, rng.randint(1, 4000), time, buy))

    @staticmethod
    def quiet_minutes(rng, begin, end):
        """Minutes without a trade: some alone, some many in a row."""
        minutes = set()
        for _ in range((end - begin) // (2 * HOUR) + 1):
            start = rng.randrange(begin // MINUTE, end // MINUTE)
            minutes.update(MINUTE * minute for minute in range(start, start + rng.choice((1, 2, 4, 9, 22))))
        return minutes

    @staticmethod
    def times(rng, start, quiet):
        """Times of a minute's trades: some on its first and its last instant, some several at once."""
        times = []
        for _ in range(0 if quiet else rng.choice((0, 1, 1, 2, 2, 3))):
            kind = rng.random()
            time = start if kind < 0.04 else start + MINUTE - 1 if kind < 0.08 else start + rng.randrange(MINUTE)
            times += [time] * (3 if rng.random() < 0.04 else 1)
        return times

    def between(self, first, last, without=()):
        """The trades from one instant to another, both included, but those of the times left out, ends included too."""
        held = (t for t in self.trades if first <= t.time <= last)
        return [t for t in held if not any(a <= t.time <= b for a, b in without)]

    def klines(self, length, first, end, without=(), wrong=()):
        """Klines that start from `first` on and before `end`, without those that start in the times left out;
        `wrong` ones have another high than was traded."""
        by_start = {}
        for trade in self.trades:
            by_start.setdefault(trade.time // length * length, []).append(trade)
        rows, close = [], None
        for start in range(min(by_start), end, length):
            trades = by_start.get(start, [])
            prices = [t.price for t in trades] or [close] * 4
            close = prices[-1]
            volume, turnover = sum(t.size for t in trades), sum(t.price * t.size for t in trades)
            high = max(prices) + (7 if start in wrong else 0)
            row = Kline(start, start + length, prices[0], high, min(prices), close, volume, turnover, len(trades))
            if start >= first and not any(a <= start < b for a, b in without):
                rows.append(row)
        return rows


def drops(rng, first, last, count, longest):
    """Times of which the trades are missing, of all lengths from a second to the longest."""
    found = []
    for _ in range(count):
        start = rng.randrange(first, last - longest)
        found.append((start, start + round(1000 * (longest / 1000) ** rng.random())))
    return found


def one_at_a_time(rng, trades, count):
    """The trades without some single ones that have another at the same instant or at a minute's edge beside them."""
    candidates = []
    for i in range(2, len(trades) - 2):
        near = trades[i - 2 : i + 3]
        whole = near[-1].number - near[0].number == 4
        before, behind = trades[i - 1].time, trades[i + 1].time
        if whole and (before == behind or before % MINUTE in (0, MINUTE - 1) or behind % MINUTE in (0, MINUTE - 1)):
            candidates.append(trades[i].number)
    chosen = set(rng.sample(candidates, min(count, len(candidates))))
    chosen -= {number + apart for number in chosen for apart in (1, 2)}
    return [t for t in trades if t.number not in chosen]


def decimal(value, unit):
    digits = len(str(unit)) - 1
    return f"{value // unit}.{value % unit:0{digits}d}"


def write(folder, file):
    """Writes a file as data.binance.vision has it; a file of trades has a header every other time."""
    lines = []
    if file.kind == "trades":
        name = f"{file.symbol}-aggTrades-2024-03-04.csv"
        if len(file.rows) % 2:
            lines.append("agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker")
        for t in file.rows:
            price, size = decimal(t.price, PRICE_UNIT), decimal(t.size, SIZE_UNIT)
            lines.append(f"{t.number},{price},{size},{2 * t.number},{2 * t.number + 1},{t.time},{str(not t.buy).lower()}")
    else:
        name = f"{file.symbol}-{file.kind}-2024-03-04.csv"
        lines.append(
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
            "taker_buy_volume,taker_buy_quote_volume,ignore"
        )
        for k in file.rows:
            prices = ",".join(decimal(price, PRICE_UNIT) for price in k[2:6])
            volume, turnover = decimal(k.volume, SIZE_UNIT), decimal(k.turnover, PRICE_UNIT * SIZE_UNIT)
            lines.append(f"{k.start},{prices},{volume},{k.end - 1},{turnover},{k.count},0,0,0")
    path = folder / file.folder
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("\n".join(lines) + "\n", encoding="ascii")
