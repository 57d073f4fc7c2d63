"""Reads the tables that are printed for an engine with a parser that is not ours: {"engine", "ddl"} on standard input, and a
line of JSON for each statement, {"statement", "columns": {name: type}, "properties": {name: SQL}}.
"""

import json
import sys

from sqlglot import exp, parse_one

# a view puts a record together with a call in a call in a call
sys.setrecursionlimit(100_000)


def read(tree):
    columns, properties = {}, {}
    if tree.args.get("kind") == "TABLE":
        columns = {column.name: column.kind.sql("trino").lower().replace('"', "") for column in tree.this.expressions}
    for each in tree.find_all(exp.Property):
        if isinstance(each, exp.PartitionedByProperty):
            properties["partitioned by"] = ",".join(column.name for column in each.this.expressions)
        elif type(each) is exp.Property:
            properties[each.name] = each.args["value"].name
        elif isinstance(each, exp.LocationProperty):
            properties["location"] = each.name
    return {"statement": f"{tree.key} {tree.args.get('kind') or ''}".strip(), "columns": columns, "properties": properties}


task = json.load(sys.stdin)
for text in task["ddl"].split(";\n"):
    if text.strip():
        print(json.dumps(read(parse_one(text, read=task["engine"]))))
