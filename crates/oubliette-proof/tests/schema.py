#!/usr/bin/env python3
"""Checks JSON documents against a JSON Schema, as far as schema/certificate-v1.json uses it.

    schema.py SCHEMA FILE...

A word of the schema language that is not known here is an error, so that nothing is skipped silently.
"""

import json
import re
import sys

ANNOTATIONS = {"$schema", "$id", "$defs", "title", "description"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def check(value, schema, root, where="$"):
    def need(condition, why):
        if not condition:
            raise ValueError(f"{where}: {why}")

    for word, rule in schema.items():
        if word == "$ref":
            target = root
            for part in rule.removeprefix("#/").split("/"):
                target = target[part]
            check(value, target, root, where)
        elif word == "type":
            need(any(is_type(value, name) for name in ([rule] if isinstance(rule, str) else rule)), f"not {rule}")
        elif word == "const":
            need(value == rule, f"not {rule}")
        elif word == "enum":
            need(value in rule, f"not one of {rule}")
        elif word == "pattern":
            need(not isinstance(value, str) or re.search(rule, value), f"does not match {rule}")
        elif word in ("minimum", "maximum"):
            good = value >= rule if word == "minimum" else value <= rule
            need(not is_type(value, "integer") or good, f"{word} {rule}")
        elif word in ("minItems", "maxItems", "minLength", "maxLength"):
            sized = isinstance(value, (str, list))
            good = not sized or (len(value) >= rule if word.startswith("min") else len(value) <= rule)
            need(good, f"{word} {rule}")
        elif word == "required":
            need(all(name in value for name in rule), f"not all of {rule}")
        elif word == "additionalProperties":
            need(rule is False and set(value) <= set(schema["properties"]), "members that nobody knows")
        elif word == "properties":
            for name, part in rule.items():
                if name in value:
                    check(value[name], part, root, f"{where}.{name}")
        elif word == "items":
            for number, item in enumerate(value):
                check(item, rule, root, f"{where}[{number}]")
        elif word == "anyOf":
            errors = []
            for part in rule:
                try:
                    check(value, part, root, where)
                    break
                except ValueError as error:
                    errors.append(str(error))
            need(len(errors) < len(rule), "; ".join(errors))
        else:
            need(word in ANNOTATIONS, f"the schema's word {word} is not known here")


def main(arguments):
    with open(arguments[0], encoding="utf-8") as file:
        schema = json.load(file)
    for name in arguments[1:]:
        with open(name, encoding="utf-8") as file:
            check(json.load(file), schema, schema)
        print("fits", name)


if __name__ == "__main__":
    main(sys.argv[1:])
