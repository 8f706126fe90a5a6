"""What made recordings tell of contracts beside books and trades: what is open, funding rates and forced orders, with
everything that goes wrong with them."""

import random

import madecrowds

MS, SECOND = 10**6, 10**9
LATE = [0.3, 0.9, 2, 15, 40, 61, 130, 700, 7_300, 9_000]  # seconds
AHEAD = [0.4, 1.5, 4, 9, 12, 60, 5_000]


class Facts:
    """Of one maker, from which its own randomness is independent."""

    def __init__(self, maker, seed):
        self.maker, self.rng = maker, random.Random(f"facts {seed}")
        self.harm, self.answers = self.rng.choice([0.0, 0.3, 1]), True
        self.open, self.rate = self.rng.randint(10_000, 900_000), self.rng.randint(-30, 60) * self.rng.choice([1, 1, 4])
        self.constant = 0, 0  # what is open stays the same between these times
        self.burst_until, self.burst_sale = 0, False
        self.kept = []  # frames of forced orders
        self.crowd = madecrowds.Crowd(self, seed)

    def step(self):
        rng, time = self.rng, self.maker.time
        if not self.constant[0] <= time < self.constant[1] and rng.random() < 0.5:
            self.open = max(10_000, self.open + round(rng.gauss(0, 0.003) * self.open))
        if rng.random() < 0.1:
            self.rate += rng.randint(-6, 6)
        if rng.random() < 0.15:
            self.ticker()
        if rng.random() < 0.008 and self.constant[1] < time:
            self.constant = time, time + rng.choice([3, 25, 40]) * SECOND
        if rng.random() < 0.01:
            self.begin_burst()
        if time < self.burst_until or rng.random() < 0.02:
            self.forced()
        if rng.random() < 0.01 and self.answers:
            self.series()
        self.crowd.step()

    def moved(self, time, rng=None):
        """A time as it is told, and now and then another one."""
        rng = rng or self.rng
        fault = rng.random()
        if fault < 0.08 * self.harm:
            return time - round(rng.choice(LATE) * SECOND)
        if fault < 0.12 * self.harm:
            return time + round(rng.choice(AHEAD) * SECOND)
        return time

    # What is open, and funding

    def tell(self, data, time, received):
        maker = self.maker
        frame = {"topic": f"tickers.{maker.symbol}", "type": "delta", "data": {"symbol": maker.symbol} | data}
        maker.emit(received, frame | {"cs": received, "ts": time // MS})

    def ticker(self):
        rng, maker, data = self.rng, self.maker, {}
        time, received = self.moved(maker.time), self.received()
        rate = f"{self.rate / 10**5:.5f}"
        if maker.bybit:
            for _ in range(rng.choice([1, 1, 1, 2])):  # two tell different things of one instant
                once = f"{self.open / 100:.2f}"
                if rng.random() < 0.01:
                    once = rng.choice(["0", "-5", "0.00", ""])
                kind = rng.random()
                if kind < 0.7:
                    data["singleOpenInterest"] = once
                if kind < 0.4 or 0.7 < kind < 0.85:
                    data["openInterest"] = f"{self.open / 50:.2f}" if once else ""
                if kind > 0.8 or rng.random() < 0.3:
                    data["fundingRate"] = rate
                self.tell(data, time, received)
                if rng.random() < 0.5:
                    self.open += rng.choice([-300, 300])
                    received += rng.choice([0, 30 * MS])
        else:
            data = {"e": "markPriceUpdate", "E": time // MS, "s": maker.symbol, "p": "100.0", "r": rate}
            maker.emit(received, {"stream": maker.stream("markPrice@1s"), "data": data | {"T": time // MS + 9_000_000}})

    def series(self):
        """An answer of a venue that tells of some instants."""
        rng, maker = self.rng, self.maker
        if maker.format == "hft":
            return
        period = rng.choice([1, 7, 300]) * SECOND
        newest, count = maker.time // period * period, rng.randint(1, 4)
        times = [self.moved(newest - before * period) // MS for before in range(count)]
        sizes = [f"{(self.open + rng.randint(-2_000, 2_000)) / 100:.2f}" for _ in times]
        if rng.random() < 0.1:
            sizes[0] = rng.choice(["0", "-1.5"])
        if maker.bybit:
            listed = [{"openInterest": size, "timestamp": str(time)} for time, size in zip(times, sizes)]
            result = {"symbol": maker.symbol, "category": maker.market, "list": listed, "nextPageCursor": ""}
            answer = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": maker.time // MS}
            url = f"https://api.bybit.com/v5/market/open-interest?category={maker.market}&symbol={maker.symbol}"
            maker.emit(self.received(), answer, f"{url}&intervalTime=5min")
            return
        host = "fapi" if maker.market == "linear" else "dapi"
        if maker.market == "linear" and rng.random() < 0.5:
            values = [rng.choice(["5.5", "70000", "70000", "0"]) for _ in sizes]
            listed = [
                {"symbol": maker.symbol, "sumOpenInterest": size, "sumOpenInterestValue": value, "timestamp": time}
                for size, value, time in zip(sizes, values, times)
            ]
            url = f"https://fapi.binance.com/futures/data/openInterestHist?symbol={maker.symbol}&period=5m"
            maker.emit(self.received(), listed, url)
            return
        answer = {"symbol": maker.symbol, "openInterest": sizes[0], "time": times[0]}
        maker.emit(self.received(), answer, f"https://{host}.binance.com/{host}/v1/openInterest?symbol={maker.symbol}")

    # Forced orders

    def begin_burst(self):
        """Of one side, with which the price often goes."""
        rng, book = self.rng, self.maker.book
        self.burst_until, self.burst_sale = self.maker.time + rng.choice([200, 900, 2_500]) * MS, rng.random() < 0.5
        book.middle += (-1 if self.burst_sale else 1) * book.tick * rng.choice([0, 6, 30, 80])

    def order(self):
        rng, maker, book = self.rng, self.maker, self.maker.book
        in_burst = maker.time < self.burst_until
        sale = self.burst_sale if in_burst and rng.random() < 0.95 else rng.random() < 0.5
        price = book.middle // book.tick * book.tick + rng.randint(-3, 3) * book.tick
        size = rng.choice([1, 3, 40, 700]) * (9 if in_burst else 1)
        if not book.whole_sizes:
            size = f"{size / 10:.1f}"
        if rng.random() < 0.02 * self.harm:
            size = rng.choice(["0", "-3"])
        return sale, maker.decimal(price, book.price_places), str(size), self.moved(maker.time) // MS

    def forced(self):
        rng, maker = self.rng, self.maker
        orders = [self.order() for _ in range(rng.choice([1, 1, 2, 5]))]
        if rng.random() < 0.2:
            orders.append(rng.choice(orders))  # another one, equal
        if maker.bybit and rng.random() < 0.85:
            frames = [self.frame(orders)]
        elif maker.bybit:
            frames = [self.old_frame(*order) for order in orders[:1]]
        else:
            frames = [self.binance_frame(*order) for order in orders]
        received = self.received()
        for frame in frames:
            self.kept = [*self.kept[-6:], frame]
            maker.emit(received, frame)
        if rng.random() < 0.1:  # told again: the same instant makes it other orders
            maker.emit(received + rng.choice([0, 1, 40, 3_000]) * MS, rng.choice(self.kept))

    def frame(self, orders):
        symbol = self.maker.symbol
        listed = [
            {"T": time, "s": symbol, "S": "Buy" if sale else "Sell", "v": size, "p": price}
            for sale, price, size, time in orders
        ]
        return {"topic": f"allLiquidation.{symbol}", "type": "snapshot", "ts": listed[0]["T"], "data": listed}

    def old_frame(self, sale, price, size, time):
        side = "Buy" if sale else "Sell"
        data = {"updatedTime": time, "symbol": self.maker.symbol, "side": side, "size": size, "price": price}
        return {"topic": f"liquidation.{self.maker.symbol}", "type": "snapshot", "ts": time, "data": data}

    def binance_frame(self, sale, price, size, time):
        maker, side = self.maker, "SELL" if sale else "BUY"
        order = {"s": maker.symbol, "S": side, "o": "LIMIT", "f": "IOC", "q": size, "p": price, "X": "FILLED", "T": time}
        filled = self.rng.choice([("0", "0"), (price, size), (price, "2"), ("0", size), ("17.25", "0")])
        order |= {"ap": filled[0], "z": filled[1], "l": "1"}
        return {"stream": maker.stream("forceOrder"), "data": {"e": "forceOrder", "E": time + 3, "o": order}}

    def received(self, rng=None):
        rng, maker = rng or self.rng, self.maker
        time = maker.time + maker.ahead + rng.choice([5, 12, 40, 90]) * MS + rng.randrange(10**6)
        return -(-time // (50 * MS)) * 50 * MS if rng.random() < 0.3 else time
