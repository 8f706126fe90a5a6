"""Components of a bar, their divergence between timeframes, dimension scores and confluence."""

import math

from indicators import SAME, constant

WEIGHTS = {
    "technical": {"rsi": 0.20, "ao": 0.20, "macd": 0.15, "williams_r": 0.15, "cci": 0.15, "atr": 0.15},
    "volume": {"volume_delta": 0.20, "adl": 0.15, "cmf": 0.15, "relative_volume": 0.20, "obv": 0.15, "divergence": 0.15},
    "orderflow": {  # open_interest is of contracts of which it was told, see positions.py
        "flow_imbalance": 0.14, "cvd_slope": 0.08, "cvd_divergence": 0.05, "runs": 0.04, "large_trades": 0.05,
        "absorption": 0.08, "quote_refresh": 0.07, "effective_spread": 0.06, "realised_spread": 0.06, "vpin": 0.11,
        "kyle_lambda": 0.08, "adverse_selection": 0.08, "open_interest": 0.10,
    },
    "pricestructure": {
        "order_blocks": 0.22, "value_area": 0.18, "vwap": 0.18, "support_resistance": 0.18, "market_structure": 0.16,
        "range": 0.08,
    },
    "sentiment": {  # without positions volume_sentiment and market_mood alone, see sentiment.py
        "long_short_ratio": 0.20, "funding_rate": 0.15, "funding_volatility": 0.10, "liquidations": 0.15,
        "volume_sentiment": 0.10, "market_mood": 0.15, "risk": 0.15,
    },
}  # fmt: skip
# Of all dimensions of the profile; where there are no books orderbook is absent.
DIMENSION_WEIGHTS = {
    "technical": 0.15,
    "volume": 0.15,
    "orderflow": 0.225,
    "orderbook": 0.225,
    "pricestructure": 0.15,
    "sentiment": 0.10,
}
ROLE_WEIGHTS = (0.10, 0.20, 0.30, 0.40)
WINDOW = 20  # bars, the longest under a component of the dimensions orderbook and orderflow
FORGETS_AFTER = 50  # bars in a row
DIVERGENCE_THRESHOLD = 10.0
DIVERGENCE_MAX = 10.0
RELIABILITY = 5 + 4 * len(WEIGHTS)  # its place in a row of confluence
QUALITY = {"ok": 1.0, "partial": 0.5, "suspect": 0.25}
TIE = 1e-12  # vote weights this close are a tie


def sign(x, same=0.0):
    """The sign of a difference; up to `same` it is none."""
    return (x > same) - (x < -same)


def squash(z):
    return 50 + 50 * math.tanh(z / 2)


def clip(x):
    return min(max(x, 0.0), 100.0)


def correlation(xs, ys):
    """Pearson's correlation of derived values with others, or None if one side is constant."""
    if constant(xs) or min(ys) == max(ys):
        return None
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    dx, dy = [x - mean_x for x in xs], [y - mean_y for y in ys]
    return sum(a * b for a, b in zip(dx, dy)) / math.sqrt(sum(a * a for a in dx) * sum(b * b for b in dy))


def part(pairs):
    """Weighted mean of those of [(weight, x)] that are there."""
    there = [(weight, x) for weight, x in pairs if x is not None]
    return sum(weight * x for weight, x in there) / sum(weight for weight, _ in there) if there else None


def rel(a, b):
    return None if a is None or b is None or not a + b else (a - b) / (a + b)


class Past:
    """Something that bars of a series have, as long as no 50 in a row are without."""

    def __init__(self):
        self.values, self.without = [], 0

    def last(self, value):
        """The last 20, or all if there are fewer, with that of this bar; None if it has none."""
        if value is None:
            self.without += 1
            return None
        if self.without >= FORGETS_AFTER:
            self.values = []
        self.without = 0
        self.values = [*self.values[1 - WINDOW :], value]
        return self.values

    def window(self, value):
        """The last 20 with that of this bar; None if it has none, or there are fewer."""
        values = self.last(value)
        return values if values and len(values) == WINDOW else None


