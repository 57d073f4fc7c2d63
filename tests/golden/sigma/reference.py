"""Which records each Sigma rule matches: pySigma reads the rules, what it read is evaluated here.

Arguments: files of rules. Standard input: a record on each line. Standard output: for each rule, by its name, the numbers of the
lines that it matches. Written from the specification, without a look at the matcher that it is compared with.
"""

import ipaddress
import json
import re
import sys
from decimal import Decimal, InvalidOperation

from sigma.collection import SigmaCollection
from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.correlations import SigmaCorrelationRule
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SpecialChars,
)

FLAGS = {
    SigmaRegularExpressionFlag.IGNORECASE: re.I,
    SigmaRegularExpressionFlag.MULTILINE: re.M,
    SigmaRegularExpressionFlag.DOTALL: re.S,
}


class Number(str):
    """A number of JSON, as written."""


def elements(value):
    return value if isinstance(value, list) else [value]


def ends(record, field):
    """What lies at the end of a dotted name; arrays on the way stand for their elements."""
    found = [record]
    for name in field.split("."):
        inner = [one for value in found for one in elements(value)]
        found = [one[name] for one in inner if isinstance(one, dict) and name in one]
    return found


def values(record, field):
    return [one for end in ends(record, field) for one in elements(end)]


def text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else None


def texts(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [one for inner in value for one in texts(inner)]
    return [] if text(value) is None else [text(value)]


def pattern(string, around=""):
    parts = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}
    body = "".join(re.escape(part) if isinstance(part, str) else parts[part] for part in string.s)
    flags = re.S if isinstance(string, SigmaCasedString) else re.S | re.I
    return re.compile(around + body + around, flags)


def as_number(given):
    try:
        return Decimal(given)
    except (InvalidOperation, TypeError):
        return None


def compare(expression, given):
    number = as_number(given)
    if number is None:
        return False
    bound = Decimal(str(expression.number.number))
    return {
        CompareOperators.LT: number < bound,
        CompareOperators.LTE: number <= bound,
        CompareOperators.GT: number > bound,
        CompareOperators.GTE: number >= bound,
    }[expression.op]


def inside(network, given):
    try:
        return ipaddress.ip_address(given) in network
    except ValueError:
        return False


def of_text(value, given):
    """Whether a text is what a rule's value asks for."""
    if isinstance(value, SigmaString):
        return pattern(value).fullmatch(given) is not None
    if isinstance(value, SigmaRegularExpression):
        flags = sum(FLAGS[flag] for flag in value.flags)
        return re.search(value.regexp.to_plain(regex=True), given, flags) is not None
    if isinstance(value, SigmaCIDRExpression):
        return inside(value.network, given)
    if isinstance(value, SigmaCompareExpression):
        return compare(value, given)
    if isinstance(value, SigmaNumber):
        return given == str(value.number)
    if isinstance(value, SigmaBool):
        return given.lower() == str(bool(value)).lower()
    raise NotImplementedError(type(value))


def referred(reference, given, record):
    for other in (text(one) for one in values(record, reference.field)):
        if other is None:
            continue
        one, other = given.lower(), other.lower()
        if reference.starts_with and reference.ends_with:
            held = other in one
        elif reference.starts_with:
            held = one.startswith(other)
        elif reference.ends_with:
            held = one.endswith(other)
        else:
            held = one == other
        if held:
            return True
    return False


def of_value(value, given, record):
    if isinstance(given, (dict, list)):
        if not isinstance(value, SigmaString) or not value.s:
            return False
        if value.s == [SpecialChars.WILDCARD_MULTI]:
            return True
        searches = value.s[0] == value.s[-1] == SpecialChars.WILDCARD_MULTI
        return searches and any(of_text(value, one) for one in texts(given))
    if given is None:
        return False
    if isinstance(value, SigmaFieldReference):
        return referred(value, text(given), record)
    if isinstance(value, SigmaNumber) and isinstance(given, Number):
        return Decimal(given) == Decimal(str(value.number))
    if isinstance(value, SigmaNumber) and isinstance(given, bool):
        return False
    return of_text(value, text(given))


def asks(field, value, record):
    if isinstance(value, SigmaExpansion):
        return any(asks(field, one, record) for one in value.values)
    if isinstance(value, SigmaNull):
        return not ends(record, field) or None in values(record, field)
    if isinstance(value, SigmaExists):
        return bool(ends(record, field)) == bool(value)
    return any(of_value(value, given, record) for given in values(record, field))


def keyword(value, record):
    if isinstance(value, SigmaExpansion):
        return any(keyword(one, record) for one in value.values)
    if isinstance(value, SigmaString):
        return any(pattern(value, ".*").fullmatch(one) for one in texts(record))
    return any(of_text(value, one) for one in texts(record))


def holds(condition, record):
    if isinstance(condition, ConditionAND):
        return all(holds(one, record) for one in condition.args)
    if isinstance(condition, ConditionOR):
        return any(holds(one, record) for one in condition.args)
    if isinstance(condition, ConditionNOT):
        return not holds(condition.args[0], record)
    if isinstance(condition, ConditionFieldEqualsValueExpression):
        return asks(condition.field, condition.value, record)
    return keyword(condition.value, record)


def main():
    records = [json.loads(line, parse_int=Number, parse_float=Number) for line in sys.stdin]
    matched = {}
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            rules = SigmaCollection.from_yaml(file.read())
        for rule in rules:
            if isinstance(rule, SigmaCorrelationRule):
                continue
            conditions = [condition.parsed for condition in rule.detection.parsed_condition]
            lines = [n for n, one in enumerate(records) if any(holds(condition, one) for condition in conditions)]
            matched[rule.title] = lines
    json.dump(matched, sys.stdout)


main()
