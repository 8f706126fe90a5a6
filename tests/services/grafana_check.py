"""Runs every query of Grafana's dashboards against a real QuestDB: grafana_check.py --host 127.0.0.1 --pg-port 8812

Variables and macros are expanded as Grafana's PostgreSQL data source does; the text goes over the Postgres wire with the simple
protocol, as Grafana sends it. A result must be one that Grafana can draw: known types and, for a time series, sorted times.
"""

import argparse
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

GRAFANA = Path(__file__).resolve().parents[2] / "schemas" / "grafana"
# Tables whose rows may be retracted: a query must say what it does about that.
DERIVED = ["bars", "order_flow", "footprint", "footprint_analysis", "book_features", "book_heat", "book_walls", "open_interest_analysis", "liquidation_analysis", "indicators", "component_scores", "dimension_scores", "confluence", "signals", "relations"]
# Type numbers of Postgres that Grafana reads as values; it shows others as text.
TIMES = {1082, 1114, 1184}
NUMBERS = {20, 21, 23, 700, 701, 1700}
TEXTS = {16, 18, 25, 1042, 1043}
# Grafana's steps of $__interval: the first limit in seconds above the exact one chooses.
STEPS = [
    (75, "1m"), (210, "2m"), (450, "5m"), (750, "10m"), (1_050, "15m"), (1_500, "20m"), (2_700, "30m"), (5_400, "1h"), (9_000, "2h"),
    (16_200, "3h"), (32_400, "6h"), (86_400, "12h"), (604_800, "1d"), (1_814_400, "7d"), (3_628_800, "30d"), (float("inf"), "1y"),
]  # fmt: skip


class Refused(Exception):
    """A query that Grafana or QuestDB would refuse, or whose answer Grafana could not draw."""


class Check:
    """One connection, one range of time and what was counted."""

    def __init__(self, connection, start, end):
        self.connection = connection
        self.start, self.end = start, end
        self.n_queries = self.n_failed = 0

    def report(self, dashboard, name, run):
        """Calls `run`, prints one line and gives the rows, or None if it failed."""
        self.n_queries += 1
        try:
            rows = run()
        except (Refused, psycopg.Error) as error:
            self.n_failed += 1
            print(f"{dashboard} | {name} | FAILED: {' '.join(str(error).split())}")
            return None
        print(f"{dashboard} | {name} | {len(rows)} rows")
        return rows

    def run(self, sql, variables, form="table", interval="1m"):
        """Expands and runs one query."""
        unsaid = [table for table in DERIVED if re.search(rf"\b(FROM|JOIN)\s+{table}\b", sql) and "retracted" not in sql]
        if unsaid:
            raise Refused(f"says nothing about retracted rows of {', '.join(unsaid)}")
        text = self.macros(interpolate(sql, variables), interval)
        with self.connection.cursor() as cursor:
            cursor.execute(text)
            if not (cursor.statusmessage or "").startswith("SELECT"):
                raise Refused(f"is no SELECT but {cursor.statusmessage}")
            rows = cursor.fetchall()
            drawable(cursor.description, rows, form)
        return rows

    def macros(self, sql, interval):
        """Replaces Grafana's macros."""
        sql = sql.replace("$__interval_ms", "60000").replace("$__interval", interval)

        def macro(match):
            name, argument = match[1], match[2].strip()
            start, end = (f"'{iso(at)}'" for at in (self.start, self.end))
            known = {
                "__timeFrom": start,
                "__timeTo": end,
                "__timeFilter": f"{argument} BETWEEN {start} AND {end}",
                "__time": f'{argument} AS "time"',
            }
            if name not in known:
                raise Refused(f"unknown macro ${name}")
            return known[name]

        sql = re.sub(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)", macro, sql)
        left = re.search(r"\$\{?[_a-zA-Z]\w*", sql)
        if left:
            raise Refused(f"unknown variable {left[0]}")
        return sql

    def interval(self, panel):
        """What $__interval would be in this panel; none here is below a minute."""
        seconds = (self.end - self.start).total_seconds() / panel.get("maxDataPoints", 1_000)
        return next(step for limit, step in STEPS if seconds < limit)


def iso(at):
    """A time as Go writes it in RFC 3339: no fraction if there is none."""
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return text + "Z"


