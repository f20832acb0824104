"""What the description of the admin API can't say, for requests that are to be accepted.

A schema says what a field may be by itself. That a name is a host, that a link with status 410 has no target, or that
a time lies ahead, it does not say. Here such parts of requests that fit the schemas, and of no others, are put right
just before they are sent; Schemathesis then judges the request that is really sent. Requests that do not fit the
schemas stay as they are, and so do all answers.
"""

import datetime
import hashlib
import itertools
import json
import re
import time
from urllib.parse import quote, unquote

import jsonschema_rs
import requests
import schemathesis
from schemathesis.core import NOT_SET

NDJSON = "application/x-ndjson"

# Keys that need no judgement: any path, on a plain host or on any.
PLAIN_KEY = re.compile(r"^(\*|([a-z][a-z0-9-]*\.)+[a-z]+)?/[A-Za-z0-9._~-]*(\?[a-z]=[a-z])?$")
PLAIN_HOST = re.compile(r"^(\*|([a-z][a-z0-9-]*\.)+[a-z]+|127\.0\.0\.1)$")
ENTITY_TAG = re.compile(r'^(\*|"(0|[1-9][0-9]{0,17})")$')


def number(value):
    """A number that depends on nothing but the value."""
    return int.from_bytes(hashlib.blake2b(repr(value).encode("utf-8", "replace"), digest_size=4).digest(), "big")


def one_of(value, choices):
    return choices[number(value) % len(choices)]


def key(text):
    # Spellings that only an URL parser can judge: those of a plain link stand for them.
    if PLAIN_KEY.match(text):
        return text
    name = number(text) % 50
    return one_of(text, [f"go.example/{name}", f"/{name}", f"https://GO.example:8080/{name}", f"b\u00fccher.example/{name}?a=b"])


def host(text):
    # As with keys.
    if PLAIN_HOST.match(text):
        return text
    return one_of(text, ["*", "go.example", "B\u00dcCHER.example", "127.0.0.1", f"h{number(text) % 50}.example"])


def pattern(text):
    return one_of(text, ["*.denied.example", "denied.example", f"h{number(text) % 50}.example"])


def target(text):
    # On a host to which every host may send, that is none of those of the links.
    return f"https://www.example.com/{number(text) % 1000}"


def cut(text, most):
    # Lengths are in bytes, where those of a schema are in characters.
    return text if len(text.encode()) <= most else text.encode()[:most].decode(errors="ignore").strip() or "x"


def link(body, is_patch=False):
    """What is said of a link, so that it goes together. A patch says all that goes together, for the rest of the link is
    not known here."""
    for field in ("target", "expired_target"):
        if isinstance(body.get(field), str):
            body[field] = target(body[field])
    for field, most in (("title", 256), ("note", 2048)):
        if isinstance(body.get(field), str):
            body[field] = cut(body[field], most)
    if isinstance(body.get("tags"), list):
        body["tags"] = [cut(tag, 64) for tag in body["tags"]]
    # 410 has no target; all others have one. Null is the default of the host, which is never 410 here.
    is_about_target = not is_patch or "target" in body or "status" in body
    if is_about_target:
        if body.get("status") == 410:
            body["target"] = None
        else:
            body["target"] = body.get("target") or target(str(sorted(body)))
            if is_patch and body.get("status") is None:
                body["status"] = 302
    # It ends after it begins, and what is to come after its end needs an end.
    terms = ("not_before", "expires_at", "max_clicks", "expired_target")
    if any(body.get(field) is not None for field in terms) or (is_patch and any(field in body for field in terms)):
        for field, when in (("not_before", "2031-01-01T00:00:00Z"), ("expires_at", "2041-06-01T00:00:00.5+02:00")):
            if body.get(field) is not None:
                body[field] = when
        if is_patch:
            for field in terms:
                body.setdefault(field, None)
        if body.get("expires_at") is None and body.get("max_clicks") is None:
            body["expired_target"] = None


def host_settings(body):
    for field in ("fallback", "not_found_target"):
        if isinstance(body.get(field), str):
            body[field] = target(body[field])
    # Only of `*`.
    body.pop("unknown_hosts", None)
    # Or links that give no status would need one.
    if body.get("default_status") == 410:
        body["default_status"] = 308
    # Each character once.
    if isinstance(body.get("code_alphabet"), str):
        alphabet = "".join(dict.fromkeys(body["code_alphabet"] + "0123456789"))
        body["code_alphabet"] = alphabet[:65]
    if isinstance(body.get("robots_tag"), str):
        body["robots_tag"] = cut(body["robots_tag"], 256)
    if body.get("allowed_targets"):
        body["allowed_targets"] = ["www.example.com", *map(pattern, body["allowed_targets"][1:])]
    if body.get("denied_targets"):
        body["denied_targets"] = [pattern(text) for text in body["denied_targets"]]


