"""Asks an engine the queries of ../athena over the files of an archive, by the DDL that was printed for it.

Standard input: {"engine", "ddl", "files", "records", "queries": {name: SQL for Athena}, "command"}. Standard output: a line of
JSON for each query, {"query", "rows"}, where a row is its values in their order: text, whole numbers, null.
"""

import json
import subprocess
import sys

# Which records there are, byte for byte: their hashes. No dialect has anything to adapt in it.
WHOLE = "SELECT md5(record) FROM cloudtrail ORDER BY 1"


def transpiled(query, dialect):
    import sqlglot

    tree = sqlglot.parse_one(query, read="athena")
    for table in tree.find_all(sqlglot.exp.Table):
        if table.name == "cloudtrail_logs":
            table.this.set("this", "cloudtrail")
    return tree.sql(dialect)


def statements(ddl):
    return [part for part in ddl.split(";\n") if part.strip()]


def duckdb(task):
    import duckdb

    con = duckdb.connect()
    # it would be drawn between the answers
    con.execute("SET enable_progress_bar = false")
    for statement in statements(task["ddl"]):
        con.execute(statement)
    yield "whole", con.execute(WHOLE).fetchall()
    for name, query in task["queries"].items():
        yield name, con.execute(transpiled(query, "duckdb")).fetchall()


def spark(task):
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.warehouse.dir": task["scratch"],
        "spark.local.dir": task["scratch"],
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    for statement in statements(task["ddl"]):
        session.sql(statement)
    yield "whole", session.sql(WHOLE).collect()
    for name, query in task["queries"].items():
        yield name, session.sql(transpiled(query, "spark")).collect()
    session.stop()


def polars(task):
    import by_polars

    yield from by_polars.answers(task["files"])


def hand(task):
    import by_hand

    yield from by_hand.answers(task["records"])


def command(task):
    """A program that prints a JSON object a row for the SQL that is its last argument, as it stands for Athena."""
    for name, query in task["queries"].items():
        run = subprocess.run(task["command"] + [query], stdout=subprocess.PIPE, check=True)
        yield name, [list(json.loads(line).values()) for line in run.stdout.splitlines()]


def main():
    task = json.load(sys.stdin)
    engines = {"duckdb": duckdb, "spark": spark, "polars": polars, "hand": hand, "command": command}
    for name, rows in engines[task["engine"]](task):
        print(json.dumps({"query": name, "rows": [list(row) for row in rows]}), flush=True)


main()