def drawable(description, rows, form):
    """Refuses an answer that Grafana could not draw."""
    columns = {column.name: column.type_code for column in description}
    if len(columns) < len(description):
        raise Refused("two columns have the same name")
    strange = [name for name, code in columns.items() if code not in TIMES | NUMBERS | TEXTS]
    if strange:
        raise Refused(f"columns of unknown type: {', '.join(strange)}")
    if form != "time_series":
        return
    if columns.get("time") not in TIMES:
        raise Refused("a time series needs a column `time`")
    if not NUMBERS & set(columns.values()):
        raise Refused("a time series needs a number")
    at = list(columns).index("time")
    times = [row[at] for row in rows]
    if None in times or times != sorted(times):
        raise Refused("times are not sorted")


def interpolate(sql, variables):
    """Replaces $name, ${name} and ${name:regex} by the variables' values."""

    def value(match):
        name, form = match[1] or match[2], match[3]
        if name.startswith("__") or name not in variables:
            return match[0]
        values, is_multi, is_all = variables[name]
        if is_all:
            return values
        if form == "regex":
            escaped = [re.sub(r"([\\^$*+?.()|\[\]{}/])", r"\\\1", value) for value in values]
            return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
        if form:
            raise Refused(f"this check knows no format {form}")
        quoted = [value.replace("'", "''") for value in values]
        return ",".join(f"'{value}'" for value in quoted) if is_multi else "".join(quoted)

    return re.sub(r"\$(?:(\w+)|\{(\w+)(?::(\w+))?\})", value, sql)


def choose(variable, options):
    """The value a fresh dashboard shows: (values, is it a list, is it the text for all)."""
    is_multi = bool(variable.get("multi") or variable.get("includeAll"))
    wanted = variable.get("current", {}).get("value", [])
    wanted = wanted if isinstance(wanted, list) else [wanted]
    if wanted == ["$__all"]:
        if variable.get("allValue"):
            return variable["allValue"], is_multi, True
        return options, is_multi, False
    kept = [value for value in wanted if value in options]
    return kept or options[:1] or [""], is_multi, False


def check_dashboard(check, path, source):
    """Runs all queries of one dashboard: as it opens, then with another choice of each variable."""
    board = json.loads(path.read_text())
    title = board["title"]
    variables, others = {}, []
    for variable in board["templating"]["list"]:
        name = variable["name"]

        def query(variable=variable):
            if variable["type"] != "query":
                raise Refused(f"this check knows no variable of type {variable['type']}")
            expect_source(variable, source)
            return check.run(variable["query"], variables)

        rows = check.report(title, f"variable {name}", query)
        options = [str(row[0]) for row in rows or []]
        variables[name] = choose(variable, options)
        if len(options) > 1:
            other = options[-2:] if variable["multi"] else options[-1:]
            others.append((name, (other, variables[name][1], False)))
    check_queries(check, board, title, variables, source)
    for name, choice in others:
        check_queries(check, board, f"{title} ({name} {' '.join(choice[0])})", {**variables, name: choice}, source)


def check_queries(check, board, title, variables, source):
    """Runs the queries of annotations and panels."""
    queries = [
        (f"annotation {annotation['name']}", annotation["target"], {})
        for annotation in board["annotations"]["list"]
        if "target" in annotation
    ]
    for panel in board["panels"]:
        queries += [(f"{panel['title']} {target['refId']}", target, panel) for target in panel["targets"]]
    for name, target, panel in queries:

        def query(target=target, panel=panel):
            expect_source(target, source)
            return check.run(target["rawSql"], variables, target["format"], check.interval(panel))

        check.report(title, name, query)


def expect_source(query, source):
    """Refuses a query to a data source that is not provisioned."""
    asked = query["datasource"]["uid"]
    if asked != source:
        raise Refused(f"asks data source {asked}, not {source}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--pg-port", type=int, default=8812)
    parser.add_argument("--from", dest="start", type=datetime.fromisoformat, default=datetime(2020, 1, 1, tzinfo=UTC))
    parser.add_argument("--to", dest="end", type=datetime.fromisoformat, default=datetime.now(UTC) + timedelta(days=1))
    args = parser.parse_args()
    text = (GRAFANA / "provisioning" / "datasources" / "questdb.yml").read_text()
    source = re.search(r"^\s*uid:\s*(\S+)", text, re.MULTILINE)[1]
    with psycopg.connect(
        host=args.host, port=args.pg_port, user="admin", password="quest", dbname="qdb", autocommit=True, connect_timeout=10
    ) as connection:
        check = Check(connection, args.start, args.end)
        for path in sorted((GRAFANA / "dashboards").glob("*.json")):
            check_dashboard(check, path, source)
    print(f"{check.n_queries} queries, {check.n_failed} failed")
    return 1 if check.n_failed or not check.n_queries else 0


if __name__ == "__main__":
    sys.exit(main())
