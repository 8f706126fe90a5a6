"""Signals, where each would be given up and closed, and what happened to it: METHODS.md 6, tables `signals` and
`signal_events`. Times are milliseconds."""

from collections import Counter, namedtuple

from known import Table
from setups import NO_PLAN

PROFILE = "prism"
BULLISH, BEARISH = "BULLISH", "BEARISH"
RAISED, TARGET_1, TARGET_2, STOP = "raised", "target_1", "target_2", "stop"
CLOSED, SUPERSEDED, ACTIVE, WITHDRAWN = "closed", "superseded", "active", "withdrawn"
TABLES = "signals", "signal_events"
STATUS = 5  # its place in a row
NANOSECONDS = 10**6  # of a millisecond

Settings = namedtuple("Settings", "bullish bearish hysteresis cooldown risk position_max")
DEFAULT = Settings(70.0, 30.0, 3.0, 300_000, 0.001, 5.0)
OFTEN = Settings(54.0, 46.0, 3.0, 180_000, 0.0001, 1.0)
BRISK = OFTEN._replace(cooldown=3_000)
COLUMNS = "ts ts_close timeframe profile signal status status_ts score strength reliability price entry_price stop_loss".split()
COLUMNS += "stop_basis target_1 target_2 risk_reward position_size_percent stop_ts target_1_ts target_2_ts".split()
EVENT_COLUMNS = "ts ts_close timeframe event_ts price score".split()
TIMES = {"ts", "ts_close", "status_ts", "event_ts", "stop_ts", "target_1_ts", "target_2_ts"}
# Of a row of confluence: the bar, what is read of the row, and the bar's setup or None.
Point = namedtuple("Point", "bar score reliability setup")
Event = namedtuple("Event", "row point name price")


def text(settings):
    """As a section of a configuration."""
    values = settings._asdict() | {"cooldown": f'"{settings.cooldown}ms"'}
    return "\n".join(["[signals]", *(f"{name} = {value}" for name, value in values.items()), ""])


def fnv1a(text_):
    value = 0xCBF29CE484222325
    for byte in text_.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return f"{value:016x}"


class Signal:
    """`events` are those so far, the first one its raising."""

    def __init__(self, instrument, row, direction, point):
        self.direction, self.point = direction, point
        self.identity = fnv1a("|".join([*instrument, PROFILE, str(point.bar.start * NANOSECONDS), direction]))
        self.events = [Event(row, point, RAISED, point.bar.close)]
        setup = point.setup
        self.plan = (setup.long if direction == BULLISH else setup.short) if setup else NO_PLAN

    @property
    def row(self):
        return self.events[0].row

    def ended(self):
        """Closed or superseded."""
        return self.events[-1].name in (CLOSED, SUPERSEDED)

    def has(self, name):
        return any(event.name == name for event in self.events)

    def reaches(self, bar):
        """The events of a bar, each with its price."""
        if self.plan.stop is None or self.has(STOP):
            return []
        bullish = self.direction == BULLISH
        if bar.low <= self.plan.stop if bullish else bar.high >= self.plan.stop:
            return [(STOP, self.plan.stop)]
        targets = [(TARGET_1, self.plan.target_1), (TARGET_2, self.plan.target_2)]
        reached = [(name, price) for name, price in targets if (bar.high >= price if bullish else bar.low <= price)]
        return [(name, price) for name, price in reached if not self.has(name)]

    def values(self, base, settings, events):
        """Of the columns of `signals`, when so many of its events have happened."""
        bar, score, reliability, _ = self.point
        last, entry, plan = events[-1], bar.close, self.plan
        status = (last.name, last.point.bar.end) if last.name in (CLOSED, SUPERSEDED) else (ACTIVE, None)
        ratio = size = None
        if plan.stop is not None:
            risked = abs(entry - plan.stop)
            ratio = abs(plan.target_1 - entry) / risked
            size = min(settings.position_max, 100 * settings.risk * entry / risked) * reliability
        times = {event.name: event.point.bar.end for event in events}
        return (
            (bar.start, bar.end, base, PROFILE, self.direction, *status, score, abs(score - 50) / 50, reliability, bar.close)
            + (entry, *plan, ratio, size, *(times.get(name) for name in (STOP, TARGET_1, TARGET_2)))
        )

    def event_values(self, base, event):
        bar = self.point.bar
        return bar.start, bar.end, base, event.point.bar.end, event.price, event.point.score


