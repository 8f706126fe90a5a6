"""Made recordings of what seldom happens by chance: of books, and of positions."""

from madebooks import BYBIT, FINEST, HFT, MS, SECOND, Maker, head, write
from madecrowds import HOLDS, TIERS

MINUTE = 60 * SECOND
SILENCES = {"linear": 50, "inverse": 49}  # bars of a second without open interest
KLINES = 24
STAIRS = (9_000, 4_000, 3_000, 1_900, 500), (5_000, 6_000, 2_900, 700, 8_000), (9_000, 1, 4_600, 4_400, 4_400)


class Edges(Maker):
    """What only counting to a thousand, or a number of 64 bits, brings out; of Binance's spot market."""

    def run(self):
        self.limit, self.book.price_places, self.book.size_places = 5_000, FINEST, FINEST
        self.wait_too_long()
        self.old_ones()
        self.large_numbers()
        self.closes()

    def tell(self, copies=1, bids=None, asks=None, age=0):
        """The next delta; its (U, u)."""
        changes = self.book.change()
        told = bids is not None or asks is not None
        sides = (bids, asks) if told else (self.texts(changes[sign].items()) for sign in (-1, 1))
        first, self.number, previous = self.number + 1, self.number + 2, self.number
        bids, asks = (side or [] for side in sides)
        for _ in range(copies):
            self.delta(bids, asks, first, self.number, previous, self.time - age, self.received())
        self.time += 40 * MS
        if self.rng.random() < 0.3:
            self.trade()
        return first, self.number

    def answer(self, number):
        self.snapshot(number, *(self.texts(self.book.levels(sign, 40)) for sign in (-1, 1)), self.time, self.received())
        self.time += 40 * MS

    def settle(self, deltas=30):  # until the book is live
        self.answer(self.number)
        for _ in range(deltas):
            self.tell()

    def wait_too_long(self):
        told = [self.tell() for _ in range(1_004)]
        for place in (2, 3, 4):  # the first one that still waits is the fifth
            self.answer(told[place][0] - 1)
        self.settle()

    def old_ones(self):
        for copies in (3, 4, 5):  # of which the first is none: the fifth is the fourth old one
            self.tell(copies + 1)
            self.settle()
        for count in (99, 100, 101):
            self.answer(self.number + 2 * count)
            for _ in range(count + 20):
                self.tell()
            self.settle()
        self.answer(self.number)  # the same number again
        self.tell()
        self.tell(3)
        self.tell(3)  # two and two in a row
        self.settle()

    def large_numbers(self):
        largest = "92233720368.54775807"
        told = [("1.2345", largest)], [("92233720368547.7581", "0")], [("1", "1")], [("1.2345", "1.50000000000")]
        refused = [("1.2345", "92233720368.54775808")], [("1.2345", "0.5"), ("1", "9223372036854775807")]
        for bids in (*told, *refused):
            self.tell(bids=bids)
            self.tell()
            self.settle()
        self.tell(bids=[["1.2345", largest]])
        self.tell(bids=[["1.2346", "0.000000001"]])  # what stands there is too large now
        self.tell()
        self.settle()

    def closes(self):
        """Deltas of before the close of a second that become known just at the instant, and just later."""
        for delay in (299, 300, 301, 20, 21, 100, 101, 0, 1):
            self.time = self.time // SECOND * SECOND + SECOND
            first, self.number, previous = self.number + 1, self.number + 2, self.number
            changes = self.book.change()
            bids, asks = (self.texts(changes[sign].items()) for sign in (-1, 1))
            received = self.time + delay * MS
            self.delta(bids, asks, first, self.number, previous, self.time - 400 * MS, received)
            self.time = received + 100 * MS
            self.trade()
            for _ in range(40):
                self.tell()

    def received(self):
        return self.time + 5 * MS


