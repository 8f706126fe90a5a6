"""Recordings that a seeded generator makes, in the frames of Binance and Bybit, with everything that goes wrong with books."""

import json
import random

import madefacts

MS, SECOND = 10**6, 10**9
BEGIN = 1_710_000_007_300 * MS
FINEST = 4  # decimals of prices, and of sizes where they have any, in the end
HOSTS = {"spot": ("stream", "api", "v3"), "linear": ("fstream", "fapi", "v1"), "inverse": ("dstream", "dapi", "v1")}
HFT, CRYPTOFEED, BYBIT, PAIR = "hft", "cryptofeed", "bybit", "pair"
KINDS = [(how, market) for how in (HFT, CRYPTOFEED, BYBIT, PAIR) for market in HOSTS]
SYMBOLS = {"spot": "SOLUSDT", "linear": "SOLUSDT", "inverse": "SOLUSD_PERP"}


def name(kind, seed):
    return f"{kind[0]}-{kind[1]}-{seed}." + ("txt" if kind[0] == HFT else "jsonl")


class Market:
    """Levels that move about; prices and sizes count the finest decimals. Its changes are always consistent."""

    def __init__(self, rng, whole_sizes):
        self.rng, self.whole_sizes = rng, whole_sizes
        self.price_places, self.size_places = 2, 0 if whole_sizes else 1
        self.middle = 1_000_000 + 100 * rng.randrange(-2_000, 2_000)
        self.sides = {-1: {}, 1: {}}
        for _ in range(120):
            self.change()

    @property
    def tick(self):
        return 10 ** (FINEST - self.price_places)

    def size(self):
        rng = self.rng
        if self.whole_sizes:
            return rng.choice([1, 7, 30, 250, 3_000, 90_000]) * rng.randint(1, 9)
        step = 10 ** (FINEST - self.size_places)
        return rng.choice([1, 1, 20, 300, 4_000]) * rng.randint(1, 99) * step

    def best(self, sign):
        side = self.sides[sign]
        return (min if sign > 0 else max)(side) if side else None

    def put(self, changes, sign, price, size):
        if size:
            self.sides[sign][price] = size
        else:
            self.sides[sign].pop(price, None)
        changes[sign][price] = size

    def change(self):
        """{sign: {price: size}} of one step."""
        rng, changes = self.rng, {-1: {}, 1: {}}
        if rng.random() < 0.1:
            self.middle += self.tick * round(rng.gauss(0, 12))
        for _ in range(rng.randint(1, 6)):
            sign = rng.choice([-1, 1])
            place = min(int(rng.expovariate(0.12)), 400)
            price = self.middle // self.tick * self.tick + sign * self.tick * (place + (sign > 0))
            other = self.sides[-sign]
            for crossed in [p for p in other if sign * p >= sign * price]:
                self.put(changes, -sign, crossed, 0)
            self.put(changes, sign, price, 0 if rng.random() < 0.35 and price in self.sides[sign] else self.size())
        for sign, side in self.sides.items():
            if len(side) > 60:
                for price in sorted(side, key=lambda p: sign * p)[50:]:
                    self.put(changes, sign, price, 0)
        return changes

    def thin_out(self, sign, left):
        changes = {-1: {}, 1: {}}
        for price in sorted(self.sides[sign], key=lambda p: sign * p)[left:]:
            self.put(changes, sign, price, 0)
        return changes

    def levels(self, sign, limit):
        side = self.sides[sign]
        return [(price, side[price]) for price in sorted(side, key=lambda p: sign * p)[:limit]]


