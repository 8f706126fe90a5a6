"""Inputs for which METHODS.md, as it is read here, and prism said different things when this was written;
`holes.py PRISM WORK --disputed` shows how they differ."""

from markets import FRAMES, MINUTE, Common, File, Market, at

END = at(0, "06:00")


def market(seed, symbol, begin=at(0, "00:00")):
    return Market(seed, Common(seed, begin, END + MINUTE), symbol, 100, 1.0, begin, END, at_times=[END])


def trades(folder, source, first, last="06:00", without=()):
    return File(folder, source.symbol, "trades", source.between(at(0, first), at(0, last), without))


def klines(folder, source, kind, first, last, without=(), wrong=()):
    return File(folder, source.symbol, kind, source.klines(FRAMES[kind], first, last, without, wrong))


def until_the_end(source, first):
    """Trades, and the newest kline at their end, so that all that is imported later is known then."""
    return [trades("a", source, first), klines("a", source, "1m", END - MINUTE, END)]


def a_history_of_a_timeframe_that_makes_no_other(seed):
    """A history of 3m klines goes on over a hole, at both ends of which there are klines of 5m, which make those of 15m."""
    source = market(seed, "GGGUSDT")
    parts = ("a", at(0, "00:40"), at(0, "01:00")), ("b", at(0, "03:20"), at(0, "04:00"))
    files = [klines(folder, source, "5m", first, last) for folder, first, last in parts]
    return [[*files, klines("a", source, "3m", at(0, "00:30"), at(0, "05:00"), [(at(0, "01:00"), at(0, "03:00"))])]]


def a_longer_bar_that_is_forgotten(seed):
    """A late kline of 15m for a gap bar that ended two hours and a quarter before; no bar of 15m closed since 05:45."""
    source = market(seed, "HHHUSDT")
    before = klines("b", source, "1m", at(0, "02:00"), at(0, "03:10"))
    return [[before, *until_the_end(source, "05:00")], [klines("b", source, "15m", at(0, "03:30"), at(0, "04:15"))]]


def other_klines_a_minute_older_than_the_horizon(seed):
    """A late kline with another high than was traded, of 03:58 to 03:59, at 06:00."""
    source = market(seed, "IIIUSDT")
    minute = at(0, "03:58")
    return [until_the_end(source, "02:00"), [klines("b", source, "1m", minute, minute + MINUTE, wrong=[minute])]]


def other_klines_of_which_longer_ones_are_made(seed):
    """Late klines with other highs than those that were known, of before the first trade."""
    source = market(seed, "JJJUSDT")
    before = klines("b", source, "1m", at(0, "03:50"), at(0, "04:30"))
    wrong = range(at(0, "04:00"), at(0, "04:20"), MINUTE)
    late = klines("b", source, "1m", at(0, "04:00"), at(0, "04:20"), wrong=wrong)
    return [[before, *until_the_end(source, "04:30")], [late]]


def other_klines_twice_at_one_instant(seed):
    """Over trades, a kline with another high, and a right one of the next import."""
    source = market(seed, "KKKUSDT")
    minute = at(0, "05:00")
    late = [klines("b", source, "1m", minute, minute + MINUTE, wrong=wrong) for wrong in ([minute], [])]
    return [until_the_end(source, "02:00"), [late[0]], [late[1]]]


CASES = (
    a_history_of_a_timeframe_that_makes_no_other, a_longer_bar_that_is_forgotten,
    other_klines_a_minute_older_than_the_horizon, other_klines_of_which_longer_ones_are_made,
    other_klines_twice_at_one_instant,
)  # fmt: skip
