"""What the schema allows, and what it does not, is answered without a failure inside."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip(
    "schemathesis", reason="pip install schemathesis to try the whole schema"
)
pytestmark = pytest.mark.slow

KNOWN = {200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 413, 416, 422, 429, 503}


def test_every_route_answers_anything_in_a_known_way(served):
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @settings(
            max_examples=8,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answers(case):
            told = case.call(timeout=120)
            assert told.status_code in KNOWN, (case.method, case.path, told.text)
            if told.status_code >= 400 and case.method != "HEAD":
                document = told.json()["error"]
                assert set(document) == {"message", "type", "param", "code"}

        answers()
