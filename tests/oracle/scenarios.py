"""What is imported: a list of imports, each a list of files, of markets that begin, stop and end at different times."""

import random

from markets import HOUR, MINUTE, Common, File, Market, at, drops, one_at_a_time


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
    fourth += [klines(ada, "06:40", "08:05"), klines(dot, "07:00", "07:30", holes)]
    return [first, second, third, fourth]
