"""The recording the oracle works on: the BitMEX trades with some rows moved later in the file."""

import bisect
import io
import itertools
import random

import pyarrow as pa

EDGE_ROWS = 1000  # rows at both ends of the file that are never moved
QUIET_MINUTES = 12  # minutes of which every trade is late, so that they close as flat bars
DEADLINE_ROWS = 60  # trades that become known at, or next to, the close time of some bar
HOUR = 3_600_000
MINUTE = 60_000


def read_lines(path, rows):
    """Header and the first `rows` lines of the compressed CSV."""
    with pa.input_stream(str(path), compression="zstd") as stream:
        text = io.TextIOWrapper(io.BytesIO(stream.read()), encoding="ascii").read()
    lines = text.splitlines()
    return lines[0], lines[1 : rows + 1]


def event_time(line):
    return int(line.split(",", 1)[0])


def random_delay(rng):
    """0.3 s to 3 h: mostly small, some minutes, some beyond the horizon of 2 h."""
    kind = rng.random()
    if kind < 0.40:
        return rng.randint(300, MINUTE)
    if kind < 0.65:
        return rng.randint(MINUTE, 15 * MINUTE)
    if kind < 0.88:
        return rng.randint(15 * MINUTE, 2 * HOUR)
    return rng.randint(2 * HOUR, 3 * HOUR)


def choose(lines, times, late, rng):
    """Row -> row it is put behind, for `late` rows: whole quiet minutes, bar edges, close instants, and any rows."""
    rows = range(EDGE_ROWS, len(lines) - EDGE_ROWS)
    by_minute = {}
    for row in rows:
        by_minute.setdefault(times[row] // MINUTE, []).append(row)
    minutes = sorted(by_minute)[1:-1]
    moved = {}

    def behind(row, target):
        moved[row] = min(bisect.bisect_left(times, target), len(lines))

    quiet = [m for m in sorted(minutes, key=lambda m: (len(by_minute[m]), m))[: 4 * QUIET_MINUTES]]
    for minute in rng.sample(quiet, min(QUIET_MINUTES, len(quiet))):
        if len(moved) + len(by_minute[minute]) <= late // 5:
            delay = rng.randint(2 * MINUTE, 100 * MINUTE)
            for row in by_minute[minute]:
                behind(row, times[row] + delay)

    at_close = [row for row in rows if 201 <= times[row] % MINUTE <= 300]
    for target in rng.sample(at_close, min(DEADLINE_ROWS, late // 10, len(at_close))):
        early = times[target] - rng.choice([MINUTE, 5 * MINUTE, HOUR])
        row = rng.randrange(bisect.bisect_left(times, early), target)
        if row in rows and row not in moved:
            moved[row] = target

    while len(moved) < late:
        if rng.random() < 0.4:
            members = by_minute[rng.choice(minutes)]
            price = lambda row: float(lines[row].split(",")[1])
            row = rng.choice([members[0], members[-1], min(members, key=price), max(members, key=price)])
        else:
            row = rng.choice(rows)
        if row not in moved:
            behind(row, times[row] + random_delay(rng))
    return moved


def permute(lines, late, seed):
    """The lines with `late` of them moved behind the first row that is its delay later (or to the end)."""
    times = [event_time(line) for line in lines]
    moved = choose(lines, times, late, random.Random(seed))
    place = [(moved[row] + 0.5 if row in moved else row, row) for row in range(len(lines))]
    place.sort()
    return [lines[row] for _, row in place]


def write_csv(path, header, lines):
    """Each row with the time it was received at: that of the newest row up to it."""
    received = itertools.accumulate((event_time(line) for line in lines), max)
    lines = [f"{line},{at}" for line, at in zip(lines, received)]
    header += ",received"
    with open(path, "w", encoding="ascii", newline="\n") as file:
        file.write(header + "\n")
        file.write("\n".join(lines) + "\n")