def components(ind, i):
    """{(dimension, component): (raw value, raw score)} of bar i of a series; a component that is absent is left out."""
    col = ind.columns
    found = {}

    def window(name, n):
        if i + 1 < n:
            return None
        values = col[name][i + 1 - n : i + 1]
        return None if None in values else values

    def technical(name, raw, score):
        found["technical", name] = (raw, score)

    def volume(name, raw, score):
        found["volume", name] = (raw, score)

    close = col["_close"][i]
    atr = col["atr_14"][i]
    same = SAME * close

    r = col["rsi_14"][i]
    if r is not None and col["_moved"][i]:
        if r > 70:
            score = 90 - 40 * (r - 70) / 30
        elif r < 30:
            score = 10 + 40 * (30 - r) / 30
        else:
            score = 50 + 2 * (r - 50)
        technical("rsi", r, score)

    aos = window("ao", 6)
    if aos and atr:
        v = aos[-1] / atr
        m = (aos[-1] - aos[-2]) / atr
        t = sum(sign(b - a, same) for a, b in zip(aos, aos[1:])) / 5
        technical("ao", v, 50 + 50 * (0.5 * math.tanh(v / 2) + 0.3 * math.tanh(2 * m) + 0.2 * t))

    histogram, line = window("macd_histogram", 2), window("macd_line", 2)
    if histogram and line and atr:
        h = histogram[1] / atr
        parts = 0.4 * math.tanh(2 * h) + 0.3 * math.tanh(line[1] / atr / 2)
        parts += 0.15 * sign(histogram[1] - histogram[0], same) + 0.15 * sign(line[1] - line[0], same)
        technical("macd", h, 50 + 50 * parts)

    w = col["williams_r_14"][i]
    if w is not None and col["_range_of_14"][i]:
        x = 100 + w
        score = 80 - 1.5 * (x - 80) if x > 80 else 20 + 1.5 * (20 - x) if x < 20 else x
        technical("williams_r", w, score)

    c = col["cci_20"][i]
    typical = window("_typical", 20)
    if c is not None and not constant(typical):
        if abs(c) <= 200:
            score = squash(c / 100)
        else:
            score = 50 + (squash(2 * sign(c)) - 50) * max(0.0, 1 - (abs(c) - 200) / 200)
        technical("cci", c, score)

    slow_atr = col["atr_50"][i]
    if slow_atr and atr:
        x = atr / slow_atr
        technical("atr", x, 50 + 50 * math.tanh((close - col["ema_20"][i]) / atr) * min(x, 2) / 2)

    deltas, volumes = window("volume_delta", 14), window("_volume", 14)
    share = sum(deltas) / sum(volumes) if deltas and volumes and sum(volumes) else None
    adx = col["adx_14"][i]
    if share is not None and adx is not None:
        volume("volume_delta", share, 50 + 50 * math.tanh(2 * share * (0.5 + adx / 50)))

    adls = window("adl", 20)
    r = correlation(adls, range(20)) if adls else None
    if r is not None:
        volume("adl", r, squash(3 * r))

    flows = window("cmf_20", 3)
    if flows:
        x = sum(flows) / 3
        volume("cmf", x, squash(8 * x))

    v = col["relative_volume"][i]
    if v is not None:
        volume("relative_volume", v, squash(sign(close - col["_open"][i]) * v))

    obvs = window("obv", 25)
    if obvs:
        changes = [b - a for a, b in zip(obvs, obvs[5:])]
        rho = correlation(obvs[5:], window("_close", 20))
        if rho is not None and not constant(changes, obvs):
            mean = sum(changes) / 20
            deviation = math.sqrt(sum((d - mean) ** 2 for d in changes) / 20)
            z = (changes[-1] - mean) / deviation
            volume("obv", z, squash(z * (1 + rho) / 2))

    if share is not None and atr:
        f = math.tanh(3 * share)
        p = math.tanh((close - col["_close"][i - 14]) / (atr * math.sqrt(14)))
        volume("divergence", f - p, 50 + 25 * (f - p))

    return found


def label(component, raw, score):
    if component == "rsi":
        if raw < 30:
            return "strongly oversold"
        if raw < 45:
            return "moderately oversold"
        if raw <= 55:
            return "neutral"
        return "moderately overbought" if raw <= 70 else "strongly overbought"
    if score >= 70:
        return "strongly bullish"
    if score >= 55:
        return "bullish"
    if score > 45:
        return "neutral"
    return "bearish" if score > 30 else "strongly bearish"