class Held(Maker):
    """Bybit's contracts for long enough that what is open is forgotten; without books, and at first without trades."""

    def run(self):
        self.ahead, self.facts.harm = 0, 0.3
        for _ in range(KLINES):
            self.kline()
        begin, silence = self.time, (600 + SILENCES[self.market]) * SECOND
        quiet = begin // SECOND * SECOND + 6 * MINUTE + 200 * MS
        self.facts.constant = begin + MINUTE, begin + 3 * MINUTE
        self.end = quiet + silence + 6 * MINUTE
        self.tell_open(quiet)
        while self.time < self.end:
            self.time += self.rng.choice([100, 300, 900, 1_000, 2_500]) * MS
            if self.rng.random() < 0.02:
                self.fall(self.rng.choice([-1, 1]), self.rng.choice(STAIRS))
            self.book.change()
            if self.rng.random() < 0.7:
                self.trade()
            if quiet < self.time:  # nothing tells of the silence
                self.facts.harm, self.facts.answers = 0, False
            if not quiet - 10 * SECOND < self.time < quiet + silence:
                self.facts.step()
        self.tell_open(quiet + silence)

    def kline(self):
        """A minute of which only the venue's own bar tells."""
        start, prices = self.time // MINUTE * MINUTE, []
        while self.time < start + MINUTE:
            self.book.change()
            prices.append(self.book.middle)
            self.facts.step()
            self.time += self.rng.choice([300, 900, 2_500]) * MS
        told = {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1]}
        told = {name: self.decimal(price, self.book.price_places) for name, price in told.items()}
        told |= {"start": start // MS, "end": (start + MINUTE) // MS - 1, "interval": "1", "confirm": True}
        told |= {"volume": "1200", "turnover": "13.5", "timestamp": (start + MINUTE) // MS}
        topic = f"kline.1.{self.symbol}"
        frame = {"topic": topic, "type": "snapshot", "ts": (start + MINUTE) // MS, "data": [told]}
        self.emit(start + MINUTE, frame)

    def fall(self, sign, sizes):
        """One forced order a second, of one side, with which the price goes."""
        for size in sizes:
            self.time = self.time // SECOND * SECOND + SECOND + 100 * MS
            for _ in range(2):
                self.trade()
                self.book.sides = {
                    side: {price + sign * 60 * self.book.tick: amount for price, amount in levels.items()}
                    for side, levels in self.book.sides.items()
                }
                self.book.middle += sign * 60 * self.book.tick
                self.time += 300 * MS
            self.trade()
            price = self.decimal(self.book.middle, self.book.price_places)
            self.emit(self.time + 20 * MS, self.facts.frame([(sign < 0, price, str(size), self.time // MS)]))

    def tell_open(self, time):
        """In time, and just once."""
        self.facts.tell({"singleOpenInterest": "4321.5"}, time, time + 20 * MS)


class Forgotten(Maker):
    """Bybit's contracts, of which all is told so that it is forgotten at once, and then not told for so many bars; before
    that each alone, and in the end rates that hardly change."""

    def run(self):
        self.ahead = 0
        self.time = self.time // SECOND * SECOND
        self.seconds(30, None)
        for tell in self.tell_interval, self.tell_ratio, self.tell_margins, self.tell_rate:
            self.seconds(1, lambda holds: holds - 3 * SECOND, [tell])
            self.seconds(4, None)
        for silence in sorted(SILENCES.values()):
            self.seconds(23, lambda holds: holds - 5 * SECOND, every=4)
            self.seconds(2 + silence, None)  # two seconds are left of it
            self.seconds(30, lambda holds: 0)
        self.seconds(25, lambda holds: 0, [self.tell_steady_rate])

    def seconds(self, count, age, tells=(), every=1):
        """With what is told in some of them, of so long ago, by how long it holds."""
        tells = tells or (self.tell_interval, self.tell_ratio, self.tell_margins, self.tell_rate)
        for number in range(count):
            begin = self.time
            for tell in tells if age and number % every == 0 else ():
                tell(lambda holds: begin - age(holds))
            for part in (100, 400, 700, 900):
                self.time = begin + part * MS
                self.book.change()
                self.trade()
            self.time = begin + SECOND

    def tell_interval(self, time):
        self.facts.tell({"fundingIntervalHour": self.rng.choice(["8", "4"])}, time(HOLDS), self.time + 620 * MS)

    def tell_ratio(self, time):
        crowd = self.facts.crowd
        crowd.share = min(max(crowd.share + self.rng.gauss(0, 0.02), 0.1), 0.9)
        crowd.bybit_ratios([time(HOLDS)])

    def tell_margins(self, time):
        crowd = self.facts.crowd
        crowd.answer("risk-limit", {"list": [crowd.entry(1, self.rng.choice(TIERS), self.symbol)]}, time(HOLDS))

    def tell_rate(self, time):
        told = {"fundingRate": f"{self.rng.randint(-80, 80) / 10**5:.5f}", "singleOpenInterest": str(self.rng.randint(70, 80))}
        self.facts.tell(told, time(600 * SECOND), self.time + 20 * MS)

    def tell_steady_rate(self, time):
        self.facts.tell({"fundingRate": f"0.000100{self.rng.randint(0, 7):02}"}, time(600 * SECOND), self.time + 20 * MS)


def make_edges(folder):
    return write(folder / "edges.txt", [], Edges((HFT, "spot"), 0).lines)


def make_held(folder, market):
    kind = BYBIT, market
    maker = Held(kind, "held")
    return write(folder / f"held-{market}.jsonl", head(kind, maker.symbol, [maker.conn]), maker.lines)


def make_forgotten(folder, market):
    kind = BYBIT, market
    maker = Forgotten(kind, "forgotten")
    return write(folder / f"forgotten-{market}.jsonl", head(kind, maker.symbol, [maker.conn]), maker.lines)