class Signals:
    """The signals of rows of confluence; cutting it forgets what happened from a row on."""

    def __init__(self, instrument, settings=DEFAULT):
        self.instrument, self.settings, self.list = instrument, settings, []

    def cut(self, first):
        self.list = [signal for signal in self.list if signal.row < first]
        for signal in self.list:
            signal.events = [event for event in signal.events if event.row < first]

    def may_raise(self, direction, end):
        raised = [signal.point.bar.end for signal in self.list if signal.direction == direction]
        return not raised or end - raised[-1] >= self.settings.cooldown

    def wanted(self, score):
        return BULLISH if score >= self.settings.bullish else BEARISH if score <= self.settings.bearish else None

    def goes_on(self, direction, score):
        if direction == BULLISH:
            return score >= self.settings.bullish - self.settings.hysteresis
        return score <= self.settings.bearish + self.settings.hysteresis

    def append(self, row, point):
        """Takes the next row."""
        open_signal = self.list[-1] if self.list and not self.list[-1].ended() else None
        wanted = self.wanted(point.score)
        if open_signal:
            open_signal.events += [Event(row, point, *reached) for reached in open_signal.reaches(point.bar)]
            if self.goes_on(open_signal.direction, point.score):
                return
        raises = wanted and self.may_raise(wanted, point.bar.end)
        if open_signal:
            open_signal.events.append(Event(row, point, SUPERSEDED if raises else CLOSED, point.bar.close))
        if raises:
            self.list.append(Signal(self.instrument, row, wanted, point))


# Versions


class Written:
    """Both tables of an instrument, while its rows are corrected."""

    def __init__(self, instrument, base, settings=DEFAULT):
        self.base, self.signals = base, Signals(instrument, settings)
        self.tables = {name: Table() for name in TABLES}

    def update(self, first, points, time):
        """`points` are those of the rows from `first` on, by row."""
        before = keys(self.signals.list, first)
        self.signals.cut(first)
        touched = max(0, len(self.signals.list) - 1)  # the newest that stays may end otherwise now
        for row, point in points.items():
            self.signals.append(row, point)
        for signal in self.signals.list[touched:]:
            values = signal.values(self.base, self.signals.settings, signal.events)
            self.tables["signals"].put((signal.identity,), time, values)
            for event in signal.events:
                self.tables["signal_events"].put((signal.identity, event.name), time, signal.event_values(self.base, event))
        for identity, name in before - keys(self.signals.list[touched:], first):
            self.tables["signal_events"].drop((identity, name), time)
            if name == RAISED:
                self.tables["signals"].drop((identity,), time, withdrawn)


def keys(signals, first):
    """Of the events from a row on."""
    return {(signal.identity, event.name) for signal in signals for event in signal.events if event.row >= first}


def withdrawn(values):
    return *values[:STATUS], WITHDRAWN, *values[STATUS + 1 :]


def versions(signals, base):
    """(table, key, bar with whose close it is known, values) of all that happened to each, oldest first."""
    for signal in signals.list:
        for number, event in enumerate(signal.events, 1):
            bar = event.point.bar
            yield "signals", (signal.identity,), bar, signal.values(base, signals.settings, signal.events[:number])
            yield "signal_events", (signal.identity, event.name), bar, signal.event_values(base, event)


def rows(scored, confluence, instrument, settings):
    """({(start, signal_id): row}, {(start, signal_id, event): row}) of a bookscores.Scored and its rows of `confluence`, times
    in nanoseconds; which versions there were is not told."""
    series, found = scored.series[0], Signals(instrument, settings)
    for row, bar in enumerate(series.bars):
        of_bar = confluence.get((bar.start,))
        if of_bar:
            in_ms = bar._replace(start=bar.start // NANOSECONDS, end=bar.end // NANOSECONDS)
            found.append(row, Point(in_ms, of_bar["score"], of_bar.get("reliability", 0.0), series.setups[bar]))
    of_signals, of_events = {}, {}
    for signal in found.list:
        key = signal.point.bar.start * NANOSECONDS, signal.identity
        of_signals[key] = row_of(COLUMNS, signal.values(series.name, settings, signal.events))
        for event in signal.events:
            of_events[*key, event.name] = row_of(EVENT_COLUMNS, signal.event_values(series.name, event))
    return of_signals, of_events


def row_of(columns, values):
    row = {name: value and value * NANOSECONDS if name in TIMES else value for name, value in zip(columns, values)}
    return row | {"retracted": False}


def summary(table):
    """How many events of each name there are, and how many were taken back."""
    names = Counter(key[-1] for key, history in table.rows.items() if not history[-1][1])
    gone = Counter(key[-1] for key, history in table.rows.items() if history[-1][1])
    return "; ".join(f"{names[name]} {name}, {gone[name]} more taken back" for name in sorted(names | gone))
