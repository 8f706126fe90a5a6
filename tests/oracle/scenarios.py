"""What is imported: a list of imports, each a list of files, of markets that begin, stop and end at different times."""

import random

from markets import FRAMES, HOUR, MINUTE, PRICE_UNIT, SIZE_UNIT, Common, File, Market, at, drops, one_at_a_time


def one_import(seed):
    """Two days of five markets, all files in one import."""
    common = Common(seed, at(-5, "00:00"), at(2, "00:00"))
    rng = random.Random(f"{seed} one import")
    files = []

    def market(symbol, price, beta, begin, end, **more):
        return Market(seed, common, symbol, price, beta, begin, end, **more)

    def trades(folder, source, first, last, without=(), change=lambda rows: rows):
        rows = source.between(first, last, without)
        files.append(File(folder, source.symbol, "trades", change(rows)))

    # BTCUSDT: almost seven hours between its two files, so that the interval of four hours from 16:00 on has no row; in the
    # second one almost three hours of trades are missing.
    edges = (at(0, "13:20"), at(0, "20:15"), at(1, "23:58:20"))
    btc = market("BTCUSDT", 42_000, 1.0, at(0, "00:10:23"), at(1, "23:58:20"), at_times=edges)
    lost = drops(rng, at(0, "00:30"), at(0, "13:00"), 14, 4 * MINUTE)
    every_other = lambda rows: [t for t in rows if t.number % 2 or not at(0, "10:00") <= t.time < at(0, "10:10")]
    trades("a", btc, at(0, "00:10:23"), at(0, "13:20"), lost, lambda rows: every_other(one_at_a_time(rng, rows, 6)))
    lost = drops(rng, at(0, "20:20"), at(1, "11:00"), 14, 4 * MINUTE) + [(at(1, "03:07:12"), at(1, "05:51:40"))]
    trades("b", btc, at(0, "20:15"), at(1, "23:58:20"), lost, lambda rows: one_at_a_time(rng, rows, 3))

    # ETHUSDT lists at 07:12. 35 minutes between two files; a third goes on with the next number after a silence.
    edges = (at(0, "15:04:59.999"), at(1, "01:59:30"), at(1, "02:27:10"))
    silence = [(at(1, "02:00"), at(1, "02:27"))]
    eth = market("ETHUSDT", 2_300, 1.3, at(0, "07:12"), at(1, "23:31"), at_times=edges, silences=silence)
    trades("a", eth, at(0, "07:12"), at(0, "15:04:59.999"), drops(rng, at(0, "07:30"), at(0, "15:00"), 8, 2 * MINUTE))
    lost = [(at(0, "18:00"), at(0, "18:20")), (at(0, "22:10:20"), at(0, "22:11:50"))]
    trades("b", eth, at(0, "15:40:30"), at(1, "02:26"), lost)
    trades("c", eth, at(1, "02:27"), at(1, "22:10"), drops(rng, at(1, "03:00"), at(1, "20:00"), 8, 9 * MINUTE))

    # SOLUSDT ends on the first evening; its second file is sorted newest first; its price jumps, once unseen.
    moves = [(at(0, "05:00"), 2.6), (at(0, "08:20"), 0.3), (at(0, "12:00"), 0.35)]
    sol = market("SOLUSDT", 100, 0.8, at(0, "01:00:05"), at(0, "21:03:07"), moves=moves)
    trades("a", sol, at(0, "01:00:05"), at(0, "08:00:00"))
    lost = drops(rng, at(0, "09:00"), at(0, "20:00"), 6, MINUTE)
    trades("b", sol, at(0, "08:50:20"), at(0, "21:03:07"), lost, lambda rows: rows[::-1])

    # ADAUSDT: klines with a hole of three minutes and one of six hours, some of them over trades.
    ada = market("ADAUSDT", 50, 0.9, at(0, "00:00"), at(1, "12:00"))
    holes = [(at(0, "04:11"), at(0, "04:14")), (at(0, "06:00"), at(0, "12:00"))]
    rows = ada.klines(MINUTE, at(0, "00:02"), at(0, "16:00"), holes, wrong=(at(0, "14:02"), at(0, "15:45")))
    files.append(File("a", "ADAUSDT", "1m", rows))
    trades("a", ada, at(0, "15:30:20"), at(1, "12:00"), drops(rng, at(0, "16:00"), at(1, "11:00"), 8, 30 * MINUTE))

    # XRPUSDT: klines of three timeframes, those of hours for five days; two hours and a half without anything; trades; klines
    # instead of trades; trades, and again some seven hours and a half later, when the newest bar of four hours is an old one.
    xrp = market("XRPUSDT", 90, 1.1, at(-5, "00:00"), at(1, "19:00"), moves=[(at(0, "07:30"), 1.3)])
    holes = [(at(-3, "06:00"), at(-3, "12:00")), (at(-1, "02:00"), at(-1, "03:00"))]
    files.append(File("a", "XRPUSDT", "1h", xrp.klines(HOUR, at(-5, "00:00"), at(0, "04:00"), holes)))
    holes = [(at(0, "06:10"), at(0, "06:20"))]
    files.append(File("a", "XRPUSDT", "5m", xrp.klines(5 * MINUTE, at(0, "02:00"), at(0, "09:00"), holes)))
    holes = [(at(0, "05:31"), at(0, "05:33")), (at(0, "08:00"), at(0, "08:03"))]
    files.append(File("a", "XRPUSDT", "1m", xrp.klines(MINUTE, at(0, "03:17"), at(0, "10:00"), holes)))
    trades("a", xrp, at(0, "12:30:17"), at(0, "20:00"), [(at(0, "17:00"), at(0, "17:10"))])
    holes = [(at(0, "21:00"), at(0, "21:04"))]
    files.append(File("b", "XRPUSDT", "1m", xrp.klines(MINUTE, at(0, "20:10"), at(0, "22:30"), holes)))
    trades("b", xrp, at(0, "23:00"), at(1, "06:00"))
    trades("c", xrp, at(1, "13:30"), at(1, "19:00"))
    return [files]


