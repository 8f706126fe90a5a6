"""What those who hold contracts think, and what it costs them: the table `sentiment` with its versions, and the dimension
`sentiment`. METHODS.md 2, "Positions of a bar", and 4."""

import math

from flows import Window, root_mean_square
from positions import NOTHING, steps
from scores import WINDOW, part, rel, sign

DIMENSION = "sentiment"
USUAL = 8.0  # hours between settlements
YEAR = 8_760  # hours
EXTREME = math.log(3)  # of the logarithm of a ratio
DEAR, RISE, RESTLESS = 0.001, 0.0002, 0.00005  # of rates of eight hours
MOST_LEVERAGE = 100
READ = "atr_14 atr_50 rsi_14 ema_50 relative_volume".split()  # indicators that are read


def crowd(u):
    """f: with it while it grows, against it at extremes."""
    return 2 * u * (1 - abs(u)) if abs(u) <= 1 else -sign(u) * math.tanh(abs(u) - 1)


# Components of the market itself: (raw value, raw score) or None


def volume_sentiment(flows):
    """Of the last bars that have a flow, 20 or fewer, this one last."""
    if not flows or len(flows) < WINDOW:
        return None
    window, takens = Window(flows), [flow.taken for flow in flows]
    b, s = sum(taken.bought for taken in takens), sum(taken.sold for taken in takens)
    if not s:
        return None
    trend = None
    if window.close_sigma is not None:
        trend = math.tanh((window.close - flows[0].close) / (window.close_sigma * math.sqrt(WINDOW - 1)))
    numbers = rel(sum(taken.buys for taken in takens), sum(taken.sells for taken in takens))
    return b / s, 50 + 50 * math.tanh(2 * part([(0.4, rel(b, s)), (0.4, numbers), (0.2, trend)]))


def market_mood(bar, indicators):
    atr, slow_atr, rsi, trend, volume = (indicators[name] for name in READ)
    if not atr or not slow_atr or None in (rsi, trend, volume):
        return None
    calm = -math.tanh(2 * (atr / slow_atr - 1))
    moved = math.tanh((bar.close - bar.open) / atr) * volume / (1 + volume)
    mood = 0.3 * calm + 0.3 * (rsi - 50) / 50 + 0.2 * moved + 0.2 * math.tanh((bar.close - trend) / (2 * atr))
    return 100 * mood, 50 + 50 * mood


def of_market(bar, indicators, flows):
    """{(dimension, component): (raw value, raw score)} of what needs no positions; `flows` as of volume_sentiment, None of a
    bar without one."""
    found = {"volume_sentiment": volume_sentiment(flows), "market_mood": market_mood(bar, indicators)}
    return {(DIMENSION, name): values for name, values in found.items() if values}


# Components of positions


