"""Inputs for which METHODS.md and prism said different things when this was written; `holes.py PRISM WORK --disputed`."""

from markets import HOUR, MINUTE, Common, File, Market, at

BEGIN, END = at(0, "00:00"), at(0, "06:00")


def market(seed, symbol, **more):
    return Market(seed, Common(seed, BEGIN, END + MINUTE), symbol, 100, 1.0, BEGIN, END, **more)


def of_trades(folder, source, first=BEGIN, last=END, without=()):
    return File(folder, source.symbol, "trades", source.between(first, last, without))


def two_jumps_at_one_instant(seed):
    """Of three trades at one instant the second is missing, and so are those behind the third until 02:17."""
    instant = at(0, "02:00:30.500")
    source = market(seed, "AAAUSDT", at_times=[instant] * 3 + [instant + MINUTE])
    rows = source.between(BEGIN, END, [(instant + 1, instant + 5 * MINUTE)])
    second = [t.number for t in rows if t.time == instant][1]
    return [[File("a", "AAAUSDT", "trades", [t for t in rows if t.number != second])]]


def a_jump_that_ends_where_another_begins_and_ends(seed):
    """Five minutes of trades are missing; of the three trades at the instant behind them the second is, too."""
    instant = at(0, "02:00:30.500")
    source = market(seed, "HHHUSDT", at_times=[instant] * 3 + [instant - MINUTE])
    rows = source.between(BEGIN, END, [(instant - 5 * MINUTE, instant - 1)])
    second = [t.number for t in rows if t.time == instant][1]
    return [[File("a", "HHHUSDT", "trades", [t for t in rows if t.number != second])]]


def one_file_within_another(seed):
    """A file of six hours lacks ten minutes; a short file of the same import has them."""
    source = market(seed, "BBBUSDT")
    lost = [(at(0, "02:00"), at(0, "02:10"))]
    return [[of_trades("a", source, without=lost), of_trades("b", source, at(0, "01:55"), at(0, "02:15"))]]


def files_that_overlap(seed):
    """The second of two files begins ten minutes before the first one ends."""
    source = market(seed, "CCCUSDT")
    return [[of_trades("a", source, last=at(0, "03:00")), of_trades("b", source, first=at(0, "02:50"))]]


def missing_trades_in_a_later_import(seed):
    """A file lacks ten minutes; a later import has them."""
    source = market(seed, "DDDUSDT", at_times=[END])
    lost = [(at(0, "05:00"), at(0, "05:10"))]
    return [[of_trades("a", source, without=lost)], [of_trades("b", source, at(0, "04:55"), at(0, "05:15"))]]


def suspect_kline(seed):
    """Klines whose price jumps."""
    source = market(seed, "EEEUSDT", moves=[(at(0, "01:00"), 2.5)])
    klines = File("a", "EEEUSDT", "1m", source.klines(MINUTE, BEGIN, at(0, "02:00")))
    return [[klines, of_trades("a", source, first=at(0, "02:30"))]]


def kline_ends_with_the_interval(seed):
    """Nothing for over an hour; then the first kline is the last one of an interval of three minutes."""
    source = market(seed, "FFFUSDT")
    klines = File("b", "FFFUSDT", "1m", source.klines(MINUTE, at(0, "03:02"), END))
    return [[of_trades("a", source, last=at(0, "01:30")), klines]]


def klines_from_before_the_first_trade(seed, first="03:00", without=()):
    """Klines of before the first trade, imported when that is more than the horizon ago."""
    source = market(seed, "IIIUSDT", at_times=[END])
    trades = [of_trades("a", source, at(0, first)), File("a", "IIIUSDT", "1m", source.klines(MINUTE, END - MINUTE, END))]
    return [trades, [File("b", "IIIUSDT", "1m", source.klines(MINUTE, BEGIN, at(0, "02:50"), without))]]


def klines_older_than_the_horizon(seed):
    """Klines of before the first trade, older than the horizon when they are imported; the first trade is not."""
    return klines_from_before_the_first_trade(seed, "04:30")


def a_hole_in_klines_older_than_the_horizon(seed):
    """The same with a hole that is longer than gap bars go on."""
    return klines_from_before_the_first_trade(seed, "04:30", [(at(0, "00:30"), at(0, "02:10"))])


def other_kline_over_trades(seed):
    """Klines with another high than their minutes' trades, every ten minutes."""
    source = market(seed, "GGGUSDT")
    wrong = [start for start in range(BEGIN, BEGIN + HOUR, 10 * MINUTE)]
    klines = source.klines(MINUTE, BEGIN + MINUTE, at(0, "02:00"), wrong=wrong)
    return [[of_trades("a", source), File("a", "GGGUSDT", "1m", klines)]]


CASES = (
    two_jumps_at_one_instant, a_jump_that_ends_where_another_begins_and_ends, one_file_within_another, files_that_overlap,
    missing_trades_in_a_later_import, suspect_kline, kline_ends_with_the_interval,
    klines_from_before_the_first_trade, klines_older_than_the_horizon, a_hole_in_klines_older_than_the_horizon,
    other_kline_over_trades,
)  # fmt: skip
