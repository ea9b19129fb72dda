#!/usr/bin/env python3
"""Writes a JSON schema for each kind of the Kubernetes API, strict about unknown fields, for kubeconform.

Usage: schemas.py SWAGGER FOLDER   (SWAGGER: api/openapi-spec/swagger.json of k8s.io/kubernetes)
"""

import json
import pathlib
import sys

REFERENCE = "#/definitions/"


def strict(node):
    """A node of the description as a JSON schema."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    result = {key: strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and "additionalProperties" not in node:
        result["additionalProperties"] = False
    return result


def references(node):
    """The names of the definitions that a node refers to."""
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str) and target.startswith(REFERENCE):
            yield target.removeprefix(REFERENCE)
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def main():
    swagger, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    originals = json.loads(swagger.read_text())["definitions"]
    definitions = {name: strict(definition) for name, definition in originals.items()}
    # A schema of JSON schemas refers to itself through fields that may hold anything.
    for name in definitions:
        if name.endswith((".JSON", ".JSONSchemaPropsOrArray", ".JSONSchemaPropsOrBool", ".Quantity")):
            definitions[name] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, original in originals.items():
        for kind in original.get("x-kubernetes-group-version-kind", []):
            needed, open_names = set(), [name]
            while open_names:
                current = open_names.pop()
                if current not in needed:
                    needed.add(current)
                    open_names.extend(references(definitions[current]))
            group = kind["group"].split(".")[0]
            parts = [kind["kind"], group, kind["version"]] if group else [kind["kind"], kind["version"]]
            schema = {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$ref": REFERENCE + name,
                "definitions": {each: definitions[each] for each in sorted(needed)},
            }
            (folder / ("-".join(parts).lower() + ".json")).write_text(json.dumps(schema))


if __name__ == "__main__":
    main()
