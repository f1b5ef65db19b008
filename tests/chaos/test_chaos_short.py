"""The chaos suite in short: real processes, and half a minute of trouble."""

import os

import pytest

from tests.chaos import aws, schedule
from tests.chaos.faults import Upstream
from tests.chaos.run import run
from tests.chaos.stack import Options

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="half a minute of trouble"),
    pytest.mark.skipif(
        bool(aws.missing(is_short=True)) and not os.environ.get("CI"),
        reason="MiniStack is installed by `make test-slow`",
    ),
]


def test_nothing_is_lost_doubled_or_changed(tmp_path):
    options = Options(seed=1, shape=schedule.SHORT, is_short=True)
    result = run(options, tmp_path, print)
    assert result.verdict.offences == []
    # It was put to the test.
    assert len(result.evidence.objects) >= schedule.SHORT.messages * 0.9
    for upstream in (Upstream.SQS, Upstream.S3, Upstream.CONTAINER, Upstream.STS):
        assert sum(result.faults[upstream].values()) > 0
    assert result.havoc["kill -9 of an uploader"] == schedule.SHORT.uploader_kills
