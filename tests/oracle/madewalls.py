"""Made recordings of walls and of what is near mid: sizes that tie, halve and are taken, prices on the edges of buckets."""

from madebooks import BYBIT, CRYPTOFEED, FINEST, HFT, MS, SECOND, Maker, head, write

LENGTH = 70  # seconds
BEFORE = {"LTCUSDT": 4, "XRPUSD": 4}  # minutes of which only the venue's own bars tell
MINUTE = 60 * SECOND
FLOOD = range(20, 30)  # those in which there are more and more large sizes of one side
# Coin: twice mid, and tick, in 1 / 10^FINEST; levels of a side. 5 basis points of the first three mids are a height.
COINS = {
    "SOL": (2_000_000, 500, 26), "XRP": (800_000, 100, 55), "ADA": (20_000, 5, 24), "DOT": (2_468_300, 100, 70),
    "LTC": (400_200, 100, 12),
}  # fmt: skip
FILES = (
    ((BYBIT, "linear"), "SOL XRP ADA DOT LTC"), ((BYBIT, "inverse"), "SOL XRP"), ((CRYPTOFEED, "inverse"), "SOL DOT"),
    ((HFT, "spot"), "XRP"),
)  # fmt: skip
PLAIN, LARGE = (1, 1, 1, 2, 2, 3), (5, 6, 10, 10, 20, 20, 40)
SHARES = 0, 0.4, 0.49, 0.5, 0.5, 0.5, 0.75, 1.5, 2  # that a size becomes
TAKEN = 0.25, 0.5, 0.5, 0.5, 1, 1, 2  # of what went


