"""The dimensions `orderbook`, `orderflow`, `pricestructure` and `sentiment` of one instrument: their rows of
`component_scores` and `dimension_scores`, from the rows of `book_features`, and the bars of the role timeframes, their flows,
indicators and positions; and the rows of `confluence`. METHODS.md 4, 5 and 8, "Depth of a bar"."""

import math
from bisect import bisect_right
from collections import namedtuple
from functools import partial

import flows
import footprints
import scores
import sentiment
import setups
import structure
from bookrows import AT_END, NINE, OVER, Interval
from known import dated, versions
from scores import ROLE_WEIGHTS, WINDOW, Past, clip, divergence, label, part, rel, squash

WEIGHTS = {
    "orderbook": {"liquidity": 0.30, "imbalance": 0.30, "impact": 0.25, "oir": 0.10, "di": 0.05, "ofi": 0.0},
    "orderflow": scores.WEIGHTS["orderflow"],
    "pricestructure": scores.WEIGHTS["pricestructure"],
    "sentiment": scores.WEIGHTS["sentiment"],
}
BANDS = {"10bp": 0.4, "50bp": 0.3, "100bp": 0.2, "200bp": 0.1}
LEVELS = {1: 0.1, 5: 0.2, 10: 0.3, 25: 0.4}
TAKEN = {"1k": 0.1, "10k": 0.2, "100k": 0.3, "1m": 0.4}
SOUND = ("ok", "partial")

# Times in ns; `changed`: there was another version of it.
OF_TRADES = "source open close turnover low high volume"
RoleBar = namedtuple("RoleBar", f"start end quality known changed {OF_TRADES}", defaults=("venue", *[None] * 6))


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
        """({(dimension, component): (raw value, raw score)} of the next bar, its last flows or None); a component that is
        absent is left out."""
        efficiency = self.efficiency(depth)
        refreshes = self.refreshes.window(flow and flows.refresh(flow, self.makers(depth)))
        last = self.flows.last(flow)
        of_flow = flows.components(last, refreshes, efficiency) if last else {}
        return self.of_depth(depth, efficiency) | of_flow, last

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
    """The bars of a role, gaps included, with the components of each: none of a gap, or without depth, flow and structure.

    What positions say changes later, and is held apart: `told` holds the versions of components by them, of each bar.
    `structures`: {bar: what was found of it}, `setups`: {bar: its setup or None}."""

    def __init__(self, name, weight, bars, depths, flows_of_bars, indicators, sentiments):
        self.name, self.weight = name, weight
        self.bars = sorted(bars)
        self.ends = [bar.end for bar in self.bars]
        self.own, components = [], Components(depths.contract_size())
        self.structures, self.setups, series = {}, {}, structure.Series()
        for bar in self.bars:
            self.own.append({})
            if bar.quality == "gap":
                continue
            found, last = components.append(depths.of(bar), flows_of_bars.get(bar.start))
            self.own[-1] |= found
            if bar.close is not None:  # --dry has no prices
                values = indicators[name, bar.start]
                self.structures[bar] = series.append(bar, values["atr_14"], values["vwap_day"])
                self.setups[bar] = setups.of_newest(series, values["atr_14"])
                self.own[-1] |= self.structures[bar].components | sentiment.of_market(bar, values, last)
        self.told = [sentiments.histories(bar.start) if sentiments else {} for bar in self.bars]

    def as_of(self, end):
        """Place of the newest bar that ends at or before an instant, or None."""
        newest = bisect_right(self.ends, end) - 1
        return newest if newest >= 0 else None

    def own_at(self, place, known):
        """The components of a bar, as they were known at an instant."""
        told = {}
        for key, history in self.told[place].items():
            for version in history:
                if version.known is None or version.known <= known:
                    told[key] = version.values
        return self.own[place] | {key: values for key, values in told.items() if values}


def share(dimension, names):
    weights = WEIGHTS[dimension]
    return sum(weights[name] for name in names) / sum(weights.values())