def several_imports(seed):
    """Nine hours of five markets in four imports; the last one comes late, partly too late."""
    common = Common(seed, at(0, "00:00"), at(0, "10:00"))
    edges = (at(0, "06:00"), at(0, "06:50"), at(0, "07:10"), at(0, "09:00"))

    def market(symbol, price, beta, begin):
        return Market(seed, common, symbol, price, beta, at(0, begin), at(0, "09:00"), at_times=edges)

    def trades(source, first, last, without=()):
        return File("a", source.symbol, "trades", source.between(at(0, first), at(0, last), without))

    def klines(source, first, end, without=()):
        return File("a", source.symbol, "1m", source.klines(MINUTE, at(0, first), at(0, end), without))

    btc, eth = market("BTCUSDT", 42_000, 1.0, "00:00:30"), market("ETHUSDT", 2_300, 1.3, "00:40:30")
    ada = market("ADAUSDT", 50, 0.9, "00:00")  # klines first; some more for a later hole come at last
    dot = market("DOTUSDT", 700, 0.8, "00:00")  # what was before its first trade comes at last, as klines with a hole
    ltc = market("LTCUSDT", 90, 0.7, "00:00")  # its first trades come at last
    lost = [(at(0, "08:00"), at(0, "08:10"))]
    holes = [(at(0, "07:05"), at(0, "07:10"))]
    first = [trades(btc, "00:00:30", "06:00"), trades(eth, "00:40:30", "06:00"), trades(ada, "03:30", "06:00")]
    first += [klines(ada, "00:00", "03:00")]
    # Two go on with the next number, but another import knows nothing of it.
    second = [trades(btc, "06:20", "06:50"), trades(eth, "06:00:00.001", "06:50"), trades(ada, "06:00:00.001", "06:50")]
    third = [trades(btc, "07:10", "09:00", lost), trades(eth, "06:50:00.001", "09:00", lost), trades(ada, "08:30", "09:00")]
    third += [trades(dot, "07:40", "09:00"), trades(ltc, "07:35", "09:00")]
    third += [klines(ada, "08:21", "09:00"), klines(dot, "08:50", "09:00")]
    fourth = [trades(btc, "05:30", "07:30"), trades(ltc, "06:10", "07:36")]
    fourth += [klines(ada, "06:51", "08:05"), klines(dot, "07:00", "07:30", holes)]
    return [first, second, third, fourth]


