"""Hooks for schemathesis: values that reach more code than random ones, and the check of responses."""

import os

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

IDS = os.environ["DUOLOGUE_IDS"].split()
ODD_IDS = ["", "\0", "x" * 62 + "é_01h455vb4pex5vsknk084sn02q", "user_7zzzzzzzzzzzzzzzzzzzzzzzzz"]
ODD_TEXTS = ["\0", "a\0b", "\n", "\u202eb\u200b", "İ" * 40, "👩‍👩‍👧‍👦", "%_\\", "A" * 5_000, "Z" + "\u0301" * 500]
MOMENTS = ["2026-11-20T09:30:00Z", "0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999-23:59", "2030-06-30T23:59:60Z"]


def text(*known):
    return st.one_of(st.sampled_from(known), st.text(max_size=40)).map(nodes.String)


schemathesis.graphql.scalar("ID", text(*IDS, *ODD_IDS))
schemathesis.graphql.scalar("String", text(*ODD_TEXTS))
schemathesis.graphql.scalar("DateTime", text(*MOMENTS))
schemathesis.graphql.scalar("JSON", text("{}", "null"))
schemathesis.graphql.scalar("Microdollars", st.integers().map(nodes.Int))


@schemathesis.check
def no_internal_error(_context, response, _case):
    """Every response is a GraphQL response and not an internal error."""
    assert response.status_code < 500, response.text
    codes = {error["extensions"]["code"] for error in response.json().get("errors", [])}
    assert not codes & {"INTERNAL", "TIMEOUT", "UNAVAILABLE"}, response.text