class Scored:
    """`found` and `once` as of Depths; `bars`: {timeframe: RoleBars}, the base's first; `indicators`: {(timeframe, start):
    row}; `flows_of_bars`: {timeframe: {start: flow}}; `sentiments`: {timeframe: Sentiment}, of contracts; `others`: rows of
    `dimension_scores` of the other dimensions, {(start, timeframe, dimension): row}.

    `components` are {(start, timeframe, dimension, component): row}, `dimensions` {(start, timeframe, dimension):
    row}, `flows` {(start, timeframe): row}."""

    def __init__(self, rows, found, once, bars, indicators, flows_of_bars, sentiments, others):
        self.close, depths, self.indicators, self.others = rows.close, Depths(rows, found, once), indicators, others
        self.series = [
            Series(name, weight, bars[name], depths, flows_of_bars.get(name, {}), indicators, sentiments.get(name))
            for name, weight in zip(bars, ROLE_WEIGHTS)
        ]
        changed = [bar.end for each in bars.values() for bar in each if bar.changed or bar.known != self.close(bar.end)]
        self.changed_bars = min(changed, default=math.inf)
        self.changed = min(changed + depths.changed, default=math.inf)  # nothing that ended before was ever corrected
        self.components, self.dimensions, self.flows = {}, {}, {}
        self.scored, self.known_instants = {}, {}
        for role, series in enumerate(self.series):
            for place, bar in enumerate(series.bars):
                flow = flows_of_bars.get(series.name, {}).get(bar.start)
                if flow:
                    self.flows[bar.start, series.name] = self.row(bar, [], flows.columns(flow))
                self.score(role, place, bar)
        for bar in self.series[0].bars:
            self.score_all(bar)

    def row(self, bar, later, values):
        """With what became known when, if that can be told: `later` are the versions of it."""
        row = self.unless(bar.end >= self.changed, bar, values)
        return row | dated(later) if later and "revision" in row else row

    def of_footprints(self, bars, tape):
        """({(start, timeframe, level): row}, {(start, timeframe): row}); the first are of their bar alone."""
        levels, analysis = {}, {}
        for name in bars:
            by_start, (of_levels, of_bars) = {bar.start: bar for bar in bars[name]}, tape.footprints(bars[name])
            for (start, level), found in of_levels.items():
                row = dict(zip(footprints.LEVEL_COLUMNS, found[-1].values))
                levels[start, name, level] = self.unless(True, by_start[start], row) | dated(found)
            for start, values in of_bars.items():
                bar = by_start[start]
                analysis[start, name] = self.unless(bar.end >= self.changed_bars, bar, values)
        return levels, analysis

    def of_structure(self):
        """({(start, timeframe, event): row}, {(start, timeframe): row})."""
        events, profiles = {}, {}
        for series in self.series:
            for bar, found in series.structures.items():
                changed = bar.end >= self.changed_bars
                for number, event in enumerate(found.events):
                    events[bar.start, series.name, number] = self.unless(changed, bar, event._asdict())
                if found.profile:
                    profiles[bar.start, series.name] = self.unless(changed, bar, found.profile._asdict())
        return events, profiles

    def unless(self, changed, bar, values):
        """A row, with its version where nothing it is made of can have been changed."""
        version = {} if changed else {"known_at": self.close(bar.end), "revision": 0}
        return {"ts_close": bar.end, **values, "retracted": False, **version}

    def roles(self, role, end):
        """[(role, place)] of a role and the higher ones as of an instant."""
        places = [(each, self.series[each].as_of(end)) for each in range(role, len(self.series))]
        return [(each, place) for each, place in places if place is not None]

    def instants(self, bar, roles):
        """When what a row says may have become known."""
        key = bar.end, *roles
        if key in self.known_instants:
            return self.known_instants[key]
        histories = [history for role, place in roles for history in self.series[role].told[place].values()]
        known = {version.known for history in histories for version in history} - {None}
        first = self.close(bar.end)
        self.known_instants[key] = [first, *sorted(each for each in known if each > first)]
        return self.known_instants[key]

    def score(self, role, place, bar):
        roles, name = self.roles(role, bar.end), self.series[role].name
        instants = self.instants(bar, roles)
        for dimension in WEIGHTS:
            rows, _ = self.score_at(role, place, dimension, math.inf)
            for component, values in rows.items():
                later = versions(instants, lambda at: self.score_at(role, place, dimension, at)[0].get(component))
                self.components[bar.start, name, dimension, component] = self.row(bar, later, values)
            self.put_dimension(bar, name, dimension, instants, lambda of, at: self.score_at(role, place, of, at)[1])

    def put_dimension(self, bar, name, dimension, instants, of):

        def version(known):
            return with_weights(self.all_dimensions(bar, name, of, known)).get(dimension)

        values = version(math.inf)
        if values:
            self.dimensions[bar.start, name, dimension] = self.row(bar, versions(instants, version), values)

    def all_dimensions(self, bar, name, of, known):
        """{dimension: row} of a bar; those that are not in WEIGHTS as they are in the end."""
        found = {}
        for dimension in scores.DIMENSION_WEIGHTS:
            row = of(dimension, known) if dimension in WEIGHTS else self.others.get((bar.start, name, dimension))
            if row:
                found[dimension] = {"score": row["score"], "coverage": row["coverage"]}
        return found

    def score_at(self, role, place, dimension, known):
        """({component: row}, the dimension's row or None) of a bar, as they were known at an instant."""
        series = self.series[role]
        bar, roles = series.bars[place], self.roles(role, series.bars[place].end)
        key = role, place, dimension, bisect_right(self.instants(bar, roles), known)
        if key not in self.scored:
            owns = [(self.series[each].weight, self.series[each].own_at(other, known)) for each, other in roles]
            adx = self.indicators.get((series.name, bar.start), {}).get("adx_14")
            self.scored[key] = score(owns[0][1], owns[1:], adx, dimension)
        return self.scored[key]

    def score_all(self, bar):
        if bar.quality == "gap":
            return
        roles = self.roles(0, bar.end)
        for dimension in WEIGHTS:
            of = partial(self.over_roles, roles)
            self.put_dimension(bar, "all", dimension, self.instants(bar, roles), of)

    def over_roles(self, roles, dimension, known):
        present = [(role, self.score_at(role, place, dimension, known)) for role, place in roles]
        present = [(self.series[role].weight, *scored) for role, scored in present if scored[1]]
        if not present:
            return None
        total = sum(weight * row["score"] for weight, _, row in present) / sum(weight for weight, _, _ in present)
        return {"score": total, "coverage": share(dimension, {name for _, rows, _ in present for name in rows})}


