"""The indicators of one bar series, each from its definition, kept as one list per column."""

import bisect
import math

NAMES = """
sma_5 sma_10 sma_20 sma_50 sma_200 ema_9 ema_12 ema_20 ema_26 ema_50 ema_200 dema_20 tema_20 wma_20 rsi_14
macd_line macd_signal_line macd_histogram stochastic_k stochastic_d williams_r_14 cci_20 ao roc_10
adx_14 plus_di_14 minus_di_14 atr_14 atr_20 atr_50
bollinger_upper bollinger_middle bollinger_lower bollinger_percent_b bollinger_width
keltner_upper keltner_middle keltner_lower donchian_upper donchian_lower donchian_middle
obv adl cmf_20 mfi_14 vwap_day volume_sma_20 relative_volume volume_delta cvd psar supertrend supertrend_direction
""".split()

DAY = 86_400_000
SAME = 1e-12  # derived prices this close are equal, as a part of the close
CONSTANT = 1e-14  # derived values this close are constant, as a part of the largest magnitude of what they are made of


def constant(values, made_of=None):
    """Whether derived values differ by rounding only; `made_of`: what they come from, if not each other."""
    return max(values) - min(values) <= CONSTANT * max(map(abs, made_of or values))


def within(low, x, high):
    """A share of a range without the rounding that leads out of it."""
    return min(max(x, low), high)