class Staged(Maker):
    """A book of small sizes with some large ones; each second a few things happen to it."""

    def run(self):
        coin = self.symbol[:3]
        self.both, self.coarse, self.count = COINS[coin]
        self.ahead, self.facts, self.limit = 0, None, 100 if self.bybit else 10 if coin == "SOL" else 50
        self.book.price_places, self.book.size_places = FINEST, 2
        self.one = 8 if self.book.whole_sizes else 10**FINEST
        self.levels_of = {-1: {}, 1: {}}
        self.traded = False
        self.small = 0  # seconds for which there are few levels
        self.lost, self.down = False, 0  # whether a delta was lost, and how often there is no snapshot yet
        self.fill()
        self.answer()
        for _ in range(BEFORE.get(self.symbol, 0)):
            self.minute()
        for number in range(LENGTH):
            self.time = self.time // SECOND * SECOND + SECOND
            if number in FLOOD and self.count > 50 and not self.lost:
                self.flood(number)
            else:
                self.second()
        self.end_exactly()
        if self.market == "spot":
            self.cut()

    # The book

    def price(self, sign, place):
        """Of the place behind mid, from 0."""
        ticks = -(-self.both // (2 * self.coarse)) if sign > 0 else self.both // (2 * self.coarse)
        return (ticks + sign * (place + (2 * ticks * self.coarse == self.both))) * self.coarse

    def fill(self):
        """Up to the number of levels of each side."""
        for sign, levels in self.levels_of.items():
            for place in range(self.count):
                price = self.price(sign, place)
                if price not in levels and self.rng.random() < 0.9:
                    levels[price] = self.rng.choice(PLAIN) * self.one

    def sorted(self, sign):
        return sorted(self.levels_of[sign], key=lambda price: sign * price)

    def large(self, sign):
        return [price for price, size in self.levels_of[sign].items() if size >= 4 * self.one]

    def rounded(self, size):
        step = 1 if self.book.whole_sizes else 10 ** (FINEST - self.book.size_places)
        return int(size) // step * step

    def told(self, before):
        """The levels that differ, as texts."""
        for sign in -1, 1:
            old, new = before[sign], self.levels_of[sign]
            changed = [(price, new.get(price, 0)) for price in old.keys() | new.keys() if old.get(price) != new.get(price)]
            yield self.texts(sorted(changed))

    def tell(self, before, lost=False):
        first, previous = self.number + 1, self.number
        self.number += 1 if self.bybit else self.rng.randint(1, 3)
        if not lost:
            self.delta(*self.told(before), first, self.number, previous, self.time, self.time + 15 * MS)

    def answer(self, levels=None, one_sided=0.2):
        """A snapshot; `levels` of each side, all if None, now and then none at all. Of Binance it is newer than all deltas."""
        self.number += not self.bybit
        sides = []
        for sign in -1, 1:
            count = 0 if levels and self.rng.random() < one_sided else levels
            prices = self.sorted(sign)[: self.limit if count is None else count]
            sides.append(self.texts([(price, self.levels_of[sign][price]) for price in prices]))
        self.snapshot(self.number, *sides, self.time, self.time + 15 * MS)

    def deal(self, price, size, buy, delay=0):
        """A trade that is received so much later."""
        self.trade_number += 1
        size, received = max(self.rounded(size), self.rounded(self.one)), self.time + 12 * MS + delay
        self.tell_trade(price, size, buy, received)

    def kline(self, start):
        price, end = self.decimal(self.sorted(1)[0], FINEST), start + MINUTE
        told = dict.fromkeys(("open", "high", "low", "close"), price) | {"volume": "120", "turnover": "13.5"}
        told |= {"start": start // MS, "end": end // MS - 1, "interval": "1", "confirm": True, "timestamp": end // MS}
        self.emit(end, {"topic": f"kline.1.{self.symbol}", "type": "snapshot", "ts": end // MS, "data": [told]})

    # What happens

    def minute(self):
        start = self.time // MINUTE * MINUTE
        self.time += 5 * SECOND
        while self.time < start + MINUTE:
            before = {sign: dict(levels) for sign, levels in self.levels_of.items()}
            self.change(self.rng.random() < 0.1)
            self.tell(before)
            self.time += 15 * SECOND
        self.kline(start)
        self.time = start + MINUTE

    def second(self):
        rng = self.rng
        self.time += 100 * MS
        self.traded = True
        if rng.random() < 0.8:
            self.deal(self.sorted(1)[0], self.one, True)
        if rng.random() < 0.08:
            self.deal_widely()
        if not self.lost and rng.random() < 0.12:
            return  # without events of the book
        for _ in range(rng.choice([1, 1, 2])):
            self.time += 200 * MS
            before = {sign: dict(levels) for sign, levels in self.levels_of.items()}
            self.change()
            lost = not self.lost and rng.random() < 0.06
            if lost:
                self.lost, self.down = True, rng.choice([0, 0, 1, 2])
            self.tell(before, lost)
        self.time += 50 * MS
        if self.lost and self.down:
            self.down -= 1
        elif self.lost or rng.random() < 0.25:
            self.lost = False
            self.answer(rng.choice([None, None, None, 4, 6, 8, 9, 10, 14]))

    def calm(self, large):
        """The next second: all sizes are alike but some, {(sign, place): size}."""
        self.time = self.time // SECOND * SECOND + SECOND + 100 * MS
        before = {sign: dict(levels) for sign, levels in self.levels_of.items()}
        for sign in before:
            self.levels_of[sign] = {self.price(sign, place): self.one for place in range(self.count)}
        for (sign, place), size in large.items():
            self.levels_of[sign][self.price(sign, place)] = size * self.one
        self.tell(before)

    def end_exactly(self):
        """Of a wall that goes half was taken, or not quite; then it is one of as many prices as a footprint has levels."""
        self.answer()
        for share in 0.5, 0.4999, 0.5001:
            self.calm({(-1, 3): 40, (1, 4): 20})
            self.calm({})
            self.deal(self.price(-1, 3), 39 * self.one * share, False)
            self.deal(self.price(1, 4), 19 * self.one * share, True)
        for number in 32, 33:
            self.calm({(-1, 6): 40})
            self.calm({})
            for place in range(number):
                self.deal(self.price(-1, place), self.one, False)

    def cut(self):
        """Snapshots of fewer and fewer levels: of buckets that are known, and of walls in the last ones that are."""
        self.calm({(sign, place): 10 + place for sign in (-1, 1) for place in (2, 8, 14, 17)})
        for levels in range(40, 1, -1):
            self.time = self.time // SECOND * SECOND + SECOND + 100 * MS
            self.deal(self.sorted(1)[0], self.one, True)
            self.answer(levels, 0)

    def change(self, moves=True):
        rng = self.rng
        if self.small:
            self.small -= 1
        else:
            self.fill()
        kind = rng.random() if moves else 1
        if kind < 0.08:
            self.thin_out()
        elif kind < 0.2:
            self.move(rng.choice([-3, -1, -1, 1, 1, 3]))
        elif kind < 0.23:
            self.hollow()
        elif kind < 0.31:
            self.grow(rng.choice([-1, 1]), rng.randint(5, 8))
        else:
            self.grow(rng.choice([-1, 1]), rng.choice([0, 1, 1, 2]))
        for _ in range(rng.choice([0, 1, 1, 2, 4])):
            self.shrink(rng.choice([-1, 1]))

    def flood(self, number):
        """Larger ones than before, some of them equal; now and then one of those before goes."""
        self.time += 200 * MS
        before = {sign: dict(levels) for sign, levels in self.levels_of.items()}
        self.small = 0
        self.fill()
        levels = self.levels_of[-1]
        if number % 3 == 0:
            del levels[self.rng.choice(self.large(-1))]
        for price in self.rng.sample(self.sorted(-1)[:50], 5):
            levels[price] = (10 * (number - FLOOD.start) + self.rng.choice([50, 50, 56])) * self.one
        self.deal(self.sorted(1)[0], self.one, True)
        self.tell(before)

    def grow(self, sign, count):
        """Large sizes, now and then at the prices furthest from mid that count as near."""
        rng, levels = self.rng, self.levels_of[sign]
        furthest = self.both * (100 + sign) // 200 // self.coarse * self.coarse
        for _ in range(count):
            price = self.price(sign, rng.randrange(self.count))
            if rng.random() < 0.15:
                price = furthest + rng.choice([0, 0, sign]) * self.coarse
            levels[price] = rng.choice(LARGE) * self.one

    def shrink(self, sign):
        rng, levels, prices = self.rng, self.levels_of[sign], self.large(sign)
        if not prices or len(levels) < 3:
            return
        price = rng.choice(prices)
        size = self.rounded(levels[price] * rng.choice(SHARES))
        went = levels[price] - size
        if size:
            levels[price] = size
        else:
            del levels[price]
        if went > 0 and rng.random() < 0.7 and self.traded:
            delay = rng.choice([0, 0, 0, 1_500, 3_100, 6_000]) * MS
            parts = rng.choice([1, 1, 2])
            for _ in range(parts):
                near = price + rng.choice([0, 0, 0, 1, -1]) * self.coarse
                self.deal(near, went * rng.choice(TAKEN) / parts, (sign > 0) ^ (rng.random() < 0.1), delay)

    def move(self, ticks):
        """What stood in the way is gone, and its price may have a large size of the other side."""
        self.both += ticks * self.coarse
        for sign, levels in self.levels_of.items():
            for price in [price for price in levels if sign * 2 * price <= sign * self.both]:
                size = levels.pop(price)
                if 2 * price != self.both and self.rng.random() < 0.6:
                    self.levels_of[-sign][price] = max(size, 10 * self.one)
        self.fill()

    def thin_out(self):
        self.small = self.rng.choice([1, 2])
        for sign in -1, 1:
            for price in self.sorted(sign)[self.rng.choice([1, 9, 9, 10, 11]) :]:
                del self.levels_of[sign][price]

    def hollow(self):
        """For a moment there is nothing within 1 % of mid."""
        self.small = 1
        for sign in -1, 1:
            away = self.both * (1_000 + 16 * sign) // 2_000 // self.coarse
            self.levels_of[sign] = {(away + sign * place) * self.coarse: self.one for place in range(3)}

    def deal_widely(self):
        """Trades at about as many prices as a footprint has levels, or at so many that a level holds several."""
        for place in range(self.rng.choice([16, 16, 16, 25, 45])):
            for sign in -1, 1:
                self.deal(self.price(sign, place), self.rng.choice(LARGE) * self.one, sign > 0)


def make_walls(folder, kind, coins):
    conns = [f"{'BYBIT' if kind[0] == BYBIT else 'BINANCE'}.ws.{number}" for number, _ in enumerate(coins, 1)]
    makers = [Staged(kind, "walls", coin, conn) for coin, conn in zip(coins, conns)]
    lines = [line for maker in makers for line in maker.lines]
    first = [] if kind[0] == HFT else head(kind, makers[0].symbol, conns)
    return write(folder / f"walls-{kind[0]}-{kind[1]}.{'txt' if kind[0] == HFT else 'jsonl'}", first, lines)


def make_all(folder):
    return [make_walls(folder, kind, coins.split()) for kind, coins in FILES]