def command(body):
    """A command of a batch: what is created has no version, and nothing is said of what is deleted."""
    body["key"] = key(body["key"])
    # One that is wrong refuses all: some are left.
    if body["op"] == "create" or number(body["key"]) % 4:
        body.pop("version", None)
    if body["op"] == "delete":
        body.pop("link", None)
    else:
        body["link"] = body.get("link") or {}
        body["link"].pop("key", None)
        link(body["link"], body["op"] == "patch")


def token(body):
    body["name"] = cut(body["name"], 256)
    if isinstance(body.get("hosts"), list):
        body["hosts"] = [host(text) for text in body["hosts"]]
    # Ahead of us.
    if body.get("expires_at") is not None:
        body["expires_at"] = "2041-06-01T00:00:00Z"


def lines(text):
    """Lines for an import: links, and what came by chance."""
    sale = {"key": key(text), "target": target(text)}
    return one_of(text, [
        text,
        f"{json.dumps(sale)}\n{text}\n",
        f"{json.dumps(sale)}\n\n{json.dumps({**sale, 'status': 410})}\n{json.dumps({**sale, 'tags': ['a']})}",
    ])


def body_of(case):
    body = json.loads(json.dumps(case.body)) if not isinstance(case.body, str) else case.body
    operation = case.operation.label
    if operation == "POST /v1/import" and isinstance(body, str):
        return lines(body)
    if not isinstance(body, dict):
        return body
    if operation == "POST /v1/links":
        link(body)
        # One of both.
        if isinstance(body.get("key"), str):
            body["key"] = key(body["key"])
            body.pop("host", None)
        elif isinstance(body.get("host"), str):
            body["host"] = host(body["host"])
    elif operation in ("PUT /v1/links/{key}", "PATCH /v1/links/{key}"):
        # A link keeps its key.
        body.pop("key", None)
        link(body, operation.startswith("PATCH"))
    elif operation in ("PUT /v1/hosts/{host}", "PATCH /v1/hosts/{host}"):
        host_settings(body)
    elif operation == "POST /v1/tokens":
        token(body)
    elif operation == "POST /v1/batch":
        # A log record takes so many.
        body["commands"] = body["commands"][:100]
        for one in body["commands"]:
            command(one)
    return body


CURSORS = {}
COUNTER = itertools.count()


def cursor(case):
    """A cursor is what an answer gave: this one is behind the first entry."""
    path = case.operation.path
    if path not in CURSORS:
        url = case.operation.schema.get_base_url().rstrip("/") + path
        headers = dict(case.operation.schema.config.headers or {})
        CURSORS[path] = requests.get(url, params={"limit": 1}, headers=headers, timeout=10).json()["next_cursor"]
    return CURSORS[path]


def is_time(text):
    try:
        return datetime.datetime.fromisoformat(text).year >= 1971
    except ValueError:
        return False


