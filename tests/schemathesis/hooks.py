"""How schemathesis makes what the API's document names formats for."""

import json
import os

import schemathesis
from hypothesis import strategies as st



@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Lets no answer have what the document does not say, though those who read it have to bear that."""
    open_parts, schemas = set(), raw_schema["components"]["schemas"]

    def look(schema):
        if isinstance(schema, dict):
            parts = schema.get("allOf", [])
            open_parts.update(part["$ref"].rsplit("/", 1)[1] for part in parts if "$ref" in part)
            for member in schema.values():
                look(member)
        elif isinstance(schema, list):
            for item in schema:
                look(item)

    look(raw_schema)
    # What is a part of another cannot be closed by itself; nor can what it is one of.
    for name, schema in schemas.items():
        if name not in open_parts and ("properties" in schema or "allOf" in schema):
            schema["unevaluatedProperties"] = False
    for methods in raw_schema["paths"].values():
        for call in methods.values():
            for response in call["responses"].values():
                for content in response.get("content", {}).values():
                    if "allOf" in content.get("schema", {}):
                        content["schema"]["unevaluatedProperties"] = False


ages = st.builds("{}{}".format, st.integers(1, 400), st.sampled_from(["m", "h", "d"]))
instants = st.datetimes().map(lambda time: time.replace(year=2026).isoformat(timespec="microseconds") + "Z")
schemathesis.openapi.format("time-or-age", ages | instants)

durations = st.builds("{}{}".format, st.integers(0, 10_000), st.sampled_from(["", "ns", "us", "ms", "s", "m", "h"]))
schemathesis.openapi.format("duration-or-nanoseconds", durations)

words = st.text("abcxyz019-_./", min_size=1, max_size=12)
requirements = st.one_of(
    st.builds("{}={}".format, words, words),
    st.builds("{}!={}".format, words, words),
    st.builds("{} in ({},{})".format, words, words, words),
    st.builds("{} notin ({})".format, words, words),
    words,
    words.map("!{}".format),
)
schemathesis.openapi.format("label-selector", st.lists(requirements, min_size=1, max_size=4).map(",".join))

# None but the API can make one: this one is of the list of executions without filters.
made_up = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=40)
schemathesis.openapi.format("cursor", st.just(os.environ["DUALAUDIT_CURSOR"]) | made_up)


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """A text as it is; what else is generated, as a line of JSON."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", errors="replace")
