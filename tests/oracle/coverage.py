"""What the imported files of an instrument say of when its trades, and its klines, were followed."""

from timeline import BASE, HORIZON, round_up

LATER = float("inf")


class Span:
    """A time from one instant on to another, each known from some time on."""

    def __init__(self, first, last, known_first, known_last):
        self.first, self.last = first, last
        self.known_first, self.known_last = known_first, known_last

    def seen(self, end):
        """(first, last) as it counts for a bar that ends at `end`, or None: what becomes known more than the horizon
        and one base bar after it does not count; until its end is known a span goes on."""
        limit = end + HORIZON + BASE
        if self.known_first > limit:
            return None
        return self.first, self.last if self.known_last <= limit else LATER


class Coverage:
    """The states of one instrument: of `imports`, each (known, files), up to what is known before `before`."""

    def __init__(self, imports, before):
        self.connections, self.missing, self.histories = [], [], []
        for floor, files in imports:
            self.floor = floor
            self.numbers([f for f in files if f.kind == "trades"])
            for file in files:
                if file.kind != "trades":
                    self.histories.append(self.span(min(k.end for k in file.rows), max(k.end for k in file.rows)))
        for spans in (self.connections, self.missing, self.histories):
            spans[:] = [span for span in spans if span.known_first < before]
            for span in spans:
                if span.known_last >= before:
                    span.known_last = LATER

    def span(self, first, last):
        return Span(first, last, *(round_up(max(self.floor, time)) for time in (first, last)))

    def numbers(self, files):
        """Connections and missing trades of the files of one import. Two numbers are a jump if a file has both and no file
        has one between them."""
        ends = []
        for file in files:
            rows = sorted(file.rows)
            ends.append((rows[0].number, rows[-1].number, min(t.time for t in rows), max(t.time for t in rows)))
        chains = []  # [last number, first time, last time]
        for first_number, last_number, first, last in sorted(ends):
            before = [chain for chain in chains if chain[0] == first_number - 1]
            for chain in before:
                chain[0], chain[2] = last_number, last
            if not before:
                chains.append([last_number, first, last])
        self.connections += [self.span(first, last) for _, first, last in chains]

        trades = sorted({t.number: t for file in files for t in file.rows}.values())
        for before, behind in zip(trades, trades[1:]):
            within = any(first <= before.number and behind.number <= last for first, last, *_ in ends)
            if behind.number > before.number + 1 and within:
                self.missing.append(self.span(before.time, behind.time))

    def covered(self, start, end):
        for span in self.missing:
            seen = span.seen(end)
            if seen and seen[0] < end and start < seen[1]:
                return False
        connections = (span.seen(end) for span in self.connections)
        return any(seen and seen[0] <= start and end <= seen[1] for seen in connections)

    def last_sign(self, end):
        """The last instant before `end` at which the feed was connected or a history of klines went on, or None."""
        instants = []
        for span in self.connections + self.histories:
            seen = span.seen(end)
            if seen and seen[0] < end:
                instants.append(min(seen[1], end - 1))
        return max(instants, default=None)