def with_weights(dimensions):
    total = sum(scores.DIMENSION_WEIGHTS[name] for name in dimensions)
    weights = {name: scores.DIMENSION_WEIGHTS[name] / total for name in dimensions}
    return {name: row | {"weight": weights[name], "impact": weights[name] * row["score"]} for name, row in dimensions.items()}


def score(own, higher, adx, dimension):
    """({component: row}, the dimension's row or None) of what a bar and the higher roles, with their weights, have."""
    own = {key: values for key, values in own.items() if key[0] == dimension}
    if not own:
        return {}, None
    weights, names = WEIGHTS[dimension], [name for _, name in own]
    coverage, present, total, rows = share(dimension, names), sum(weights[name] for name in names), 0.0, {}
    for (_, name), (raw, raw_score) in own.items():
        div = divergence((dimension, name), own, adx, higher)
        points, weight = clip(raw_score + div), weights[name] / present
        total += weight * points
        rows[name] = {
            "raw_value": raw, "raw_score": raw_score, "div": div,
            "div_type": "bullish" if div > 0 else "bearish" if div < 0 else "none", "score": points, "weight": weight,
            "impact": weight * points, "label": label(name, raw, points), "coverage": coverage,
        }  # fmt: skip
    return rows, {"score": total, "coverage": coverage}
