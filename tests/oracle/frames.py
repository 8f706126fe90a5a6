"""Book events, trades, tickers of contracts and forced orders of recordings, decoded from the venues' raw frames:
hftbacktest's and cryptofeed's files of Binance and Bybit.

Which of a frame's times an event has: contracts of Binance and REST snapshots `T`, spot deltas of Binance `E`, a spot REST
snapshot, which has none, its receive time; Bybit `cts` (when the engine made it), else `ts`; trades `T`.

A frame is refused by the import (`quarantine`, `invalid_field`), and so is no event, if the prices of a side, or its sizes, do
not all fit 64 bits at the most decimals among them (zeros at the end are none), 18 at most. The log is in order of receive time,
but what one instrument of a partition received within 5 ms (multiples, the end included) stands together.
"""

import gzip
import io
import json
import re
from collections import defaultdict, namedtuple
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa

# Times in ns; `first`, `last` and `previous` are U, u and pu (of a snapshot `last` is lastUpdateId or u); `asked` the depth that
# was asked for, if known; levels are (price, size) texts as sent.
Event = namedtuple("Event", "received time snapshot first last previous asked bids asks")
Trade = namedtuple("Trade", "received time number price size buy")  # `number`: the venue's id; price and size as sent
# What a ticker says, as Fractions, None where it says nothing; `open`, what is open, counted once; `interval` in hours.
Ticker = namedtuple("Ticker", "received time open funding interval")
# As Fractions; of margins those of the smallest tier, as shares.
Ratio = namedtuple("Ratio", "received time kind long short")
Margins = namedtuple("Margins", "received time leverage initial maintenance")
Forced = namedtuple("Forced", "received time sale price size all")  # `sale` closes a long; `all`: the venue tells each
Instrument = namedtuple("Instrument", "exchange market symbol")

MARKETS = {  # by host
    "stream.binance.com": "spot", "api.binance.com": "spot", "fstream.binance.com": "linear", "fapi.binance.com": "linear",
    "dstream.binance.com": "inverse", "dapi.binance.com": "inverse",
}  # fmt: skip
DEPTH_URL = re.compile(r"https?://([^/:]+)[^?]*/depth\?(.*)")
SERIES_URL = re.compile(r"https?://([^/:]+)[^?]*/([\w-]+)\?(.*)")
WINDOW = 5 * 10**6  # ns
BINANCE_TRADES = {"trade": "t", "aggTrade": "a"}  # and where their number is
BYBIT_NUMBERS = ("singleOpenInterest", "openInterest", "fundingRate", "fundingIntervalHour")
BINANCE_RATIOS = {"globalLongShortAccountRatio": "account", "topLongShortPositionRatio": "top_position"}
BYBIT_FORCED = {
    "allLiquidation": ("T", "s", "S", "p", "v"),
    "liquidation": ("updatedTime", "symbol", "side", "price", "size"),
}
BYBIT_STREAM = re.compile(r"wss?://[^/]*bybit[^/]*/v5/public/(\w+)")


