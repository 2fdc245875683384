"""Plugin of the tests: LSL stays on this machine, and nothing waits without a deadline.

Imported before any test module, so before liblsl is loaded; child processes inherit it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from rt_decoder.sinks.loopback import configure_loopback

configure_loopback()


@pytest.fixture
def source_id() -> str:
    """Id of a stream that no other test, and no other run of the tests, uses."""
    return f"test-{uuid.uuid4().hex}"


def wait_for(condition: Callable[[], Any], deadline: float = 120.0) -> Any:
    """Poll until `condition()` is true; gives what it returned.

    The deadline is for what hangs, not for what is slow: machines under load are.
    """
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"nothing after {deadline:g} s"
        time.sleep(0.001)
    return result
