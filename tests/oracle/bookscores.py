"""The dimensions `orderbook` and `orderflow` of one instrument: their rows of `component_scores` and `dimension_scores`,
from the rows of `book_features`, and the bars of the role timeframes and their flows. METHODS.md 4, 5 and 8, "Depth of a
bar"."""

import math
from bisect import bisect_right
from collections import namedtuple

import flows
import scores
from bookrows import AT_END, NINE, OVER, Interval
from scores import ROLE_WEIGHTS, WINDOW, Past, clip, divergence, label, part, rel, squash

WEIGHTS = {
    "orderbook": {"liquidity": 0.30, "imbalance": 0.30, "impact": 0.25, "oir": 0.10, "di": 0.05, "ofi": 0.0},
    "orderflow": scores.WEIGHTS["orderflow"],
}
BANDS = {"10bp": 0.4, "50bp": 0.3, "100bp": 0.2, "200bp": 0.1}
LEVELS = {1: 0.1, 5: 0.2, 10: 0.3, 25: 0.4}
TAKEN = {"1k": 0.1, "10k": 0.2, "100k": 0.3, "1m": 0.4}
SOUND = ("ok", "partial")

# Times in ns; `changed`: there was another version of it.
RoleBar = namedtuple("RoleBar", "start end quality known changed source open close", defaults=("venue", None, None))


# Depth


class Depths:
    """What components read of the book at the close of a bar. `found` are the rows that `rows` makes; `once` are the starts of
    those that have one version: of bars with several, which are not all stored, this tells whether the row knew them."""

    def __init__(self, rows, found, once):
        self.rows, self.base = rows, rows.settings.base
        self.changed = []  # ends of rows that were not known with their interval's close, or have more than one version
        self.sound_at_first, self.sound = {}, {}  # {start: interval}, {end: numbers}
        for start, row in found.items():
            bar, interval, end = rows.bars[start], rows.intervals.get(start) or Interval(), start + self.base
            versions = rows.qualities(bar, interval, end)
            first, standing = versions[0], row.get("quality")
            if bar.revision and (start not in once or standing is None):
                # Of the first version of the bar, known at its close; one that is a gap now was none before.
                before = bar._replace(known=rows.close(end), quality="ok" if bar.quality == "gap" else bar.quality)
                versions_before = rows.qualities(before, interval, end)
                first, standing = versions_before[0], standing or versions_before[-1][1]
            if first[1] in SOUND:
                self.sound_at_first[start] = interval
            if standing in SOUND:
                self.sound[end] = dict.fromkeys(AT_END) | (row if "bid" in row else rows.at_end[end])
            if bar.revision or len(versions) > 1 or first[0] != rows.close(end):
                self.changed.append(end)

    def contract_size(self):
        return self.rows.contract[0] if self.rows.contract else None

    def of(self, bar):
        """{column: number or None}; all None where the bar has no depth."""
        numbers = self.sound.get(bar.end)
        return numbers | self.over(bar) if numbers else dict.fromkeys(AT_END + OVER)

    def over(self, bar):
        intervals = [self.sound_at_first.get(start) for start in range(bar.start, bar.end, self.base)]
        intervals = [interval for interval in intervals if interval]
        live = sum(interval.live for interval in intervals)
        if 2 * live < bar.end - bar.start:
            return dict.fromkeys(OVER)
        price, size = 10**self.rows.units.price, 10**self.rows.units.size
        return {
            "ofi": sum(interval.ofi for interval in intervals) / size,
            "spread_mean": sum(interval.spread for interval in intervals) / (live * price),
            "mid_mean": sum(interval.mid for interval in intervals) / (2 * live * price),
            "imbalance_mean": sum(interval.imbalance for interval in intervals) / (live * NINE),
        }


# Components


