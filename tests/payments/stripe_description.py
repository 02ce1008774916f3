"""Checks requests and answers against Stripe's OpenAPI description and an overlay of what Stripe documents since."""

import json
import re

SECRET = "SECRET of the gateway: card 4242424242424242"


class Refusal(Exception):
    def __init__(self, status, type_, code=None, **more):
        super().__init__(code)
        self.status = status
        self.body = {"error": {"type": type_, "code": code, "message": SECRET, "doc_url": SECRET, **more}}


class Description:
    """Stripe's OpenAPI description with the overlay."""

    def __init__(self, file, overlay):
        self.operations = []  # (method, pattern, query schemas, form schemas, names required)
        self.fields = {}  # of an object: names
        document = json.load(open(file))
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                query = {
                    p["name"]: p["schema"]
                    for p in operation.get("parameters") or []
                    if p["in"] == "query"
                }
                content = (operation.get("requestBody") or {}).get("content", {})
                schema = content.get("application/x-www-form-urlencoded", {}).get("schema", {})
                form = dict(schema.get("properties", {}))
                for extra in overlay["parameters"]:
                    if (extra["method"], extra["path"]) == (method, path):
                        form[extra["name"]] = extra["schema"]
                required = set(schema.get("required", []))
                for parameter in operation.get("parameters") or []:
                    if parameter["in"] == "query" and parameter.get("required"):
                        required.add(parameter["name"])
                self.operations.append((method, self.pattern(path), query, form, required))
                for answer in operation.get("responses", {}).values():
                    for kind in answer.get("content", {}).values():
                        self.learn(kind.get("example"))
        for extra in overlay["paths"]:
            pattern = self.pattern(extra["path"])
            self.operations.append((extra["method"], pattern, extra["parameters"], {}, set()))
        self.overlay_fields = {}
        for extra in overlay["answers"]:
            self.overlay_fields.setdefault(extra["object"], set()).add(extra["field"])

    @staticmethod
    def pattern(path):
        return re.compile(re.sub(r"\{\w+\}", r"[^/]+", path))

    def learn(self, value):
        if isinstance(value, dict):
            if isinstance(value.get("object"), str):
                self.fields.setdefault(value["object"], set()).update(paths(value))
            for member in value.values():
                self.learn(member)
        elif isinstance(value, list):
            for member in value:
                self.learn(member)

    def check_request(self, method, path, parameters):
        for known_method, pattern, query, form, required in self.operations:
            if known_method == method and pattern.fullmatch(path):
                check_members(query if method == "get" else form, parameters, "")
                for name in required - set(parameters):
                    raise wrong(name, "parameter_missing")
                return
        raise Refusal(404, "invalid_request_error", "url_invalid")

    def check_answer(self, value):
        """The first field that no fixture and no entry of the overlay has, or nothing."""
        if isinstance(value, dict):
            kind = value.get("object")
            extra = self.overlay_fields.get(kind, set())
            if isinstance(kind, str) and "*" not in extra:
                known = self.fields.get(kind, set())
                for path in paths(value):
                    if path in known or any(path == e or path.startswith(e + ".") for e in extra):
                        continue
                    if ".".join(path.split(".")[:-1]) in ("metadata",):
                        continue
                    return f"{kind}.{path}"
            for member in value.values():
                wrong = self.check_answer(member)
                if wrong:
                    return wrong
        elif isinstance(value, list):
            for member in value:
                wrong = self.check_answer(member)
                if wrong:
                    return wrong
        return None


def paths(value, before=""):
    """The names of all members, dotted; other objects inside are not looked into."""
    for name, member in value.items():
        yield before + name
        if isinstance(member, dict) and "object" not in member:
            yield from paths(member, before + name + ".")


def wrong(parameter, code="parameter_invalid"):
    return Refusal(400, "invalid_request_error", code, param=parameter)


def check_members(schemas, value, before):
    for name, member in value.items():
        if name not in schemas:
            raise wrong(before + name, "parameter_unknown")
        check(schemas[name], member, before + name)


def check(schema, value, name):
    if "anyOf" in schema:
        for choice in schema["anyOf"]:
            try:
                return check(choice, value, name)
            except Refusal:
                continue
        raise wrong(name)
    kind = schema.get("type")
    if kind == "object":
        if not isinstance(value, dict):
            raise wrong(name)
        if isinstance(schema.get("additionalProperties"), dict):
            for key, member in value.items():
                check(schema["additionalProperties"], member, f"{name}[{key}]")
        else:
            check_members(schema.get("properties", {}), value, name + ".")
        if name == "metadata":
            check_metadata(value)
    elif kind == "array":
        if not isinstance(value, list):
            raise wrong(name)
        for member in value:
            check(schema["items"], member, name)
    elif not isinstance(value, str):
        raise wrong(name)
    elif kind == "integer" and not re.fullmatch(r"-?\d{1,15}", value):
        raise wrong(name, "parameter_invalid_integer")
    elif kind == "boolean" and value not in ("true", "false"):
        raise wrong(name)
    elif kind == "string":
        if len(value) > schema.get("maxLength", len(value)):
            raise wrong(name)
        if value not in schema.get("enum", [value]):
            raise wrong(name)


def check_metadata(metadata):
    # https://docs.stripe.com/api/metadata
    if len(metadata) > 50:
        raise wrong("metadata")
    for key, value in metadata.items():
        if len(key) > 40 or len(value) > 500 or "[" in key or "]" in key:
            raise wrong("metadata")