def divergence(key, own, adx, higher):
    """Points that the higher roles add; `higher` holds (role weight, components) of each that exists."""
    total = weights = 0.0
    for weight, other in higher:
        if key in other:
            total += weight * (other[key][1] - own[key][1])
            weights += weight
    diff = total / weights if weights else 0.0
    if abs(diff) <= DIVERGENCE_THRESHOLD or adx is None:
        return 0.0
    size = DIVERGENCE_MAX * min(1.0, (abs(diff) - DIVERGENCE_THRESHOLD) / 40)
    return sign(diff) * size * min(1.0, adx / 25)


def component_rows(own, adx, higher):
    """{(dimension, component): stored values} of one role's bar."""
    rows = {}
    for dimension, weights in WEIGHTS.items():
        present = sum(weight for name, weight in weights.items() if (dimension, name) in own)
        coverage = present / sum(weights.values())
        for name in weights:
            key = (dimension, name)
            if key not in own:
                continue
            raw, raw_score = own[key]
            div = divergence(key, own, adx, higher)
            div_type = "bullish" if div > 0 else "bearish" if div < 0 else "none"
            score = clip(raw_score + div)
            weight = weights[name] / present
            rows[key] = (raw, raw_score, div, div_type, score, weight, weight * score, label(name, raw, score), coverage)
    return rows


def with_weights(scores):
    """{dimension: (score, coverage)} -> {dimension: (score, weight, impact, coverage)}."""
    total = sum(DIMENSION_WEIGHTS[d] for d in scores)
    rows = {}
    for dimension, (score, coverage) in scores.items():
        weight = DIMENSION_WEIGHTS[dimension] / total
        rows[dimension] = (score, weight, weight * score, coverage)
    return rows


def dimension_rows(rows):
    """Dimension rows of one role's bar from its component rows."""
    scores = {}
    for dimension in WEIGHTS:
        own = [row for key, row in rows.items() if key[0] == dimension]
        if own:
            scores[dimension] = (sum(row[6] for row in own), own[0][8])
    return with_weights(scores)


def all_rows(roles):
    """Dimension rows of the timeframe `all`; `roles` holds (role weight, component rows, dimension rows)."""
    scores = {}
    for dimension, weights in WEIGHTS.items():
        present = [(w, parts, dims[dimension][0]) for w, parts, dims in roles if dimension in dims]
        if present:
            names = [n for n in weights if any((dimension, n) in parts for _, parts, _ in present)]
            score = sum(w * s for w, _, s in present) / sum(w for w, _, _ in present)
            scores[dimension] = (score, sum(weights[n] for n in names) / sum(weights.values()))
    return with_weights(scores)


def consensus(roles):
    """The side with most vote weight and its share."""
    votes = {"BUY": 0.0, "SELL": 0.0, "NEUTRAL": 0.0}
    all_weights = sum(DIMENSION_WEIGHTS.values())
    for weight, _, dims in roles:
        if not dims:
            continue
        present = sum(DIMENSION_WEIGHTS[d] for d in dims)
        score = sum(DIMENSION_WEIGHTS[d] * row[0] for d, row in dims.items()) / present
        side = "BUY" if score >= 55 else "SELL" if score <= 45 else "NEUTRAL"
        votes[side] += weight * sum(DIMENSION_WEIGHTS[d] * row[3] for d, row in dims.items()) / all_weights
    first, second = sorted(votes, key=votes.get, reverse=True)[:2]
    side = "NEUTRAL" if votes[first] - votes[second] <= TIE else first
    return side, votes[side] / sum(votes.values())


def confluence_row(everything, roles, bar):
    """Stored values of one confluence row, or None without a dimension."""
    if not everything:
        return None
    all_weights = sum(DIMENSION_WEIGHTS.values())
    score = sum(row[2] for row in everything.values())
    coverage = sum(DIMENSION_WEIGHTS[d] * row[3] for d, row in everything.items()) / all_weights
    parts = []
    for dimension in WEIGHTS:
        parts += everything.get(dimension, (None, None, None, 0.0))
    side, strength = consensus(roles)
    quality = QUALITY[bar.quality]
    covered = sum(w * DIMENSION_WEIGHTS[d] * row[3] for w, _, dims in roles for d, row in dims.items())
    covered /= sum(ROLE_WEIGHTS) * all_weights
    scores = [row[0] for row in everything.values()]
    agreement = 1 - (max(scores) - min(scores)) / 100
    reliability = quality * covered * agreement * 1.0
    return (
        ("prism", score, coverage, *parts, side, strength)
        + (reliability, quality, covered, agreement, 1.0, bar.close, bar.quality)
    )