def about_clicks(query):
    """Of one thing, in a range that is one, in steps that are not too many for it."""
    given = [name for name in ("key", "host", "tag") if name in query]
    for name in given[1:]:
        del query[name]
    if isinstance(query.get("key"), str):
        query["key"] = key(query["key"])
    for field, day in (("from", "2026-11-01"), ("to", "2026-11-03")):
        if isinstance(query.get(field), str):
            query[field] = day
    if isinstance(query.get("zone"), str):
        query["zone"] = one_of(query["zone"], ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
    # Thirty days without a range.
    if query.get("step") == "minute":
        query["step"] = "hour"


def query_of(case):
    query = dict(case.query)
    if isinstance(query.get("host"), str):
        query["host"] = host(query["host"])
    for field, most in (("tag", 64), ("text", 256), ("path_prefix", 2048)):
        if isinstance(query.get(field), str):
            query[field] = cut(query[field], most)
    for field in ("created_from", "created_to"):
        if isinstance(query.get(field), str) and not is_time(query[field]):
            query[field] = "1970-01-02T00:00:00Z"
    if case.operation.label == "GET /v1/changes":
        # One of them.
        given = [name for name in ("before", "after", "cursor") if name in query]
        for name in given[1:]:
            del query[name]
    if case.operation.path.startswith("/v1/stats"):
        about_clicks(query)
    if "cursor" in query:
        query["cursor"] = cursor(case)
        if case.operation.path == "/v1/links":
            # It goes on only with the filter of the page that gave it, which had none.
            query = {name: query[name] for name in ("cursor", "limit") if name in query}
    # Only a link whose key is given can be replaced.
    if case.operation.label == "POST /v1/links" and not (isinstance(case.body, dict) and case.body.get("key")):
        query.pop("upsert", None)
    if query.get("mode") == "destination":
        # These lines are not judged for where they lead.
        query.pop("chains", None)
    return query


def headers_of(case):
    headers = dict(case.headers)
    for name in list(headers):
        if name.lower() == "if-match" and not ENTITY_TAG.match(headers[name]):
            headers[name] = "*"
        # The same key with another request is refused: each has its own, but for those that are sent twice by themselves.
        if name.lower() == "idempotency-key":
            headers[name] = f"{headers[name][:200]}.{next(COUNTER)}"
        if name.lower() == "if-none-match" and case.method != "GET":
            headers[name] = "*"
    # One of both.
    names = {name.lower(): name for name in headers}
    if "if-match" in names and "if-none-match" in names and case.method != "GET":
        del headers[names["if-none-match"]]
    if case.operation.label == "POST /v1/links":
        # What has no key, or is not to replace anything, can't demand this.
        has_key = isinstance(case.body, dict) and case.body.get("key")
        replaces = str((case.query or {}).get("upsert")).lower() == "true"
        for field, is_fine in (("if-match", has_key and replaces), ("if-none-match", has_key)):
            if field in names and not is_fine:
                headers.pop(names[field], None)
    return headers


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    path = dict(case.path_parameters or {})
    for name, right in (("key", key), ("host", host)):
        if isinstance(path.get(name), str):
            # As it is sent: a key is one segment.
            path[name] = quote(right(unquote(path[name])), safe="")
    for name, found, right in (
        ("path_parameters", case.path_parameters, path),
        ("body", case.body, body_of(case) if case.body is not NOT_SET else NOT_SET),
    ):
        if right != found:
            setattr(case, name, right)
    for name, right in (("query", query_of(case)), ("headers", headers_of(case))):
        if dict(getattr(case, name) or {}) != right:
            setattr(case, name, right)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    # Answers get more fields in time, and the description lets them. Here each field that is answered has to be described.
    for schema in raw_schema["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)


# Operations that have accepted a request.
ACCEPTED = set()


@schemathesis.hook
def after_call(context, case, response):
    # No more than 20 wrong tokens a second are answered with 401; those after them get 429. Two are tried after the
    # first request of each operation that is accepted, and no hook is called for those.
    label = case.operation.label
    if 200 <= response.status_code < 300 and label not in ACCEPTED:
        ACCEPTED.add(label)
        time.sleep(0.15)
    if response.status_code in (401, 429):
        time.sleep(0.1)


@schemathesis.hook
def filter_case(context, case):
    # An import takes any bytes and answers for each line, so that there is no body of it that does not fit.
    return case.operation.label != "POST /v1/import" or case.body is NOT_SET or isinstance(case.body, str)


@schemathesis.serializer(NDJSON)
def send_lines(context, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.deserializer(NDJSON)
def read_lines(context, response):
    """An export is described as a text, an import by what is true of each line: the last one here. `every_line` looks at
    the others."""
    text = response.content.decode()
    is_export = context.operation.path in ("/v1/export", "/v1/stats/export")
    return text if is_export else json.loads(text.splitlines()[-1])


@schemathesis.check
def every_line(ctx, response, case):
    """Answers in lines: each fits the schema, and an import ends with its summary."""
    content_type = response.headers.get("content-type", [""])[0]
    if not content_type.startswith(NDJSON):
        return
    if case.operation.path == "/v1/stats/export":
        for line in response.content.decode().splitlines():
            assert {"key", "start", "granularity", "human"} <= json.loads(line).keys(), line
        return
    name = "ImportAnswer" if case.operation.path == "/v1/import" else "Link"
    components = case.operation.schema.raw_schema["components"]
    validator = jsonschema_rs.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
    found = [json.loads(line) for line in response.content.decode().splitlines()]
    for line in found:
        validator.validate(line)
    if name == "ImportAnswer":
        assert [("summary" in line) for line in found] == [False] * (len(found) - 1) + [True], "the summary comes last"