class Recording:
    """Book events of each instrument, and trades, in order of receive time, and the best prices that the venue itself
    told, by `u`."""

    def __init__(self, path):
        self.all, self.trades = [], []  # (instrument, event or trade)
        self.tickers, self.forced, self.series = [], [], []  # likewise
        self.events, self.tops = defaultdict(list), defaultdict(dict)
        text = text_of(path)
        first = text[: text.find("\n")]
        if first[:1].isdigit():
            self.hftbacktest(text.splitlines())
        else:
            self.cryptofeed(text.splitlines())
        for entries in self.all, self.trades, self.tickers, self.forced, self.series:
            entries.sort(key=lambda entry: entry[1].received)  # stable: ties keep the order of the file
        for instrument, event in self.all:
            self.events[instrument].append(event)

    def add(self, instrument, event):
        if all(exact([level[place] for level in side]) for side in (event.bids, event.asks) for place in (0, 1)):
            self.all.append((instrument, event))

    # hftbacktest: `<receive ns> <frame>`, one instrument a file; the answer to a request stands as it came, without address.

    def hftbacktest(self, lines):
        instrument = None
        for line in lines:
            received, _, frame = line.partition(" ")
            message, received = json.loads(frame), int(received)
            data = message.get("data", message)
            if "lastUpdateId" in data:
                self.add(None, binance_snapshot(received, data, None))
            elif "s" in data:
                symbol = data["s"]
                if data.get("e") == "depthUpdate":
                    market = "inverse" if "ps" in data else "linear" if "pu" in data else "spot"
                    instrument = Instrument("binance", market, symbol)
                    self.add(instrument, binance_delta(received, data))
                elif data.get("e") in BINANCE_TRADES:
                    self.binance_trade(None, received, data)
                elif data.get("e") == "markPriceUpdate":
                    self.tickers.append((instrument, binance_ticker(received, data)))
                elif message["stream"].endswith("@bookTicker") and instrument:
                    self.top(instrument, data)
            elif data.get("e") == "forceOrder":
                self.forced.append((instrument, binance_forced(received, data["o"])))
        self.all = [(instrument, event) for _, event in self.all] if instrument else []
        self.trades, self.tickers, self.forced = (
            [(instrument, entry) for _, entry in entries] if instrument else []
            for entries in (self.trades, self.tickers, self.forced)
        )

    def top(self, instrument, data):
        self.tops[instrument][data["u"]] = tuple(data[key] for key in "bBaA")

    # cryptofeed: JSON lines with `t` (what it is), `conn`, `ts` (seconds) and `data` (the frame as text).

    def cryptofeed(self, lines):
        market_of = {}  # of each connection
        for text in lines:
            line = json.loads(text, parse_float=Decimal)
            kind, received = line["t"], int(line.get("ts", 0) * 10**9)
            if kind == "connect":
                market_of[line["conn"]] = self.market(line["addr"])
            elif kind == "http":
                found = DEPTH_URL.match(line["url"])
                if found and found[1] in MARKETS:
                    query = dict(part.split("=") for part in found[2].split("&") if part)
                    instrument = Instrument("binance", MARKETS[found[1]], query["symbol"])
                    asked = int(query["limit"]) if "limit" in query else None
                    self.add(instrument, binance_snapshot(received, json.loads(line["data"]), asked))
                else:
                    self.series += series_of(received, line["url"], json.loads(line["data"]))
            elif kind == "recv" and market_of.get(line["conn"]):
                exchange, market = market_of[line["conn"]]
                message = json.loads(line["data"])
                if exchange == "bybit":
                    self.bybit(market, received, message)
                elif message.get("data", {}).get("e") == "depthUpdate":
                    data = message["data"]
                    self.add(Instrument(exchange, market, data["s"]), binance_delta(received, data))
                elif message.get("data", {}).get("e") in BINANCE_TRADES:
                    data = message["data"]
                    self.binance_trade(Instrument(exchange, market, data["s"]), received, data)
                elif message.get("data", {}).get("e") == "markPriceUpdate":
                    instrument = Instrument(exchange, market, message["data"]["s"])
                    self.tickers.append((instrument, binance_ticker(received, message["data"])))
                elif message.get("data", {}).get("e") == "forceOrder":
                    order = message["data"]["o"]
                    self.forced.append((Instrument(exchange, market, order["s"]), binance_forced(received, order)))
                elif message.get("stream", "").endswith("@bookTicker"):
                    self.top(Instrument(exchange, market, message["data"]["s"]), message["data"])

    def market(self, address):
        found = BYBIT_STREAM.match(address)
        if found:
            return "bybit", found[1]
        host = re.match(r"wss?://([^/:]+)", address)
        return ("binance", MARKETS[host[1]]) if host and host[1] in MARKETS else None

    def bybit(self, market, received, message):
        topic = message.get("topic", "").split(".")
        if topic[0] == "publicTrade":
            for data in message["data"]:
                trade = Trade(received, data["T"] * 10**6, data["i"], data["p"], data["v"], data["S"] == "Buy")
                self.trades.append((Instrument("bybit", market, data["s"]), trade))
        elif topic[0] == "tickers":
            instrument = Instrument("bybit", market, message["data"]["symbol"])
            self.tickers.append((instrument, bybit_ticker(received, message)))
        elif topic[0] in BYBIT_FORCED:
            data = message["data"]
            for each in data if isinstance(data, list) else [data]:
                time, symbol, side, price, size = (each[name] for name in BYBIT_FORCED[topic[0]])
                forced = time * 10**6, side == "Buy", Fraction(price), Fraction(size), topic[0] == "allLiquidation"
                self.forced.append((Instrument("bybit", market, symbol), Forced(received, *forced)))
        if topic[0] != "orderbook":
            return
        data = message["data"]
        time = message.get("cts", message["ts"]) * 10**6
        event = Event(
            received, time, message["type"] == "snapshot", data["u"], data["u"], None, int(topic[1]), data["b"], data["a"]
        )
        self.add(Instrument("bybit", market, data["s"]), event)

    def binance_trade(self, instrument, received, data):
        """Of contracts `X` says what it is: other than matches of the book are in no bar."""
        if data.get("X", "MARKET") == "MARKET":
            number, time = data[BINANCE_TRADES[data["e"]]], data["T"] * 10**6
            trade = Trade(received, time, number, data["p"], data["q"], not data["m"])
            self.trades.append((instrument, trade))


def bybit_ticker(received, message):
    """Bybit counts both sides of what is open in `openInterest`."""
    data = {name: Fraction(text) for name, text in message["data"].items() if name in BYBIT_NUMBERS and text}
    once, both, funding, interval = (data.get(name) for name in BYBIT_NUMBERS)
    open_ = both / 2 if once is None and both is not None else once
    return Ticker(received, message["ts"] * 10**6, open_, funding, interval)