class Components:
    """Takes the depths and flows of a series one after another, of all bars but gaps.

    `contract`: the size of an inverse contract."""

    def __init__(self, contract):
        self.contract = contract
        self.costs, self.imbalances, self.impacts, self.flows, self.refreshes = (Past() for _ in range(5))

    def append(self, depth, flow):
        """{(dimension, component): (raw value, raw score)} of the next bar; a component that is absent is left out."""
        efficiency = self.efficiency(depth)
        refreshes = self.refreshes.window(flow and flows.refresh(flow, self.makers(depth)))
        last = self.flows.last(flow)
        of_flow = flows.components(last, refreshes, efficiency) if last else {}
        return self.of_depth(depth, efficiency) | of_flow

    def makers(self, depth):
        """What the change of the best prices is worth, in quote."""
        worth = self.contract or depth["mid_mean"]
        return None if depth["ofi"] is None else depth["ofi"] * float(worth)

    def efficiency(self, depth):
        """E, of the spread."""
        cost = None if depth["spread_mean"] is None else depth["spread_mean"] / depth["mid_mean"]
        costs = self.costs.window(cost)
        return min(1.0, sum(costs) / WINDOW / cost) if costs else None

    def of_depth(self, depth, efficiency):
        found = {
            "liquidity": self.liquidity(depth, efficiency),
            "imbalance": self.imbalance(depth),
            "impact": self.impact(depth),
            "oir": self.oir(depth),
            "di": self.di(depth),
            "ofi": self.ofi(depth),
        }
        return {("orderbook", name): values for name, values in found.items() if values}

    def liquidity(self, depth, efficiency):
        x = part((weight, rel(depth[f"bid_depth_{band}"], depth[f"ask_depth_{band}"])) for band, weight in BANDS.items())
        near, far = ([depth[f"{side}_depth_{n}"] for side in ("bid", "ask")] for n in (5, 25))
        if x is None or efficiency is None or None in near + far or not sum(far):
            return None
        concentration = sum(near) / sum(far)
        return x, 50 + 50 * math.tanh(2 * x) * efficiency * (1 - concentration / 2)

    def imbalance(self, depth):
        levels = part((weight, depth[f"imbalance_{n}"]) for n, weight in LEVELS.items())
        weighted, over = depth["imbalance_weighted"], depth["imbalance_mean"]
        last = self.imbalances.window(depth["imbalance_10"])
        if None in (levels, weighted, over) or not last or min(last) == max(last):
            return None
        x = 0.35 * levels + 0.35 * weighted + 0.30 * over
        mean = sum(last) / WINDOW
        z = (last[-1] - mean) / math.sqrt(sum((y - mean) ** 2 for y in last) / WINDOW)
        return x, 50 + 50 * (0.7 * math.tanh(2 * x) + 0.3 * math.tanh(z / 2))

    def impact(self, depth):
        x = part((weight, rel(depth[f"slippage_buy_{v}"], depth[f"slippage_sell_{v}"])) for v, weight in TAKEN.items())
        return None if x is None else (x, 50 + 50 * math.tanh(2 * x))

    def oir(self, depth):
        r = depth["imbalance_mean"]
        return None if r is None else (r, 50 + 50 * math.tanh(2 * r))

    def di(self, depth):
        imbalance, spread = depth["imbalance_5"], depth["spread_mean"]
        if imbalance is None or not spread:
            return None
        m = (depth["microprice"] - depth["mid_mean"]) / spread
        return m, 50 + 25 * (math.tanh(m / 2) + math.tanh(2 * imbalance))

    def ofi(self, depth):
        sizes = [depth["bid_depth_5"], depth["ask_depth_5"]]
        x = None if depth["ofi"] is None or None in sizes or not sum(sizes) else 2 * depth["ofi"] / sum(sizes)
        last = self.impacts.window(x)
        root = math.sqrt(sum(x * x for x in last) / WINDOW) if last else 0.0
        return (x, squash(x / root)) if root else None


# Rows


