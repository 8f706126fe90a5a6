"""What made recordings tell of those who hold contracts: ratios of longs to shorts, how often funding is settled, and what
margins are asked for, with everything that goes wrong with them."""

import random

MS, SECOND = 10**6, 10**9
HOLDS = 1_800 * SECOND
OLD = [-2, -1, 0, 1, 3, 10, 30, 60]  # seconds that something has left, as it is told
TIERS = [("100", 0.01, 0.005), ("50", 0.02, 0.01), ("25", 0.04, 0.02), ("12.5", 0.08, 0.04), ("66.67", 0.015, 0.0075)]
SEVERAL = ("50", 0.02, 0.02), ("50", 0.02, 0.03), ("1", 1.0, 0.8), ("125", 0.008, 0.0004), ("200", 0.0075, 0.005)
ODD = ("100", 0.0, 0.005), ("100", 0.01, 0.0), ("0", 0.01, 0.005), ("-5", 0.2, 0.1), ("100", 0.03, 0.02), ("100", 0.6, 0.3)


class Crowd:
    """Of one maker's facts, from which its own randomness is independent."""

    def __init__(self, facts, seed):
        self.facts, self.maker, self.rng = facts, facts.maker, random.Random(f"crowd {seed}")
        self.share, self.top = self.rng.uniform(0.2, 0.85), self.rng.uniform(0.3, 0.7)  # of longs
        self.constant = 0, 0  # shares stay the same between these times
        self.hours, self.tier = self.rng.choice(["8", "4", "1"]), self.rng.choice(TIERS)
        second = SECOND * self.rng.choice([0, 0, 20, 90])
        self.begin = {what: self.maker.time + second * self.rng.randint(0, 2) for what in ("ratios", "interval", "margins")}
        self.is_old = self.rng.random() < 0.4  # for a while all is told just before it is forgotten
        self.old_until = self.maker.time + 120 * SECOND

    def step(self):
        rng, time = self.rng, self.maker.time
        if not self.constant[0] <= time < self.constant[1] and rng.random() < 0.3:
            self.share = min(max(self.share + rng.gauss(0, 0.02), 0.05), 0.97)
            self.top = min(max(self.top + rng.gauss(0, 0.01), 0.05), 0.97)
        if rng.random() < 0.004 and self.constant[1] < time:
            self.constant = time, time + rng.choice([25, 40]) * SECOND
        if rng.random() < 0.012 and self.maker.bybit and self.begin["interval"] <= time:
            self.interval()
        if rng.random() < 0.02 and self.maker.format != "hft" and self.begin["ratios"] <= time:
            self.ratios()
        if rng.random() < 0.012 and self.maker.bybit and self.begin["margins"] <= time:
            self.margins()

    def time(self):
        """Of what is told now."""
        rng, now = self.rng, self.facts.moved(self.maker.time, self.rng)
        if self.is_old and now < self.old_until or rng.random() < 0.1 * self.facts.harm:
            now += rng.choice(OLD) * SECOND - HOLDS
        return now // SECOND * SECOND if rng.random() < 0.5 else now

    # How often funding is settled

    def interval(self):
        rng, data = self.rng, {}
        if rng.random() < 0.1:
            self.hours = rng.choice(["8", "4", "2", "1", "24"])
        time, received = self.time(), self.facts.received(rng)
        for _ in range(rng.choice([1, 1, 1, 2])):
            data["fundingIntervalHour"] = rng.choice(["0", "-4", ""]) if rng.random() < 0.05 else self.hours
            if rng.random() < 0.3:
                data["fundingRate"] = f"{self.facts.rate / 10**5:.5f}"
            self.facts.tell(data, time, received)
            self.hours = rng.choice([self.hours, self.hours, "8", "4"])  # another one of the same instant

    # Ratios

    def longs_and_shorts(self, share):
        if self.rng.random() < 0.03:
            return self.rng.choice([("0", "1"), ("1.0000", "0.0000"), ("-0.2", "1.2"), ("0.5", "-0.5"), ("-1", "-2")])
        return f"{share:.4f}", f"{1 - share:.4f}"

    def ratios(self):
        """Of some instants, now and then of one twice."""
        rng, maker = self.rng, self.maker
        period, newest = rng.choice([1, 1, 7, 60]) * SECOND, self.time()
        times = [newest - before * period for before in rng.choice([(0,), (0,), (0, 0), (0, 1), (2, 1, 0), (0, 1, 1, 5)])]
        if rng.random() < 0.1:
            times[-1] = self.time()
        if maker.bybit:
            self.bybit_ratios(times)
        elif maker.market == "linear":
            what = rng.choice(["global", "topPosition", "topPosition", "topAccount"])
            self.binance_ratios(what, times)

    def bybit_ratios(self, times):
        maker, listed = self.maker, []
        for time in times:
            long, short = self.longs_and_shorts(self.share + self.rng.choice([0, 0, 0.01]))
            entry = {"symbol": maker.symbol, "buyRatio": long, "sellRatio": short, "timestamp": str(time // MS)}
            listed.append(entry)
        self.answer("account-ratio", {"list": listed, "nextPageCursor": ""}, maker.time, "&period=5min&limit=4")

    def binance_ratios(self, what, times):
        maker, listed = self.maker, []
        for time in times:
            long, short = self.longs_and_shorts((self.share if what == "global" else self.top) + self.rng.choice([0, 0, 0.01]))
            entry = {"symbol": maker.symbol, "longShortRatio": "1.2345", "longAccount": long, "shortAccount": short}
            listed.append(entry | {"timestamp": time // MS})
        name = {"global": "globalLongShortAccountRatio", "topPosition": "topLongShortPositionRatio"}.get(what)
        address = f"https://fapi.binance.com/futures/data/{name or 'topLongShortAccountRatio'}"
        maker.emit(self.facts.received(self.rng), listed, f"{address}?symbol={maker.symbol}&period=5m&limit=4")

    # Margins

    def entry(self, number, tier, symbol):
        """Of inverse contracts in percent; numbers or texts."""
        leverage, *margins = tier
        if self.maker.market == "inverse":
            margins = [round(100 * margin, 6) for margin in margins]
        kind = self.rng.choice([str, float])
        initial, maintenance = (kind(margin) for margin in margins)
        entry = {"id": number, "symbol": symbol, "riskLimitValue": str(number * 200_000), "maintenanceMargin": maintenance}
        return entry | {"initialMargin": initial, "isLowestRisk": int(number == 1), "maxLeverage": leverage, "mmDeduction": ""}

    def margins(self):
        rng, symbol = self.rng, self.maker.symbol
        if rng.random() < 0.3:
            self.tier = rng.choice(TIERS)
        time = self.time()
        for _ in range(rng.choice([1, 1, 1, 2])):
            chance = rng.random()
            tier = rng.choice(ODD) if chance < 0.06 else rng.choice(SEVERAL) if chance < 0.2 else self.tier
            listed = [self.entry(number, rng.choice(TIERS) if number > 1 else tier, symbol) for number in (1, 2, 3)]
            del listed[rng.randint(1, 3) :]
            if rng.random() < 0.1:
                listed += [self.entry(1, rng.choice(TIERS), "XRPUSDT")]
            self.answer("risk-limit", {"category": self.maker.market, "list": listed, "nextPageCursor": ""}, time)
            self.tier = rng.choice([self.tier, self.tier, rng.choice(TIERS)])  # another one of the same instant

    def answer(self, what, result, time, more=""):
        """Of Bybit."""
        maker = self.maker
        answer = {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": time // MS}
        url = f"https://api.bybit.com/v5/market/{what}?category={maker.market}&symbol={maker.symbol}{more}"
        maker.emit(self.facts.received(self.rng), answer, url)
