"""What the imported files of an instrument say of when its trades, and its klines, were followed."""

from markets import FRAMES
from timeline import BASE, HORIZON, round_up

LATER = float("inf")


class Span:
    """A time from one instant on to another, each known from some time on."""

    def __init__(self, first, last, known_first, known_last):
        self.first, self.last = first, last
        self.known_first, self.known_last = known_first, known_last

    def seen(self, end):
        """(first, last) as it counts for a bar of trades that ends at `end`, or None: what becomes known more than the
        horizon and one base bar after it does not count; until its end is known a span goes on."""
        limit = end + HORIZON + BASE
        if self.known_first > limit:
            return None
        return self.first, self.last if self.known_last <= limit else LATER


class Recording:
    """Files of one import whose numbers follow each other: when it was connected, and when trades were missing."""

    def __init__(self, connection, missing):
        self.connection, self.missing = connection, missing

    def covered(self, start, end):
        connected = self.connection.seen(end)
        if not connected or start < connected[0] or connected[1] < end:
            return False
        missing = (span.seen(end) for span in self.missing)
        return not any(seen and seen[0] < end and start < seen[1] for seen in missing)


class Coverage:
    """The states of one instrument: of `imports`, each (floors, files), up to what is known before `before`."""

    def __init__(self, imports, before):
        self.before = before
        self.recordings, self.histories = [], {}  # histories: spans by timeframe
        for floors, files in imports:
            self.floor = floors.states
            self.record([f for f in files if f.kind == "trades"])
            for file in files:
                if file.kind != "trades":
                    ends = [kline.end for kline in file.rows]
                    self.histories.setdefault(file.kind, []).extend(self.spans([(min(ends), max(ends))]))

    def spans(self, times):
        """Those of the times, each (first, last), of which something is known."""
        found = []
        for first, last in times:
            known_first, known_last = (round_up(max(self.floor, time)) for time in (first, last))
            if known_first < self.before:
                found.append(Span(first, last, known_first, known_last if known_last < self.before else LATER))
        return found

    def record(self, files):
        """The recordings of one import."""
        numbers = [(min(file.rows).number, max(file.rows).number) for file in files]
        chains = []  # lists of files
        for (first, _), file in sorted(zip(numbers, files)):
            before = [chain for chain in chains if max(chain[-1].rows).number == first - 1]
            for chain in before:
                chain.append(file)
            if not before:
                chains.append([file])
        for chain in chains:
            times = [t.time for file in chain for t in file.rows]
            for connection in self.spans([(min(times), max(times))]):
                self.recordings.append(Recording(connection, self.spans(missing(chain, files))))

    def covered(self, start, end):
        return any(recording.covered(start, end) for recording in self.recordings)

    def last_sign(self, end, length, time):
        """The last instant before `end` at which the feed was connected or a history of klines of at most this length
        went on as it was known at a time, or None."""
        spans = [recording.connection.seen(end) for recording in self.recordings]
        for name, histories in self.histories.items():
            if FRAMES[name] <= length:
                known = (span for span in histories if span.known_first <= time)
                spans += [(span.first, span.last if span.known_last <= time else LATER) for span in known]
        return max((min(last, end - 1) for first, last in filter(None, spans) if first < end), default=None)


def is_instant(jump):
    return jump[0] == jump[1]


def missing(chain, files):
    """(time before, time behind) of the jumps within each file of a chain that no other file of its import makes up for.
    One within an instant is one with the jump that ends there or, if there is none, with the one that begins there."""
    held = [(file, {trade.number for trade in file.rows}) for file in files]
    found = []
    for file in chain:
        trades = sorted(file.rows)
        for before, behind in zip(trades, trades[1:]):
            lost = range(before.number + 1, behind.number)
            if not lost or any(other is not file and numbers.issuperset(lost) for other, numbers in held):
                continue
            jump = before.time, behind.time
            if found and found[-1][1] == before.time and (is_instant(jump) or is_instant(found[-1])):
                jump = found.pop()[0], behind.time
            found.append(jump)
    return found