def edges(seed):
    """Three hours of markets each of which shows one thing, in one import."""
    begin, end = at(0, "00:00"), at(0, "03:00")
    common = Common(seed, begin, end + MINUTE)
    files = []

    def market(symbol, **more):
        return Market(seed, common, symbol, 100, 1.0, begin, end, **more)

    def trades(folder, source, first=begin, last=end, without=(), lost=None):
        rows = [t for t in source.between(first, last, without) if t.number != lost]
        files.append(File(folder, source.symbol, "trades", rows))

    def klines(source, kind, first, last, without=(), wrong=(), folder="a"):
        rows = source.klines(FRAMES[kind], at(0, first), at(0, last), without, wrong)
        files.append(File(folder, source.symbol, kind, rows))

    def second(source):
        """The number of the second trade at the instant."""
        return [t.number for t in source.trades if t.time == instant][1]

    # Jumps within one instant: before five minutes without trades, behind such, and alone.
    instant = at(0, "01:00:30.500")
    source = market("ABCUSDT", at_times=[instant] * 3 + [instant + MINUTE])
    trades("a", source, without=[(instant + 1, instant + 5 * MINUTE)], lost=second(source))
    source = market("BCDUSDT", at_times=[instant] * 3 + [instant - MINUTE])
    trades("a", source, without=[(instant - 5 * MINUTE, instant - 1)], lost=second(source))
    source = market("CDEUSDT", at_times=[instant] * 3)
    trades("a", source, lost=second(source))

    # Files that overlap: one has what another lacks, a part of it, two have it together; the second begins before the first
    # ends, and one more goes on with the next number.
    source = market("DEFUSDT")
    trades("a", source, without=[(at(0, "01:00"), at(0, "01:10"))])
    trades("b", source, at(0, "00:55"), at(0, "01:15"))
    source = market("KLMUSDT")
    trades("a", source, without=[(at(0, "01:00"), at(0, "01:20"))])
    trades("b", source, at(0, "00:50"), at(0, "01:40"), [(at(0, "01:10"), at(0, "01:30"))])
    source = market("LMNUSDT")
    trades("a", source, without=[(at(0, "01:00"), at(0, "01:20"))])
    trades("b", source, at(0, "00:50"), at(0, "01:10"))
    trades("c", source, at(0, "01:05"), at(0, "01:30"))
    source = market("EFGUSDT", at_times=[at(0, "02:00:10")])
    trades("a", source, last=at(0, "02:00:10"), without=[(at(0, "01:00"), at(0, "01:10"))])
    trades("b", source, at(0, "02:00:10.001"))
    trades("c", source, at(0, "01:40"), at(0, "02:30"), [(at(0, "02:10"), at(0, "02:15"))])

    # Klines: of a price that jumps; over trades, with another high than was traded, and over none; of a timeframe that is
    # longer, and of one that makes no other, with holes; the first one ends with a longer interval.
    source = market("FGHUSDT", moves=[(at(0, "01:00"), 2.5), (at(0, "01:40"), 0.3)])
    klines(source, "1m", "00:00", "02:00")
    trades("a", source, at(0, "02:20"))
    source = market("GHIUSDT", silences=[(at(0, "01:10"), at(0, "01:14"))])
    trades("a", source)
    klines(source, "1m", "00:01", "02:00", wrong=range(begin, end, 3 * MINUTE))
    klines(source, "5m", "00:05", "02:00", wrong=[at(0, "00:10")])
    source = market("HIJUSDT")
    trades("a", source, last=at(0, "00:10"))
    klines(source, "15m", "00:30", "02:30", [(at(0, "00:45"), at(0, "02:15"))])
    trades("b", source, at(0, "02:40"))
    source = market("IJKUSDT")
    klines(source, "3m", "00:00", "02:00", [(at(0, "00:12"), at(0, "01:42"))])
    trades("a", source, at(0, "02:10"))
    source = market("JKLUSDT")
    trades("a", source, last=at(0, "00:40"))
    klines(source, "1m", "02:02", "03:00", folder="b")
    source = market("MNOUSDT")
    trades("a", source)
    rows = source.klines(MINUTE, at(0, "01:00"), at(0, "01:10"))
    files.append(File("a", source.symbol, "1m", [row._replace(turnover=2 * row.turnover) for row in rows]))

    # 49, 50 and 51 klines instead of trades: what reads the flow of bars goes on behind the first ones only.
    for symbol, count in ("NOPUSDT", 49), ("OPQUSDT", 50), ("QRSUSDT", 51):
        lost = at(0, "01:01"), at(0, "01:01") + count * MINUTE
        source = market(symbol, at_times=[lost[0] - 1, lost[1]])
        trades("a", source, without=[(lost[0], lost[1] - 1)])
        files.append(File("a", symbol, "1m", source.klines(MINUTE, *lost)))

    # Trades at one price, worth a power of two or just less; in the last hour so much that they are of the last class.
    source, rows = market("RSTUSDT"), []
    for trade in source.between(begin, end):
        power = trade.size & -trade.size
        size = SIZE_UNIT * power << 25 if trade.time >= at(0, "02:00") else SIZE_UNIT * power - trade.number % 2
        rows.append(trade._replace(price=64 * PRICE_UNIT, size=size))
    files.append(File("a", source.symbol, "trades", rows))
    return [files]


