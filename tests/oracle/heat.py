"""What a book has near mid: its slope, its buckets with their strongest clusters, and the rows of `book_heat`. METHODS.md 8,
"Heat".

Prices and sizes are whole numbers of the book's units; of prices `both` is twice mid. Bids' keys are negative prices."""

from collections import namedtuple
from fractions import Fraction
from itertools import groupby

SLOPED = 25  # levels
FEWEST = 4  # known buckets of a side that can have a cluster
BESIDE_MEAN = Fraction(3, 2)

# `place` as the column `bucket`; `price` times its sizes is their sum of price x size.
Bucket = namedtuple("Bucket", "place number size levels value")
Heat = namedtuple("Heat", "height bids asks")  # known buckets, from mid on
# One of both tables' intervals; `version` is what can be told of known_at and revision of rows that only quality changes.
Told = namedtuple("Told", "start end quality version")


def slope(side, both):
    """Size for a basis point; None where fewer levels than 25 are all that is known."""
    keys = side.keys[: min(SLOPED, side.within())]
    if len(keys) < SLOPED and not side.whole:
        return None
    size = product = square = 0
    for key in keys:
        size += side.sizes[key]
        distance = abs(2 * abs(key) - both)  # both / 10,000 of it are a basis point
        product += size * distance
        square += distance * distance
    return Fraction(product * both, 10_000 * square)


def height(mid):
    """The least of 1, 2 and 5 x 10^k that is not below 5 basis points of mid."""
    least, power = mid / 2_000, Fraction(1)
    while power > least:
        power /= 10
    while True:
        for step in 1, 2, 5:
            if power * step >= least:
                return power * step
        power *= 10


def buckets(side, both, unit, w):
    """The known ones of a side; a price is `unit` times its number."""
    mid, far = Fraction(both, 2), Fraction(both * (100 + side.sign), 200)
    per_bucket = w / unit
    up, down = per_bucket.denominator, per_bucket.numerator
    first, last = (int(price * up // down) for price in (mid, far))
    keys = side.keys[: side.within()]
    levels = {}
    for key in keys:
        number = abs(key) * up // down
        if side.sign * number > side.sign * last:
            break
        levels.setdefault(number, []).append(key)
    found = []
    for place, number in enumerate(range(first, last + side.sign, side.sign), 1):
        end = number + (side.sign > 0)  # the bucket's far one, in buckets
        if not side.whole and side.sign * end * down > keys[-1] * up:
            break
        of_bucket = levels.get(number, [])
        sizes = [side.sizes[key] for key in of_bucket]
        value = sum(abs(key) * size for key, size in zip(of_bucket, sizes))
        found.append(Bucket(side.sign * place, number, sum(sizes), len(sizes), value))
    return found


def heat(book):
    bid, _, ask, _ = book.top()
    both, unit = bid + ask, Fraction(1, 10**book.units.price)
    w = height(Fraction(both, 2) * unit)
    return Heat(w, *(buckets(side, both, unit, w) for side in (book.bids, book.asks)))


def strongest(known):
    """(mean price in units, share) of the strongest cluster, Nones if there is none."""
    total = sum(bucket.size for bucket in known)
    if len(known) < FEWEST or not total:
        return None, None
    least = BESIDE_MEAN * total / len(known)
    runs = [list(run) for is_high, run in groupby(known, lambda bucket: bucket.size >= least) if is_high]
    if not runs:
        return None, None
    best = max(runs, key=lambda run: sum(bucket.size for bucket in run))  # the first of equal ones
    size = sum(bucket.size for bucket in best)
    return Fraction(sum(bucket.value for bucket in best), size), Fraction(size, total)


def columns(book, found):
    """The columns of book_features that stand between slippage and what is over the interval."""
    bid, _, ask, _ = book.top()
    price, size = 10**book.units.price, 10**book.units.size
    slopes = [slope(side, bid + ask) for side in (book.bids, book.asks)]
    row = {f"{name}_slope": None if x is None else float(x / size) for name, x in zip(("bid", "ask"), slopes)}
    for name, known in ("support", found.bids), ("resistance", found.asks):
        mean, share = strongest(known)
        row |= {name: None if mean is None else float(mean / price), f"{name}_share": None if share is None else float(share)}
    return row


COLUMNS = ["bid_slope", "ask_slope", "support", "support_share", "resistance", "resistance_share"]


def told(rows, found, stored):
    """Of each row of book_features that is no gap and has a book at hand. Where nothing tells of a bar's versions, or of its
    quality (`found`), the row `stored` does: if it has one version, its quality never changed."""
    for start, row in found.items():
        end, other = start + rows.settings.base, stored.get((start,), {})
        quality = row.get("quality", other.get("quality", "gap"))
        if quality == "gap" or not rows.at_end[end]:
            continue
        of = row if "known_at" in row else other if other.get("revision") == 0 else {}
        yield Told(start, end, quality, {name: of[name] for name in ("known_at", "revision") if name in of})


def heat_rows(rows, found, stored):
    """{(start, bucket): row}."""
    table, size = {}, 10**rows.units.size
    for start, end, quality, version in told(rows, found, stored):
        of_end = rows.heat[end]
        for side, known in ("bid", of_end.bids), ("ask", of_end.asks):
            for bucket in known:
                table[start, bucket.place] = {
                    "ts_close": end, "side": side,
                    "price_from": float(bucket.number * of_end.height), "price_to": float((bucket.number + 1) * of_end.height),
                    "size": bucket.size / size, "n_levels": bucket.levels, "quality": quality, "retracted": False, **version,
                }  # fmt: skip
    return table
