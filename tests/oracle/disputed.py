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


def a_first_trade_makes_no_longer_bar(seed):
    """Late klines of 15m for gap bars; no bar of 15m closed since the pause, only the first trades' one of a minute, 05:48."""
    source = market(seed, "HHHUSDT")
    before = klines("b", source, "1m", at(0, "02:00"), at(0, "03:10"))
    return [[before, *until_the_end(source, "05:47")], [klines("b", source, "15m", at(0, "03:30"), at(0, "04:15"))]]


def other_klines_of_an_interval_that_was_made(seed):
    """Late klines of 5m with other highs than those that were made of klines of 1m, and of which those of 15m were made."""
    source = market(seed, "JJJUSDT")
    before = klines("b", source, "1m", at(0, "03:50"), at(0, "04:30"))
    wrong = range(at(0, "04:00"), at(0, "04:15"), 5 * MINUTE)
    late = klines("b", source, "5m", at(0, "04:00"), at(0, "04:15"), wrong=wrong)
    return [[before, *until_the_end(source, "04:30")], [late]]


def the_same_other_kline_twice(seed):
    """Over trades, a kline with another high, and the very same one of the next import."""
    source = market(seed, "KKKUSDT")
    minute = at(0, "05:00")
    late = klines("b", source, "1m", minute, minute + MINUTE, wrong=[minute])
    return [until_the_end(source, "02:00"), [late], [late]]


def a_history_of_one_kline(seed):
    """A market without trades: a pause of 1h bars, and one kline of 1m that ends with it; another market goes on."""
    source = market(seed, "LLLUSDT")
    before = klines("b", source, "1h", at(0, "00:00"), at(0, "02:00"))
    newest = klines("a", source, "1m", END - MINUTE, END)
    return [[before, newest, trades("a", market(seed, "MMMUSDT"), "05:00")]]


CASES = (
    a_first_trade_makes_no_longer_bar, other_klines_of_an_interval_that_was_made, the_same_other_kline_twice,
    a_history_of_one_kline,
)  # fmt: skip
