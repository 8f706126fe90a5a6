"""The rows of `confluence` of one instrument, from the dimensions of its roles. METHODS.md 5, 6."""

import math
from functools import partial

import scores
from bookscores import with_weights
from known import versions

CALIBRATION = 1.0


def row_of(everything, roles, quality):
    """{column: value} of the dimensions over all roles, and of [(weight, {dimension: row})] of each role; `quality`, if it is
    known, is what the row has."""
    if not everything:
        return None
    whole, found = sum(scores.DIMENSION_WEIGHTS.values()), {"profile": "prism"}
    everything = with_weights(everything)
    found["score"] = sum(row["impact"] for row in everything.values())
    found["coverage"] = sum(scores.DIMENSION_WEIGHTS[name] * row["coverage"] for name, row in everything.items()) / whole
    for name in scores.DIMENSION_WEIGHTS:
        row = everything.get(name, {"coverage": 0.0})
        found |= {f"{name}_{column}": row.get(column) for column in ("score", "weight", "coverage")}
        found[f"{name}_contribution"] = row.get("impact")
    voters = [
        (weight, None, {name: (row["score"], None, None, row["coverage"]) for name, row in rows.items()})
        for weight, rows in roles
    ]
    found["consensus"], found["consensus_strength"] = scores.consensus(voters)
    covered = sum(
        weight * scores.DIMENSION_WEIGHTS[name] * row["coverage"] for weight, rows in roles for name, row in rows.items()
    )
    found["reliability_coverage"] = covered / (sum(scores.ROLE_WEIGHTS) * whole)
    points = [row["score"] for row in everything.values()]
    found["reliability_agreement"] = 1 - (max(points) - min(points)) / 100
    found["reliability_calibration"] = CALIBRATION
    if quality in scores.QUALITY:
        found["reliability_quality"] = scores.QUALITY[quality]
        factors = (found[f"reliability_{name}"] for name in ("quality", "coverage", "agreement", "calibration"))
        found["reliability"] = math.prod(factors)
    return found


def rows(scored, qualities):
    """{(start,): row}; `qualities`: {start: that of the stored row}."""
    found = {}
    for bar in scored.series[0].bars:
        if bar.quality == "gap":
            continue
        roles = scored.roles(0, bar.end)

        def at(known):
            everything = scored.all_dimensions(bar, "all", partial(scored.over_roles, roles), known)
            of_roles = []
            for role, place in roles:
                series = scored.series[role]
                of = partial(of_role, scored, role, place)
                of_roles.append((series.weight, scored.all_dimensions(series.bars[place], series.name, of, known)))
            return row_of(everything, of_roles, qualities.get(bar.start))

        values = at(math.inf)
        if values:
            later = versions(scored.instants(bar, roles), at)
            found[bar.start,] = scored.row(bar, later, values | {"price": bar.close})
    return found


def of_role(scored, role, place, dimension, known):
    return scored.score_at(role, place, dimension, known)[1]