def known_late(seed):
    """Markets of which something becomes known late: recordings that have what another one lacks, and old klines."""
    end = at(0, "06:00")
    common = Common(seed, at(-2, "12:00"), end + MINUTE)
    imports = [[], [], []]

    def market(symbol, begin):
        return Market(seed, common, symbol, 100, 1.0, begin, end, at_times=[end])

    def trades(number, source, first, last="06:00", without=(), folder="a"):
        file = File(folder, source.symbol, "trades", source.between(at(0, first), at(0, last), without))
        imports[number].append(file)

    def klines(number, source, kind, first, last, without=(), wrong=(), folder="a"):
        rows = source.klines(FRAMES[kind], first, last, without, wrong)
        imports[number].append(File(folder, source.symbol, kind, rows))

    def newest_kline(source):
        klines(0, source, "1m", end - MINUTE, end)

    # A file lacks ten minutes; a later import has them; of what that one lacks another one has a part.
    source = market("KLMUSDT", at(0, "03:30"))
    trades(0, source, "03:30", without=[(at(0, "05:00"), at(0, "05:10")), (at(0, "05:12:10"), at(0, "05:20"))])
    trades(1, source, "04:50", "05:30", [(at(0, "05:12:20"), at(0, "05:14:20"))])
    trades(2, source, "05:12", "05:13")

    # Klines of before the first trade, without a hole and with one that is longer than gap bars go on.
    for symbol, holes in ("LMNUSDT", ()), ("MNOUSDT", [(at(0, "01:30"), at(0, "03:10"))]):
        source = market(symbol, at(0, "00:30"))
        trades(0, source, "04:30")
        newest_kline(source)
        klines(1, source, "1m", at(0, "01:00"), at(0, "03:50"), holes)

    # Klines where there were no trades, too late to fill most of it.
    source = market("NOPUSDT", at(0, "00:30"))
    trades(0, source, "00:30", "01:30")
    trades(0, source, "05:45", folder="b")
    newest_kline(source)
    klines(1, source, "1m", at(0, "02:00"), at(0, "05:40"), [(at(0, "03:00"), at(0, "05:30"))])

    # Klines of before the first trade when there are bars that are forgotten: of two timeframes, one of them without bars.
    source = market("OPQUSDT", at(-2, "12:00"))
    klines(0, source, "1h", at(-2, "18:00"), at(-1, "00:00"), [(at(-2, "22:00"), at(-2, "23:00"))])
    trades(0, source, "03:20")
    newest_kline(source)
    klines(1, source, "1h", at(-2, "16:00"), at(-2, "22:00"))
    klines(1, source, "15m", at(-2, "21:00"), at(-1, "07:00"), [(at(-1, "05:15"), at(-1, "05:45"))])

    # The same of a day before, of which some are forgotten, where there are longer bars; and of when bars are forgotten, to
    # the instant.
    source = market("QRSUSDT", at(-2, "12:00"))
    klines(0, source, "1h", at(-2, "20:00"), at(-1, "03:00"))
    trades(0, source, "03:20")
    newest_kline(source)
    klines(1, source, "15m", at(-2, "22:00"), at(-1, "07:00"))
    source = market("RSTUSDT", at(0, "00:00"))
    klines(0, source, "1m", at(0, "02:00"), at(0, "03:10"), folder="b")
    klines(0, source, "1h", at(0, "00:00"), at(0, "02:00"))
    trades(0, source, "05:00")
    newest_kline(source)
    klines(1, source, "1m", at(0, "03:30"), at(0, "04:50"), [(at(0, "04:20"), at(0, "04:30"))])
    klines(1, source, "15m", at(0, "02:00"), at(0, "05:00"), [(at(0, "03:30"), at(0, "03:45"))])

    # Klines whose interval has no row: with a hole that is filled with them, and such that end before a gap bar.
    source = market("STUUSDT", at(0, "00:00"))
    trades(0, source, "00:00", "01:30", folder="b")
    trades(0, source, "05:45")
    newest_kline(source)
    klines(2, source, "1m", at(0, "03:50"), at(0, "05:40"), [(at(0, "04:02"), at(0, "05:30"))])
    source = market("TUVUSDT", at(0, "00:30"))
    trades(0, source, "00:30", "03:30", folder="b")
    trades(0, source, "05:45")
    newest_kline(source)
    klines(1, source, "1m", at(0, "04:10"), at(0, "04:20"))
    klines(1, source, "1m", at(0, "04:50"), at(0, "04:55"), folder="b")

    # Other klines than were known, and again others, with holes so that they make no longer ones; other ones than were
    # traded, some older than the horizon.
    source = market("UVWUSDT", at(0, "02:00"))
    holes = [(start, start + MINUTE) for start in range(at(0, "03:50"), at(0, "04:30"), 3 * MINUTE)]
    wrong = range(at(0, "04:00"), at(0, "04:50"), MINUTE)
    klines(0, source, "1m", at(0, "03:50"), at(0, "04:20"), holes, folder="b")
    trades(0, source, "04:30")
    newest_kline(source)
    klines(1, source, "1m", at(0, "04:00"), at(0, "04:50"), holes, wrong)
    klines(2, source, "1m", at(0, "04:10"), at(0, "04:30"), holes, wrong=[at(0, "04:15")])
    source = market("VWXUSDT", at(0, "02:00"))
    trades(0, source, "02:00")
    newest_kline(source)
    klines(1, source, "1m", at(0, "02:30"), at(0, "04:10"), wrong=range(at(0, "02:31"), at(0, "04:10"), 2 * MINUTE))

    # A history of 3m klines over a hole, at both ends of which there are klines of 5m, which make those of 15m.
    source = market("GGGUSDT", at(0, "00:00"))
    for folder, first, last in ("a", "00:40", "01:00"), ("b", "03:20", "04:00"):
        klines(0, source, "5m", at(0, first), at(0, last), folder=folder)
    klines(0, source, "3m", at(0, "00:30"), at(0, "05:00"), [(at(0, "01:00"), at(0, "03:00"))])

    # A kline of a bar that ended two hours and a quarter before; no bar of its series closed since 05:45.
    source = market("HHHUSDT", at(0, "00:00"))
    klines(0, source, "1m", at(0, "02:00"), at(0, "03:10"), folder="b")
    trades(0, source, "05:00")
    newest_kline(source)
    klines(1, source, "15m", at(0, "03:30"), at(0, "04:15"))

    # Another kline than was traded, a minute older than the horizon; other ones of which longer ones were made; and, over
    # trades, another one and a right one that are known together.
    source = market("IIIUSDT", at(0, "00:00"))
    trades(0, source, "02:00")
    newest_kline(source)
    minute = at(0, "03:58")
    klines(1, source, "1m", minute, minute + MINUTE, wrong=[minute])
    source = market("JJJUSDT", at(0, "00:00"))
    klines(0, source, "1m", at(0, "03:50"), at(0, "04:30"), folder="b")
    trades(0, source, "04:30")
    newest_kline(source)
    klines(1, source, "1m", at(0, "04:00"), at(0, "04:20"), wrong=range(at(0, "04:00"), at(0, "04:20"), MINUTE))
    source = market("KKKUSDT", at(0, "00:00"))
    trades(0, source, "02:00")
    newest_kline(source)
    minute = at(0, "05:00")
    klines(1, source, "1m", minute, minute + MINUTE, wrong=[minute])
    klines(2, source, "1m", minute, minute + MINUTE)
    return imports


def topics(seed):
    """Klines of a later import that begin where those of the first one ended, when trades of long after are known."""
    begin, end = at(0, "00:00"), at(0, "05:00")
    source = Market(seed, Common(seed, begin, end), "PQRUSDT", 100, 1.0, begin, end - MINUTE)
    trades = source.between(begin, end, [(at(0, "00:10"), at(0, "02:00")), (at(0, "03:00"), at(0, "04:30"))])
    klines = source.klines(MINUTE, begin + MINUTE, at(0, "01:00")), source.klines(MINUTE, at(0, "01:03"), at(0, "01:50"))
    first, second = (File("b", source.symbol, "1m", rows) for rows in klines)
    third = File("b", source.symbol, "5m", source.klines(5 * MINUTE, at(0, "03:10"), at(0, "04:20")))
    return [[File("a", source.symbol, "trades", trades), first], [second, third]]
