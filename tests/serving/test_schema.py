"""What the schema allows, and what it does not, is answered without a failure inside."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

schemathesis = pytest.importorskip(
    "schemathesis", reason="pip install schemathesis to try the whole schema"
)
pytestmark = pytest.mark.slow

KNOWN = {200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 413, 416, 422, 429, 503}


@pytest.fixture
def whole_schema(served):
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("whole_schema")


@schema.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_route_answers_anything_in_a_known_way(case):
    told = case.call(timeout=120)
    assert told.status_code in KNOWN, told.text
    if told.status_code >= 400 and case.method != "HEAD":
        assert set(told.json()["error"]) == {"message", "type", "param", "code"}
