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


def klines_while_no_bar_is_forgotten(seed):
    """Klines of before the first trade, imported three hours after it, with a longest timeframe of a day."""
    source = market(seed, "AAAUSDT")
    return [until_the_end(source, "03:00"), [klines("b", source, "1m", at(0, "00:00"), at(0, "02:50"))]]


def longer_bars_that_are_not_forgotten(seed):
    """Klines of 15m make those of 1h where gap bars ended 25 and, to the instant, 26 hours ago."""
    source = market(seed, "BBBUSDT", at(-2, "12:00"))
    hours = klines("c", source, "1h", at(-2, "20:00"), at(-1, "03:00"))
    return [[hours, *until_the_end(source, "05:00")], [klines("b", source, "15m", at(-2, "22:00"), at(-1, "07:00"))]]


def higher_roles_that_are_forgotten(seed):
    """Klines of 23 to 29 hours ago, of before the first trade; their first three hours are forgotten."""
    source = market(seed, "CCCUSDT", at(-1, "00:00"))
    return [until_the_end(source, "05:00"), [klines("b", source, "1m", at(-1, "01:00"), at(-1, "07:00"))]]


def other_klines_older_than_the_horizon(seed):
    """Klines with another high than their minutes' trades, two and three hours old when they become known."""
    source = market(seed, "DDDUSDT")
    wrong = at(0, "03:00"), at(0, "03:50")
    return [until_the_end(source, "02:00"), [klines("b", source, "1m", at(0, "02:30"), at(0, "04:00"), wrong=wrong)]]


def other_turnover(seed):
    """Klines with another turnover than their minutes' trades."""
    source = market(seed, "EEEUSDT")
    file = klines("a", source, "1m", at(0, "02:30"), at(0, "02:40"))
    return [[trades("a", source, "02:00"), file._replace(rows=[k._replace(turnover=2 * k.turnover) for k in file.rows])]]


def a_part_of_the_missing_trades(seed):
    """A file lacks 01:00 to 01:20, another one of the same import 01:10 to 01:30."""
    source = market(seed, "FFFUSDT")
    first = trades("a", source, "00:00", "02:30", [(at(0, "01:00"), at(0, "01:20"))])
    return [[first, trades("b", source, "00:50", "01:40", [(at(0, "01:10"), at(0, "01:30"))])]]


def a_longer_timeframe_that_is_no_multiple(seed):
    """A history of 3m klines goes on over a hole, at both ends of which there are klines of 5m."""
    source = market(seed, "GGGUSDT")
    parts = ("a", at(0, "00:40"), at(0, "01:00")), ("b", at(0, "03:20"), at(0, "04:00"))
    files = [klines(folder, source, "5m", first, last) for folder, first, last in parts]
    return [[*files, klines("a", source, "3m", at(0, "00:30"), at(0, "05:00"), [(at(0, "01:00"), at(0, "03:00"))])]]


def intervals_without_a_row_behind_a_late_kline(seed):
    """Of late klines with a hole some fill; the hole was left out before."""
    source = market(seed, "HHHUSDT")
    late = klines("c", source, "1m", at(0, "03:50"), at(0, "05:40"), [(at(0, "04:02"), at(0, "05:30"))])
    return [[trades("b", source, "00:00", "01:30"), *until_the_end(source, "05:45")], [late]]


CASES = (
    klines_while_no_bar_is_forgotten, longer_bars_that_are_not_forgotten, higher_roles_that_are_forgotten,
    other_klines_older_than_the_horizon, other_turnover, a_part_of_the_missing_trades,
    a_longer_timeframe_that_is_no_multiple, intervals_without_a_row_behind_a_late_kline,
)  # fmt: skip