class Maker:
    """One instrument's lines, each with its receive time, of a connection `conn`; one named `again` tells the deltas again."""

    def __init__(self, kind, seed, coin="SOL", conn=None, again=None, length=300):
        self.format, self.market = kind
        self.conn, self.again, self.newest_again = conn or ("BYBIT.ws.2" if kind[0] == BYBIT else "BINANCE.ws.1"), again, 0
        self.rng = rng = random.Random(f"{kind} {seed}")
        self.bybit = self.format == BYBIT
        self.symbol = SYMBOLS[self.market].replace("SOL", coin).removesuffix("_PERP" if self.bybit else "")
        self.book = Market(rng, self.market == "inverse")
        self.lines = []
        self.time, self.end = BEGIN, BEGIN + length * SECOND
        self.ahead = rng.choice([0, 0, -1_300 * MS, 400 * MS])  # what the receiver's clock is ahead of the venue's
        self.number = self.sent = rng.randrange(10**9, 2 * 10**9)
        self.trade_number = rng.randrange(10**6, 10**7)
        self.limit = rng.choice([5, 10, 20, 50, 100])
        self.harm = rng.choice([0.05, 0.2, 0.5, 1])  # how much goes wrong
        self.stalled = self.newest = 0  # deltas are received not before; receive time of the newest one
        self.next_snapshot = self.time + rng.randint(300, 3_000) * MS
        self.quiet = 0  # no trades until then
        self.kept = []  # older content of the book: number and levels
        self.facts = madefacts.Facts(self, f"{kind} {seed}") if self.market != "spot" else None
        self.run()

    def decimal(self, value, places):
        value //= 10 ** (FINEST - places)
        text = str(value).rjust(places + 1, "0")
        return f"{text[:-places]}.{text[-places:]}" if places else text

    def texts(self, levels):
        book, found = self.book, []
        for price, size in levels:
            amount = str(size) if book.whole_sizes else self.decimal(size, book.size_places)
            found.append([self.decimal(price, book.price_places), amount])
        return found

    # Frames

    def received(self):
        """A receive time for what the venue sends now; often a round one."""
        delay = self.rng.choice([5, 12, 40, 90]) * MS + self.rng.randrange(10**6)
        time = self.time + self.ahead + delay
        return -(-time // (50 * MS)) * 50 * MS if self.rng.random() < 0.3 else time

    def emit(self, received, frame, url=None, conn=None):
        text = json.dumps(frame, separators=(",", ":"))
        if self.format == HFT:
            self.lines.append((received, f"{received} {text}"))
            return
        seconds = f"{received // SECOND}.{received % SECOND:09d}"
        kind, address = ("http", f',"url":"{url}"') if url else ("recv", "")
        conn = "BINANCE.http.0" if url else conn or self.conn
        self.lines.append((received, f'{{"t":"{kind}","conn":"{conn}","ts":{seconds}{address},"data":{json.dumps(text)}}}'))

    def stream(self, what):
        return f"{self.symbol.lower()}@{what}"

    def delta(self, bids, asks, first, last, previous, time, received):
        """Deltas keep their order on their connection."""
        received = self.newest = max(received, self.stalled + self.rng.randrange(10**6), self.newest)
        milliseconds = time // MS
        if self.bybit:
            self.orderbook("delta", bids, asks, last, milliseconds, received)
            return
        times = {"E": milliseconds + self.rng.randint(1, 9)} if self.market != "spot" else {"E": milliseconds}
        if self.market != "spot":
            times["T"] = milliseconds
        pair = {"ps": self.symbol.partition("_")[0]} if self.market == "inverse" else {}
        previous = {"pu": previous} if self.market != "spot" else {}
        data = {"e": "depthUpdate", **times, "s": self.symbol, **pair, "U": first, "u": last, **previous, "b": bids, "a": asks}
        frame = {"stream": self.stream("depth@100ms"), "data": data}
        self.emit(received, frame)
        if self.again:
            self.newest_again = max(self.newest_again, received + self.rng.choice([0, 1, 1, 8, 300]) * MS)
            self.emit(self.newest_again, frame, conn=self.again)

    def orderbook(self, kind, bids, asks, number, milliseconds, received):
        data = {"s": self.symbol, "b": bids, "a": asks, "u": number, "seq": 7 * number}
        times = {"ts": milliseconds + 3, "cts": milliseconds}
        self.emit(received, {"topic": f"orderbook.{self.limit}.{self.symbol}", "type": kind, "data": data} | times)

    def snapshot(self, number, bids, asks, time, received):
        if self.bybit:
            received = self.newest = max(received, self.stalled, self.newest)
            self.orderbook("snapshot", bids, asks, number, time // MS, received)
            return
        times = {} if self.market == "spot" else {"E": time // MS + 4, "T": time // MS}
        names = {"symbol": self.symbol, "pair": self.symbol.partition("_")[0]} if self.market == "inverse" else {}
        answer = {"lastUpdateId": number, **times, **names, "bids": bids, "asks": asks}
        url = None
        if self.format != HFT:
            _, host, version = HOSTS[self.market]
            url = f"https://{host}.binance.com/{host}/{version}/depth?symbol={self.symbol}&limit={self.limit}"
        self.emit(received, answer, url)

    def trade(self):
        self.trade_number += 1 + (self.rng.randint(1, 50) if self.rng.random() < 0.004 else 0)
        book, buy = self.book, self.rng.random() < 0.5
        price = book.best(1 if buy else -1) or book.middle // book.tick * book.tick
        self.tell_trade(price, book.size(), buy, self.received())

    def tell_trade(self, price, size, buy, received):
        """The trade of the present number as a frame."""
        (text, size), = self.texts([(price, size)])
        milliseconds = self.time // MS
        if self.bybit:
            trade = {"T": milliseconds, "s": self.symbol, "S": "Buy" if buy else "Sell", "v": size, "p": text, "L": "PlusTick"}
            trade |= {"i": f"{self.trade_number:032x}", "BT": False, "RPI": False, "seq": self.trade_number}
            self.emit(received, {"topic": f"publicTrade.{self.symbol}", "type": "snapshot", "ts": milliseconds, "data": [trade]})
            return
        data = {"e": "trade", "E": milliseconds, "T": milliseconds, "s": self.symbol, "t": self.trade_number}
        data |= {"p": text, "q": size, "m": not buy} | ({"M": True} if self.market == "spot" else {"X": "MARKET"})
        self.emit(received, {"stream": self.stream("trade"), "data": data})

    # What happens

    def run(self):
        while self.time < self.end:
            self.step()
            self.time += self.rng.choice([20, 50, 100, 100, 250]) * MS
            if self.rng.random() < 0.5:
                self.time = self.time // (100 * MS) * 100 * MS
            if self.rng.random() < 0.002:
                self.time += self.rng.choice([1, 3, 12]) * SECOND  # nothing at all

    def step(self):
        rng = self.rng
        if rng.random() < 0.003 * self.harm:
            self.stalled = self.time + self.ahead + rng.choice([1, 1, 2, 2, 5, 5, 40, 75]) * SECOND
        if rng.random() < 0.003:
            self.quiet = self.time + rng.choice([3, 15]) * SECOND
        if rng.random() < 0.4 and self.time > self.quiet:
            self.trade()
        if self.time - BEGIN > 100 * SECOND and self.book.price_places == 2:
            self.book.price_places = FINEST
        if self.time - BEGIN > 60 * SECOND and self.book.size_places == 1:
            self.book.size_places = 3
        if rng.random() < 0.02 * self.harm:
            changes = self.book.thin_out(rng.choice([-1, 1]), rng.choice([0, 0, 1, 2, 4, 6, 15]))
        else:
            changes = self.book.change()
        self.changed(changes)
        if self.facts:
            self.facts.step()
        if self.time >= self.next_snapshot:
            self.ask_for_snapshot()
            self.next_snapshot = self.time + rng.randint(1, 14) * SECOND

    def changed(self, changes):
        rng = self.rng
        first = self.number + 1
        self.number += 1 if self.bybit else rng.randint(1, 3)
        last, previous, time, fault = self.number, self.sent, self.time, rng.random() / self.harm
        self.sent = last
        self.kept = [*self.kept[-8:], (last, *(self.texts(self.book.levels(sign, self.limit)) for sign in (-1, 1)))]
        bids, asks = (self.texts(changes[sign].items()) for sign in (-1, 1))
        if fault < 0.006:  # lost
            return
        if fault < 0.014:  # told with an old time
            time -= rng.choice([300, 900, 2_000, 15_000, 61_000, 130_000]) * MS
        elif fault < 0.018:  # told with a time to come
            time += rng.choice([1, 4, 9]) * SECOND
        elif fault < 0.021:  # ... that is refused
            time += rng.choice([12, 60, 5_000]) * SECOND
        elif fault < 0.025:  # crossed
            ask = self.book.best(1)
            if ask:
                bids.append([self.decimal(ask + rng.choice([0, 1, 5]) * self.book.tick, self.book.price_places), "12"])
        elif fault < 0.035 and (bids or asks):  # a price named twice, the first time with another size
            side = bids or asks
            side.insert(0, [side[-1][0], rng.choice(["0", "77"])])
        elif fault < 0.045:  # nothing changed after all
            bids, asks = [], []
        elif fault < 0.047:  # numbering begins anew
            self.begin_anew(bids, asks, time)
            return
        self.delta(bids, asks, first, last, previous, time, self.received())
        if rng.random() < 0.01 * self.harm:  # told again
            for _ in range(rng.choice([1, 1, 2, 3, 4, 6])):
                self.delta(bids, asks, first, last, previous, time, self.received())

    def begin_anew(self, bids, asks, time):
        """Bybit: a snapshot with u = 1, or a delta where that was lost."""
        self.number = self.sent = 1
        self.kept = []
        if not self.bybit or self.rng.random() < 0.5:
            self.delta(bids, asks, 1, 1, 0, time, self.received())
        else:
            self.snapshot(1, *(self.texts(self.book.levels(sign, self.limit)) for sign in (-1, 1)), time, self.received())

    def ask_for_snapshot(self):
        """The book as it is, or as it was a little while ago; the answer takes a while."""
        rng = self.rng
        delay = 0 if self.bybit else rng.choice([0, 30, 300, 900]) * MS
        if rng.random() < 0.3 and self.kept:
            number, bids, asks = self.kept[0] if rng.random() < 0.5 else rng.choice(self.kept)
        else:
            number, (bids, asks) = self.number, (self.texts(self.book.levels(sign, self.limit)) for sign in (-1, 1))
        if rng.random() < 0.03:
            bids, asks = rng.choice([([], asks), (bids, []), ([], []), (asks, bids)])
        self.snapshot(number, bids, asks, self.time - rng.choice([0, 5, 700]) * MS, self.received() + delay)


def head(kind, symbol, conns):
    """The lines with which a recording of cryptofeed begins."""
    market, start = kind[1], BEGIN / SECOND - 1
    address = f"wss://{HOSTS[market][0]}.binance.com/stream?streams={symbol.lower()}@depth@100ms"
    exchange = {"spot": "BINANCE", "linear": "BINANCE_FUTURES", "inverse": "BINANCE_DELIVERY"}[market]
    if kind[0] == BYBIT:
        address, exchange = f"wss://stream.bybit.com/v5/public/{market}", "BYBIT"
    rest = {"config": {}, "candle_interval": None, "recorded": start}
    lines = [{"t": "header", "format": 2, "exchange": exchange} | rest]
    lines += [{"t": "connect", "conn": conn, "ts": start, "addr": address} for conn in conns]
    return [json.dumps(line) for line in lines]


def make(folder, kind, seed):
    path = folder / name(kind, seed)
    if kind[0] == PAIR:
        return make_pair(path, kind, seed)
    maker = Maker(kind, seed)
    return write(path, [] if kind[0] == HFT else head(kind, maker.symbol, [maker.conn]), maker.lines)


def make_pair(path, kind, seed):
    """Two instruments, each on a connection of its own; a third one tells the deltas of the first again. The lines of one
    connection stand behind those of another."""
    conns = [f"BINANCE.ws.{number}" for number in (1, 2, 3)]
    first, other = Maker(kind, seed, "SOL", conns[0], conns[2]), Maker(kind, f"{seed}, the other", "XRP", conns[1])
    lines = [*first.lines, *other.lines]
    return write(path, head(kind, first.symbol, conns), lines, lambda line: line[1].partition('"data"')[0])


def write(path, first, lines, order=lambda line: line[0]):
    path.write_text("\n".join([*first, *(text for _, text in sorted(lines, key=order))]) + "\n", encoding="ascii")
    return path