class Series:
    """The bars of a role, gaps included, with the components of each: none of a gap, or without depth and flow."""

    def __init__(self, name, weight, bars, depths, flows_of_bars):
        self.name, self.weight = name, weight
        self.bars = sorted(bars)
        self.ends = [bar.end for bar in self.bars]
        self.own, components = [], Components(depths.contract_size())
        for bar in self.bars:
            found = bar.quality != "gap" and components.append(depths.of(bar), flows_of_bars.get(bar.start))
            self.own.append(found or {})
        self.dimensions = [{} for _ in self.bars]  # of each: {dimension: (score, coverage)}

    def as_of(self, end):
        """Place of the newest bar that ends at or before an instant, or None."""
        newest = bisect_right(self.ends, end) - 1
        return newest if newest >= 0 else None


def share(dimension, names):
    weights = WEIGHTS[dimension]
    return sum(weights[name] for name in names) / sum(weights.values())


class Scored:
    """`found` and `once` as of Depths; `bars`: {timeframe: RoleBars}, the base's first; `adx`: {(timeframe, start):
    adx_14}; `flows_of_bars`: {timeframe: {start: flow}}.

    `components` are {(start, timeframe, dimension, component): row}, `dimensions` {(start, timeframe, dimension):
    row}, `flows` {(start, timeframe): row}."""

    def __init__(self, rows, found, once, bars, adx, flows_of_bars):
        self.close, depths = rows.close, Depths(rows, found, once)
        roles = zip(bars, ROLE_WEIGHTS)
        self.series = [Series(name, weight, bars[name], depths, flows_of_bars.get(name, {})) for name, weight in roles]
        changed = [bar.end for each in bars.values() for bar in each if bar.changed or bar.known != self.close(bar.end)]
        self.changed = min(changed + depths.changed, default=math.inf)  # nothing that ended before was ever corrected
        self.components, self.dimensions, self.flows = {}, {}, {}
        for role, series in enumerate(self.series):
            for place, bar in enumerate(series.bars):
                flow = flows_of_bars.get(series.name, {}).get(bar.start)
                if flow:
                    self.flows[bar.start, series.name] = self.row(bar, **flows.columns(flow))
                for dimension in WEIGHTS:
                    self.score(role, place, bar, adx.get((series.name, bar.start)), dimension)
        for bar in self.series[0].bars:
            for dimension in WEIGHTS:
                self.score_all(bar, dimension)

    def row(self, bar, **values):
        version = {"known_at": self.close(bar.end), "revision": 0} if bar.end < self.changed else {}
        return {"ts_close": bar.end, **values, "retracted": False, **version}

    def score(self, role, place, bar, adx, dimension):
        series, higher = self.series[role], []
        own = {key: values for key, values in series.own[place].items() if key[0] == dimension}
        if not own:
            return
        for other in self.series[role + 1 :]:
            newest = other.as_of(bar.end)
            if newest is not None:
                higher.append((other.weight, other.own[newest]))
        weights, names = WEIGHTS[dimension], [name for _, name in own]
        coverage, present, total = share(dimension, names), sum(weights[name] for name in names), 0.0
        for (_, name), (raw, raw_score) in own.items():
            div = divergence((dimension, name), own, adx, higher)
            score, weight = clip(raw_score + div), weights[name] / present
            total += weight * score
            self.components[bar.start, series.name, dimension, name] = self.row(
                bar, raw_value=raw, raw_score=raw_score, div=div,
                div_type="bullish" if div > 0 else "bearish" if div < 0 else "none", score=score, weight=weight,
                impact=weight * score, label=label(name, raw, score), coverage=coverage,
            )  # fmt: skip
        series.dimensions[place][dimension] = total, coverage
        self.dimensions[bar.start, series.name, dimension] = self.row(bar, score=total, coverage=coverage)

    def score_all(self, bar, dimension):
        if bar.quality == "gap":
            return
        places = [(series, series.as_of(bar.end)) for series in self.series]
        places = [(series, place) for series, place in places if place is not None]
        present = [(series, place) for series, place in places if dimension in series.dimensions[place]]
        if present:
            weights = sum(series.weight for series, _ in present)
            score = sum(series.weight * series.dimensions[place][dimension][0] for series, place in present) / weights
            names = {name for series, place in present for of, name in series.own[place] if of == dimension}
            self.dimensions[bar.start, "all", dimension] = self.row(bar, score=score, coverage=share(dimension, names))
