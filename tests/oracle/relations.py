"""Alpha, beta and correlation of an instrument's returns against those of the benchmark."""

import math

from timeline import BASE, close_time

WINDOW = 60
UNITS = 1e13  # of a return in 1
LARGEST = 100 * UNITS  # return
CONSTANT = 1e-18  # variance of returns that are constant, as a part of their mean square


def returns(bars, flat):
    """{end of bar: logarithmic return, in whole units} of the bars that have one; if intervals without trades are left
    out, the close before a bar is that of the newest one before it."""
    found, before = {}, None
    for bar in bars:
        if bar.quality == "gap":
            continue
        if before and (before.end == bar.start or not flat):
            change = round(UNITS * math.log(bar.close / before.close))
            if abs(change) <= LARGEST:
                found[bar.end] = change
        before = bar
    return found


def sum_of_products(xs, ys):
    return sum(x * y for x, y in zip(xs, ys))


def covariance(xs, ys):
    """WINDOW^2 times it, in square units; exact."""
    return WINDOW * sum_of_products(xs, ys) - sum(xs) * sum(ys)


def is_constant(values, variance):
    return variance <= CONSTANT * WINDOW * sum_of_products(values, values)


def row(xs, ys):
    """(alpha, beta, correlation, r2, residual volatility), or None if the benchmark did not move."""
    var_x, cov, var_y = covariance(xs, xs), covariance(xs, ys), covariance(ys, ys)
    if is_constant(xs, var_x):
        return None
    beta = cov / var_x
    alpha = (sum(ys) - beta * sum(xs)) / WINDOW / UNITS
    deviation = math.sqrt((var_x * var_y - cov * cov) / var_x) / WINDOW / UNITS
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
