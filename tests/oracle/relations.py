"""Alpha, beta and correlation of an instrument's returns against those of the benchmark."""

import math

from timeline import BASE, close_time

WINDOW = 60
CONSTANT = 1e-18  # variance of returns that are constant, as a part of their mean square


def returns(bars, flat):
    """{end of bar: logarithmic return} of the bars that have one; if intervals without trades are left out, the close
    before a bar is that of the newest one before it."""
    found, before = {}, None
    for bar in bars:
        if bar.quality == "gap":
            continue
        if before and (before.end == bar.start or not flat):
            found[bar.end] = math.log(bar.close / before.close)
        before = bar
    return found


def is_constant(values, variance):
    return variance <= CONSTANT * sum(v * v for v in values) / len(values)


def row(xs, ys):
    """(alpha, beta, correlation, r2, residual volatility), or None if the benchmark did not move."""
    mean_x, mean_y = sum(xs) / WINDOW, sum(ys) / WINDOW
    dx, dy = [x - mean_x for x in xs], [y - mean_y for y in ys]
    var_x, var_y = sum(a * a for a in dx) / WINDOW, sum(b * b for b in dy) / WINDOW
    if is_constant(xs, var_x):
        return None
    cov = sum(a * b for a, b in zip(dx, dy)) / WINDOW
    beta = cov / var_x
    alpha = mean_y - beta * mean_x
    rest = [y - alpha - beta * x for x, y in zip(xs, ys)]
    mean = sum(rest) / WINDOW
    deviation = math.sqrt(sum((r - mean) ** 2 for r in rest) / WINDOW)
    correlation = None if is_constant(ys, var_y) else cov / math.sqrt(var_x * var_y)
    return alpha, beta, correlation, None if correlation is None else correlation**2, deviation


def rows(symbol, benchmark, bars, benchmark_bars, flat):
    """{key: versions} of the table, each version (when its inputs are known, values)."""
    xs, ys = returns(benchmark_bars, flat), returns(bars, flat)
    found = {}
    ends = sorted(xs.keys() & ys.keys())
    for i in range(WINDOW - 1, len(ends)):
        window = ends[i + 1 - WINDOW : i + 1]
        values = row([xs[end] for end in window], [ys[end] for end in window])
        if values:
            key = (symbol, benchmark, "1m", WINDOW, ends[i] - BASE)
            found[key] = [(close_time(ends[i]), (ends[i], *values))]
    return found