class Indicators:
    """All columns of one series; going back to an earlier bar is cutting every list.

    Names that start with `_` are inputs and states that are not stored. Every list has one value per bar.
    Gap bars are left out. Venue bars have no flow, and may have no turnover.
    """

    def __init__(self, length):
        self.by_time_of_day = length < DAY
        self.columns = {}

    def __len__(self):
        return len(self.columns.get("_close", ()))

    def cut(self, count):
        for values in self.columns.values():
            del values[count:]

    def row(self, i):
        return tuple(self.columns[name][i] for name in NAMES)

    # Helpers: all look at the newest bar.

    def put(self, name, value):
        self.columns.setdefault(name, []).append(value)
        return value

    def now(self, name):
        return self.columns[name][-1]

    def ago(self, name, n):
        values = self.columns[name]
        return values[-1 - n] if len(values) > n else None

    def last(self, name, n):
        """The last n values, or None if one of them is missing."""
        values = self.columns[name][-n:]
        return values if len(values) == n and None not in values else None

    def mean(self, name, n):
        values = self.last(name, n)
        return None if values is None else sum(values) / n

    def smooth(self, target, name, n, a):
        """SEMA: the mean of the first n values, then v += a (x - v)."""
        x = self.now(name)
        old = self.columns[target][-1] if self.columns.get(target) else None
        if old is not None:
            return self.put(target, old + a * (x - old))
        return self.put(target, self.mean(name, n))

    def ema(self, target, name, n):
        return self.smooth(target, name, n, 2 / (n + 1))

    def rma(self, target, name, n):
        return self.smooth(target, name, n, 1 / n)

    # One bar.

    def append(self, bar):
        first = len(self) == 0
        self.put("_start", bar.start)
        self.put("_open", bar.open)
        self.put("_high", bar.high)
        self.put("_low", bar.low)
        close = self.put("_close", bar.close)
        self.put("_volume", bar.volume)
        self.put("_turnover", bar.turnover)
        self.put("_change", None if first else close - self.ago("_close", 1))
        self.put("_moved", not first and (self.columns["_moved"][-1] or close != self.ago("_close", 1)))
        self.put("_typical", (bar.high + bar.low + close) / 3)
        self.put("_middle", (bar.high + bar.low) / 2)
        self.put("_range", None if first else self.true_range(bar))
        self.averages()
        self.momentum()
        self.directional(bar, first)
        self.channels(close)
        self.volume(bar, first)
        self.parabolic(bar)
        self.supertrend(bar)

    def true_range(self, bar):
        previous = self.ago("_close", 1)
        return max(bar.high - bar.low, abs(bar.high - previous), abs(bar.low - previous))

    def averages(self):
        for n in (5, 10, 20, 50, 200):
            self.put(f"sma_{n}", self.mean("_close", n))
        for n in (9, 12, 20, 26, 50, 200):
            self.ema(f"ema_{n}", "_close", n)
        e1 = self.now("ema_20")
        e2 = self.ema("_ema_of_ema", "ema_20", 20)
        e3 = self.ema("_ema_of_ema_of_ema", "_ema_of_ema", 20)
        self.put("dema_20", None if e2 is None else 2 * e1 - e2)
        self.put("tema_20", None if e3 is None else 3 * e1 - 3 * e2 + e3)
        closes = self.last("_close", 20)
        self.put("wma_20", None if closes is None else sum(j * c for j, c in enumerate(closes, 1)) / 210)
        for n in (14, 20, 50):
            self.rma(f"atr_{n}", "_range", n)

    def momentum(self):
        close = self.now("_close")
        change = self.now("_change")
        self.put("_gain", None if change is None else max(change, 0.0))
        self.put("_loss", None if change is None else max(-change, 0.0))
        u = self.rma("_mean_gain", "_gain", 14)
        d = self.rma("_mean_loss", "_loss", 14)
        self.put("rsi_14", None if u is None else within(0.0, 100 * u / (u + d), 100.0) if u + d else 0.0)

        slow = self.now("ema_26")
        line = self.put("macd_line", None if slow is None else self.now("ema_12") - slow)
        signal = self.ema("macd_signal_line", "macd_line", 9)
        self.put("macd_histogram", None if signal is None else line - signal)

        highs, lows = self.last("_high", 14), self.last("_low", 14)
        spread = self.put("_range_of_14", None if highs is None else max(highs) - min(lows))
        if spread is None:
            raw, williams = None, None
        elif spread == 0:
            raw, williams = 0.0, 0.0
        else:
            raw = within(0.0, 100 * (close - min(lows)) / spread, 100.0)
            williams = within(-100.0, -100 * (max(highs) - close) / spread, 0.0)
        self.put("_stochastic", raw)
        self.put("williams_r_14", williams)
        self.put("_stochastic_k", self.mean("_stochastic", 3))
        d = self.put("stochastic_d", self.mean("_stochastic_k", 3))
        self.put("stochastic_k", None if d is None else self.now("_stochastic_k"))

        typical = self.last("_typical", 20)
        if typical is None:
            cci = None
        elif constant(typical):
            cci = 0.0
        else:
            average = sum(typical) / 20
            deviation = sum(abs(t - average) for t in typical) / 20
            cci = (typical[-1] - average) / (0.015 * deviation)
        self.put("cci_20", cci)

        slow = self.mean("_middle", 34)
        self.put("ao", None if slow is None else self.mean("_middle", 5) - slow)
        before = self.ago("_close", 10)
        self.put("roc_10", None if before is None else 100 * (close / before - 1))

    def directional(self, bar, first):
        up = down = None
        if not first:
            rise = bar.high - self.ago("_high", 1)
            fall = self.ago("_low", 1) - bar.low
            same = SAME * bar.close
            up = rise if rise > 0 and rise - fall > same else 0.0
            down = fall if fall > 0 and fall - rise > same else 0.0
        self.put("_up", up)
        self.put("_down", down)
        bars = len(self) - 1
        for target, name in (("_sum_range", "_range"), ("_sum_up", "_up"), ("_sum_down", "_down")):
            if bars < 13:
                value = None
            elif bars == 13:
                value = sum(self.last(name, 13))
            else:
                old = self.columns[target][-1]
                value = old - old / 14 + self.now(name)
            self.put(target, value)
        plus = minus = strength = None
        if bars >= 14:
            total = self.now("_sum_range")
            plus = within(0.0, 100 * self.now("_sum_up") / total, 100.0) if total else 0.0
            minus = within(0.0, 100 * self.now("_sum_down") / total, 100.0) if total else 0.0
            if plus + minus:
                strength = within(0.0, 100 * abs(plus - minus) / (plus + minus), 100.0)
            else:
                strength = self.columns["_strength"][-1] or 0.0
        self.put("plus_di_14", plus)
        self.put("minus_di_14", minus)
        self.put("_strength", strength)
        if bars <= 27:
            adx = self.mean("_strength", 14)
        else:
            adx = (13 * self.columns["adx_14"][-1] + strength) / 14
        self.put("adx_14", adx)

    def channels(self, close):
        closes = self.last("_close", 20)
        names = ("bollinger_middle", "bollinger_upper", "bollinger_lower", "bollinger_percent_b", "bollinger_width")
        values = [None] * 5
        if closes is not None:
            m = sum(closes) / 20
            s = math.sqrt(sum((c - m) ** 2 for c in closes) / 20) if min(closes) != max(closes) else 0.0
            upper, lower = m + 2 * s, m - 2 * s
            values = [m, upper, lower, (close - lower) / (upper - lower) if s else None, (upper - lower) / m]
        for name, value in zip(names, values):
            self.put(name, value)

        atr = self.now("atr_20")
        m = self.now("ema_20")
        self.put("keltner_middle", None if atr is None else m)
        self.put("keltner_upper", None if atr is None else m + 2 * atr)
        self.put("keltner_lower", None if atr is None else m - 2 * atr)

        highs, lows = self.last("_high", 20), self.last("_low", 20)
        self.put("donchian_upper", None if highs is None else max(highs))
        self.put("donchian_lower", None if lows is None else min(lows))
        self.put("donchian_middle", None if highs is None else (max(highs) + min(lows)) / 2)

    def volume(self, bar, first):
        v, change = bar.volume, self.now("_change")
        if first:
            obv = v
        else:
            obv = self.columns["obv"][-1] + (v if change > 0 else -v if change < 0 else 0.0)
        self.put("obv", obv)

        width = bar.high - bar.low
        place = (bar.close - bar.low) - (bar.high - bar.close)
        term = v * place / width if width and abs(place) > SAME * bar.close else 0.0
        self.put("_adl_term", term)
        self.put("adl", term if first else self.columns["adl"][-1] + term)
        terms, volumes = self.last("_adl_term", 20), self.last("_volume", 20)
        self.put("cmf_20", within(-1.0, sum(terms) / sum(volumes), 1.0) if volumes and sum(volumes) else None)
        self.put("volume_sma_20", self.mean("_volume", 20))

        typical, before = self.now("_typical"), self.ago("_typical", 1)
        flow, same = typical * v, SAME * bar.close
        self.put("_flow_up", None if first else flow if typical - before > same else 0.0)
        self.put("_flow_down", None if first else flow if before - typical > same else 0.0)
        up, down = self.last("_flow_up", 14), self.last("_flow_down", 14)
        if up is None:
            mfi = None
        else:
            total = sum(up) + sum(down)
            mfi = within(0.0, 100 * sum(up) / total, 100.0) if total else 0.0
        self.put("mfi_14", mfi)

        same_day = not first and self.ago("_start", 1) // DAY == bar.start // DAY
        value = typical * v if bar.turnover is None else bar.turnover
        turnover = self.put("_day_turnover", value + (self.columns["_day_turnover"][-1] if same_day else 0.0))
        total = self.put("_day_volume", v + (self.columns["_day_volume"][-1] if same_day else 0.0))
        self.put("vwap_day", turnover / total if total else None)

        count, average = self.same_time_before(bar.start)
        previous = self.columns["_volume"][-21:-1]
        baseline = average if count >= 3 else sum(previous) / 20 if len(previous) == 20 else None
        self.put("relative_volume", v / baseline if baseline else None)
        self.put("_time_of_day", (count + 1, average + (v - average) / min(count + 1, 20)))

        delta = self.put("volume_delta", None if bar.buy_volume is None else bar.buy_volume - bar.sell_volume)
        total = 0.0 if first else self.columns["_cvd"][-1]
        self.put("_cvd", total if delta is None else total + delta)
        self.put("cvd", None if delta is None else self.now("_cvd"))

    def same_time_before(self, start):
        """How many bars began at this time of day on earlier days, and the running mean of their volumes."""
        starts = self.columns["_start"]
        if self.by_time_of_day:
            for time in range(start - DAY, starts[0] - 1, -DAY):
                i = bisect.bisect_left(starts, time)
                if starts[i] == time:
                    return self.columns["_time_of_day"][i]
        return 0, 0.0

    def parabolic(self, bar):
        """TA-Lib's SAR: the state is what holds after this bar (long, stop, extreme, acceleration)."""
        if len(self) == 1:
            self.put("psar", None)
            self.put("_sar", None)
            return
        high, low = bar.high, bar.low
        before_high, before_low = self.ago("_high", 1), self.ago("_low", 1)
        if len(self) == 2:
            rise, fall = high - before_high, before_low - low
            long = not (fall > 0 and fall > rise)
            stop, extreme, speed = (before_low, high, 0.02) if long else (before_high, low, 0.02)
            before_high, before_low = high, low
        else:
            long, stop, extreme, speed = self.columns["_sar"][-1]
        if long and low <= stop:
            long, value, extreme, speed = False, max(extreme, before_high, high), low, 0.02
            stop = max(value + speed * (extreme - value), before_high, high)
        elif not long and high >= stop:
            long, value, extreme, speed = True, min(extreme, before_low, low), high, 0.02
            stop = min(value + speed * (extreme - value), before_low, low)
        elif long:
            value = stop
            if high > extreme:
                extreme, speed = high, min(speed + 0.02, 0.2)
            stop = min(stop + speed * (extreme - stop), before_low, low)
        else:
            value = stop
            if low < extreme:
                extreme, speed = low, min(speed + 0.02, 0.2)
            stop = max(stop + speed * (extreme - stop), before_high, high)
        self.put("psar", value)
        self.put("_sar", (long, stop, extreme, speed))

    def supertrend(self, bar):
        atr = self.rma("_atr_10", "_range", 10)
        if atr is None:
            upper = lower = direction = value = None
        else:
            middle = self.now("_middle")
            upper, lower = middle + 3 * atr, middle - 3 * atr
            old_direction = self.columns["supertrend_direction"][-1]
            if old_direction is None:
                direction = 1.0 if bar.close >= middle else -1.0
            else:
                old_upper, old_lower = self.columns["_upper"][-1], self.columns["_lower"][-1]
                before = self.ago("_close", 1)
                if not (upper < old_upper or before > old_upper):
                    upper = old_upper
                if not (lower > old_lower or before < old_lower):
                    lower = old_lower
                direction = old_direction
                if direction > 0 and bar.close < lower:
                    direction = -1.0
                elif direction < 0 and bar.close > upper:
                    direction = 1.0
            value = lower if direction > 0 else upper
        self.put("_upper", upper)
        self.put("_lower", lower)
        self.put("supertrend_direction", direction)
        self.put("supertrend", value)