def binance_ticker(received, data):
    return Ticker(received, data["E"] * 10**6, None, Fraction(data["r"]) if data.get("r") else None, None)


def binance_forced(received, order):
    """At what it was filled, if that is told."""
    filled, asked = (tuple(Fraction(order[name]) for name in names) for names in (("ap", "z"), ("p", "q")))
    price, size = filled if min(filled) > 0 else asked
    return Forced(received, order["T"] * 10**6, order["S"] == "SELL", price, size, False)


def series_of(received, url, answer):
    """[(instrument, Ticker, Ratio or Margins)] of an answer that tells of contracts."""
    found = SERIES_URL.match(url)
    if not found:
        return []
    host, what, query = found[1], found[2], dict(part.split("=") for part in found[3].split("&") if part)
    if host == "api.bybit.com" and what in OF_BYBIT:
        told, time = defaultdict(list), answer["time"] * 10**6
        for entry in answer["result"]["list"]:
            told[Instrument("bybit", query["category"], entry.get("symbol") or query["symbol"])].append(entry)
        return [(instrument, event) for instrument in told for event in OF_BYBIT[what](received, time, told[instrument])]
    if MARKETS.get(host) in ("linear", "inverse"):
        instrument = Instrument("binance", MARKETS[host], query.get("symbol"))
        answers = answer if isinstance(answer, list) else [answer]
        return [(instrument, event) for event in binance_series(received, what, answers)]
    return []


def binance_series(received, what, answers):
    if what in BINANCE_RATIOS:
        return [ratio(received, BINANCE_RATIOS[what], each, "longAccount", "shortAccount") for each in answers]
    if what in ("openInterest", "openInterestHist"):
        time, size = ("timestamp", "sumOpenInterest") if what == "openInterestHist" else ("time", "openInterest")
        return [Ticker(received, each[time] * 10**6, Fraction(each[size]), None, None) for each in answers]
    return []


def ratio(received, kind, entry, long, short):
    return Ratio(received, int(entry["timestamp"]) * 10**6, kind, Fraction(entry[long]), Fraction(entry[short]))


def bybit_open(received, _, listed):
    """Counted twice."""
    told = [(int(entry["timestamp"]) * 10**6, Fraction(entry["openInterest"]) / 2) for entry in listed]
    return [Ticker(received, time, size, None, None) for time, size in told]


def bybit_ratios(received, _, listed):
    return [ratio(received, "account", entry, "buyRatio", "sellRatio") for entry in listed]


def bybit_margins(received, time, tiers):
    """In percent of inverse contracts: an initial margin is the reciprocal of the leverage."""
    tier = min(tiers, key=lambda tier: Fraction(tier["riskLimitValue"]))
    leverage, *margins = (Fraction(str(tier[name])) for name in ("maxLeverage", "initialMargin", "maintenanceMargin"))
    product = leverage * margins[0]
    unit = 100 if abs(product - 100) < abs(product - 1) else 1
    return [Margins(received, time, leverage, *(margin / unit for margin in margins))]


OF_BYBIT = {"open-interest": bybit_open, "account-ratio": bybit_ratios, "risk-limit": bybit_margins}


def partitions(entries, number_of):
    """[[(instrument, event)] in the order of the log] of each partition; `number_of` tells that of an instrument."""
    found, windows = defaultdict(list), defaultdict(dict)
    for instrument, event in entries:
        partition, end = number_of(instrument), -(-event.received // WINDOW)
        window = windows[partition, end]
        place = window.setdefault(instrument, len(window))
        found[partition].append((end, place, instrument, event))
    return [[entry[2:] for entry in sorted(entries, key=lambda entry: entry[:2])] for entries in found.values()]


def exact(numbers):
    parts = [number.partition(".") for number in numbers]
    places = max((len(fraction.rstrip("0")) for _, _, fraction in parts), default=0)
    return places <= 18 and all(int(whole + fraction[:places].ljust(places, "0")) < 2**63 for whole, _, fraction in parts)


def binance_delta(received, data):
    time = data.get("T", data["E"]) * 10**6
    return Event(received, time, False, data["U"], data["u"], data.get("pu"), None, data["b"], data["a"])


def binance_snapshot(received, data, asked):
    number = data["lastUpdateId"]
    time = data["T"] * 10**6 if "T" in data else received
    return Event(received, time, True, number, number, None, asked, data["bids"], data["asks"])


def text_of(path):
    name = str(path)
    if name.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return file.read()
    if name.endswith(".zst"):
        with pa.input_stream(name, compression="zstd") as stream:
            return io.TextIOWrapper(io.BytesIO(stream.read()), encoding="utf-8").read()
    return open(path, encoding="utf-8").read()