class Sentiment:
    """That of the bars of one timeframe. `held` are their Positions, `atrs` {start: atr_14}; `told` and `components`, by name,
    are {start: [Version]}, as those of Positions are."""

    def __init__(self, held, atrs):
        self.held, self.atrs = held, atrs
        found = {name: {} for name in ("told", *OF_POSITIONS)}
        for place, bar in enumerate(held.bars):
            found["told"][bar.start] = held.versions(place, self.row)
            for name, function in OF_POSITIONS.items():
                found[name][bar.start] = held.versions(place, lambda place, known: function(self, place, known))
        self.told, self.components = found.pop("told"), found

    def histories(self, start):
        """{(dimension, component): [Version]} of a bar, what is read of order flow among them."""
        found = {(DIMENSION, name): of_bars.get(start, []) for name, of_bars in self.components.items()}
        return found | {("orderflow", "open_interest"): self.held.component(start)}

    def now(self, name, place, known):
        value = self.held.now(name, place, known)
        return value if value is None else float(value)

    def row(self, place, known):
        """({column: value} or None, the oldest place that it reads)."""
        accounts, top, rate, hours = (self.now(name, place, known) for name in ("account", "top_position", "funding", "interval"))
        margins = self.held.now("margins", place, known)
        if accounts is top is rate is margins is None:
            return None, place
        leverage, initial, maintenance = map(float, margins) if margins else [None] * 3
        hourly = rate / hours if rate is not None and hours is not None else None
        return {
            "long_short_ratio": accounts, "top_position_ratio": top, "funding_rate": rate, "funding_interval": hours,
            "funding_hourly": hourly, "funding_annual": None if hourly is None else YEAR * hourly,
            "leverage_max": leverage, "initial_margin": initial, "maintenance_margin": maintenance,
        }, place  # fmt: skip

    def long_short_ratio(self, place, known):
        accounts, top = (self.now(name, place, known) for name in ("account", "top_position"))
        if accounts is None:
            return None, place
        last, oldest = self.held.last("account", place, known)
        ratios = [self.now("account", each, known) for each in last]
        trend, scale = None, steps(ratios) if len(ratios) == WINDOW else 0.0
        if scale > NOTHING:
            trend = math.tanh(math.log(ratios[-1] / ratios[0]) / (scale * math.sqrt(WINDOW - 1)))
        of_top = None if top is None else math.tanh(math.log(top))
        x = part([(0.5, crowd(math.log(accounts) / EXTREME)), (0.3, of_top), (0.2, trend)])
        return (accounts, 50 + 50 * x), oldest

    def rates(self, place, known):
        """(F of eight hours of the last 20 bars that have one, or fewer, the oldest place that was looked at)."""
        last, oldest = self.held.last("funding", place, known)
        hours = [self.now("interval", each, known) or USUAL for each in last]
        return [self.now("funding", each, known) * 8 / each_hours for each, each_hours in zip(last, hours)], oldest

    def funding_rate(self, place, known):
        rate = self.now("funding", place, known)
        if rate is None:
            return None, place
        rates, oldest = self.rates(place, known)
        trend = math.tanh((rates[-1] - rates[0]) / RISE) if len(rates) == WINDOW else None
        return (10_000 * rate, 50 + 50 * part([(0.7, crowd(rates[-1] / DEAR)), (0.3, trend)])), oldest

    def funding_volatility(self, place, known):
        if self.now("funding", place, known) is None:
            return None, place
        rates, oldest = self.rates(place, known)
        if len(rates) < WINDOW:
            return None, oldest
        mean, z, q = sum(rates) / WINDOW, 0.0, 0.0
        s = root_mean_square([rate - mean for rate in rates])
        if s > NOTHING:
            z, q = (rates[-1] - mean) / s, (rates[-1] - 2 * rates[-10] + rates[-19]) / (s * math.sqrt(6))
        stability = 1 / (1 + s / RESTLESS)
        return (10_000 * s, 50 - 50 * (0.6 * math.tanh(z / 2) + 0.4 * math.tanh(q / 2)) * (1 - stability)), oldest

    def liquidations(self, place, known):
        row, oldest = self.held.forced_row(place, known)
        if not row:
            return None, oldest
        sums = [self.held.sums(each, known) for each in range(max(0, place + 1 - WINDOW), place + 1)]
        weighted, force = row["weighted_imbalance"], math.tanh(sums[-1].total / self.held.mean(sums))
        return (weighted, 50 + 50 * (0.6 * row["reversal_potential"] / 100 - 0.4 * weighted * force)), oldest

    def risk(self, place, known):
        bar, margins, accounts = self.held.bars[place], self.held.now("margins", place, known), self.now("account", place, known)
        atr = self.atrs.get(bar.start)
        if not margins or not atr:
            return None, place
        row, oldest = self.held.open_row(place, known)
        of_accounts = None if accounts is None else -math.tanh(math.log(accounts))
        x = part([(0.6, row and row["crowding"]), (0.4, of_accounts)])
        if x is None:
            return None, oldest
        (leverage, initial, maintenance), v = map(float, margins), atr / bar.close
        r = 0.4 * min(1.0, leverage / MOST_LEVERAGE)
        r += 0.3 * 2 ** (-max(0.0, initial - maintenance) / (4 * v)) + 0.3 * 2 ** (-maintenance / v)
        return (r, 50 + 50 * r * x), oldest


OF_POSITIONS = {
    "long_short_ratio": Sentiment.long_short_ratio,
    "funding_rate": Sentiment.funding_rate,
    "funding_volatility": Sentiment.funding_volatility,
    "liquidations": Sentiment.liquidations,
    "risk": Sentiment.risk,
}
