#!/usr/bin/env python3
"""Writes tests/golden/text/json_schema.json: schemas, texts, and whether the package jsonschema finds
them valid (draft 2020-12, formats checked). Texts are in the form that grammars write: members in
the schema's order, ", " and ": " or nothing, no additional members unless the schema names
additionalProperties. Needs jsonschema and rfc3339-validator; run from the root of the repository."""
import json

from jsonschema import Draft202012Validator

NODE = {"$ref": "#/$defs/node", "$defs": {"node": {
    "type": "object", "properties": {"value": {"type": "integer"},
                                     "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["value", "next"], "additionalProperties": False}}}
PERSON = {"type": "object", "properties": {
    "name": {"type": "string"}, "age": {"type": "integer"}, "mail": {"type": "string"}},
    "required": ["name"], "additionalProperties": False}

CASES = [
    ({"type": "string"}, ['""', '"a\\n\\u00e9\\"é🙂"', "1", "null", '"', "[]"]),
    ({"type": "boolean"}, ["true", "false", "null", '"true"']),
    ({"type": "null"}, ["null", "0", "false"]),
    ({"type": ["string", "null"]}, ['"x"', "null", "1", "true"]),
    ({"type": "integer"}, ["0", "-1", "123456", "1.5", '"1"', "-0.5"]),
    ({"type": "integer", "minimum": 0}, ["0", "1", "-1", "99999"]),
    ({"type": "integer", "minimum": 7, "maximum": 1234},
     ["6", "7", "9", "10", "99", "100", "999", "1000", "1229", "1234", "1235", "1300", "9999"]),
    ({"type": "integer", "minimum": -25, "maximum": 130},
     ["-26", "-25", "-19", "-9", "-1", "0", "9", "99", "129", "130", "131", "200"]),
    ({"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": 3},
     ["-3", "-2", "0", "2", "3"]),
    ({"type": "integer", "maximum": -10}, ["-9", "-10", "-11", "-100", "0", "5"]),
    ({"type": "integer", "minimum": 98765, "maximum": 98765}, ["98765", "98764", "9876"]),
    ({"type": "number"}, ["0", "-1.5", "3e10", "2.5E-3", "0.1", '"1"', "null"]),
    ({"type": "number", "minimum": 0, "maximum": 1},
     ["0", "0.0", "0.5", "1", "1.0", "1.01", "-0.1", "2", "0.999", "1.000"]),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 2.5},
     ["0", "0.0", "0.001", "1.9", "2.5", "2.50", "2.51", "2.49", "3", "-1"]),
    ({"type": "number", "minimum": -1.25, "exclusiveMaximum": 12.75},
     ["-1.25", "-1.26", "-1.3", "-1.2", "-1", "0", "0.5", "9.99", "12.74", "12.75", "12.8", "12",
      "13", "-2"]),
    ({"type": "number", "minimum": 3.14}, ["3.14", "3.139", "3.2", "3.1", "4", "3", "100.5", "0"]),
    ({"type": "number", "exclusiveMaximum": -0.5}, ["-0.5", "-0.51", "-0.49", "-1", "0", "-10.25"]),
    ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
     ["1", "1.0", "1.5", "2", "1.01", "1.99"]),
    ({"enum": ["red", "green", 3, None, True, {"a": 1}]},
     ['"red"', '"green"', "3", "null", "true", '"blue"', "4", "false", '{"a": 1}']),
    ({"type": "string", "enum": ["a", "ab", "b"]}, ['"a"', '"ab"', '"b"', '"abc"', '"c"']),
    ({"const": [1, "two"]}, ['[1, "two"]', '[1, "three"]', "[1]"]),
    ({"const": "a\"b"}, ['"a\\"b"', '"ab"']),
    ({"type": "string", "minLength": 2, "maxLength": 4},
     ['"a"', '"ab"', '"abcd"', '"abcde"', '"éé"', '"🙂"', '"🙂🙂🙂🙂"', '""', '"\\n\\n"']),
    ({"type": "string", "maxLength": 0}, ['""', '"a"']),
    ({"type": "string", "minLength": 70}, ['"' + "x" * 69 + '"', '"' + "x" * 70 + '"',
                                           '"' + "é" * 100 + '"']),
    ({"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
     ['"AB-1"', '"AB-"', '"ab-1"', '"AB-12345"', '"xAB-1"']),
    ({"type": "string", "pattern": "foo"}, ['"foo"', '"a foo b"', '"fo"', '"xfoox"', '""']),
    ({"type": "string", "pattern": "^a|b$"}, ['"a"', '"axx"', '"xxb"', '"xax"', '"b"']),
    ({"type": "string", "pattern": "^\"\\\\$"}, ['"\\"\\\\"', '"x"']),
    ({"type": "string", "format": "date"},
     ['"2024-02-29"', '"2023-02-29"', '"2023-13-01"', '"2023-04-31"', '"2023-04-30"', '"x"',
      '"2000-02-29"', '"1900-02-29"']),
    ({"type": "string", "format": "date-time"},
     ['"2024-05-06T07:08:09Z"', '"2024-05-06T07:08:09.123+02:00"', '"2024-05-06"',
      '"2024-05-06T25:08:09Z"']),
    ({"type": "string", "format": "time"}, ['"12:34:56Z"', '"12:60:00Z"', '"24:00:00Z"']),
    ({"type": "string", "format": "uuid"},
     ['"123e4567-e89b-12d3-a456-426614174000"', '"123e4567-e89b-12d3-a456"', '"xyz"']),
    ({"type": "string", "format": "ipv4"}, ['"192.168.0.1"', '"256.1.1.1"', '"1.2.3"', '"0.0.0.0"']),
    ({"type": "string", "format": "ipv6"},
     ['"::1"', '"2001:db8::1"', '"1:2:3:4:5:6:7:8"', '"::"', '"1:2:3"', '"g::1"',
      '"1:2:3:4:5:6:7::"', '"1::2::3"', '"::2:3:4:5:6:7:8"']),
    ({"type": "string", "format": "email"}, ['"a.b@example.org"', '"ab"', '"x-y@sub.example.co.uk"']),
    (PERSON, ['{"name": "A"}', '{"name":"A","age":3}', '{"name": "A", "age": 3, "mail": "m"}',
              '{"name": "A", "mail": "m"}', "{}", '{"age": 3}', '{"name": "A", "x": 1}',
              '{"name": "A", "age": "3"}', '{\n  "name": "A",\n  "age": 3\n}', "[]", "null"]),
    ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
      "additionalProperties": False}, ["{}", '{"a": 1}', '{"b": 1}', '{"a": 1, "b": 2}', '{"c": 1}']),
    ({"type": "object", "properties": {"a": {"type": "integer"}},
      "additionalProperties": {"type": "string"}},
     ["{}", '{"a": 1}', '{"a": 1, "b": "x"}', '{"b": "x", "c": "y"}', '{"a": "x"}', '{"ab": "x"}',
      '{"": "x"}', '{"b": 1}']),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1,
      "maxProperties": 2}, ["{}", '{"x": 1}', '{"x": 1, "y": 2}', '{"x": 1, "y": 2, "z": 3}',
                            '{"x": "1"}']),
    ({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}},
     ["{}", '{"abc": 1}', '{"ABC": 1}', '{"a": {"B": null}}']),
    ({"type": "object", "additionalProperties": False}, ["{}", '{"a": 1}']),
    ({"type": "object"}, ["{}", '{"a": [1, {"b": null}]}', "[]"]),
    ({"type": "object", "properties": {"a/b~c": {"$ref": "#/properties/d"}, "d": {"type": "null"}},
      "additionalProperties": False}, ['{"a/b~c": null}', '{"a/b~c": 1}', '{"d": null}']),
    ({"type": "array", "items": {"type": "integer"}},
     ["[]", "[1]", "[1, 2,3]", '["a"]', "[1.5]", "{}"]),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
     ["[]", "[1]", "[1, 2]", "[1, 2, 3]", "[1, 2, 3, 4]"]),
    ({"type": "array", "items": {"type": "boolean"}, "maxItems": 0}, ["[]", "[true]"]),
    ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
     ["[]", '["a"]', '["a", 1]', '["a", 1, 2]', "[1]"]),
    ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"},
      "minItems": 2}, ['["a"]', '["a", 1]', '["a", 1, 2]', '["a", "b"]']),
    ({"type": "array", "minItems": 1}, ["[]", '[{"a": []}]', "[null, 1]"]),
    ({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 5}]},
     ['"x"', "5", "4", "null"]),
    ({"oneOf": [{"type": "string"}, {"type": "null"}]}, ['"x"', "null", "1"]),
    ({"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"],
      "anyOf": [{"properties": {"kind": {"const": "a"}}}, {"properties": {"kind": {"const": "b"}}}]},
     ['{"kind": "a"}', '{"kind": "b"}', '{"kind": "c"}']),
    ({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]}]},
     ['{"a": 1, "b": "x"}', '{"a": 1}', '{"a": "x", "b": "x"}']),
    ({"allOf": [{"type": ["integer", "string"]}, {"type": "number", "minimum": 3}]},
     ["3", "2", '"x"', "3.5"]),
    ({"$ref": "#/$defs/positive", "maximum": 10,
      "$defs": {"positive": {"type": "integer", "minimum": 1}}}, ["0", "1", "10", "11"]),
    (NODE, ['{"value": 1, "next": null}', '{"value": 1, "next": {"value": 2, "next": null}}',
            '{"value": 1}', '{"value": 1, "next": {"value": 2}}']),
    (True, ["1", '{"a": [true]}', '"x"']),
    ({}, ["null", "[1, 2]"]),
    ({"type": "array", "items": {"type": "array", "items": {"type": "array", "items":
      {"type": "integer", "minimum": 1, "maximum": 9}, "minItems": 1}}},
     ["[[[1]]]", "[[]]", "[[[]]]", "[[[10]]]", "[[[1, 9], [2]], []]"]),
]

CHECKER = Draft202012Validator.FORMAT_CHECKER


def valid(schema, text):
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return Draft202012Validator(schema, format_checker=CHECKER).is_valid(value)


def main():
    cases = [{"schema": schema, "texts": [[text, valid(schema, text)] for text in texts]}
             for schema, texts in CASES]
    with open("tests/golden/text/json_schema.json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")
    print(sum(len(case["texts"]) for case in cases), "texts")


main()
