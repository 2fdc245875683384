"""Plugin of the tests: LSL stays on this machine, and nothing waits without a deadline.

Imported before any test module, so before liblsl is loaded; child processes inherit it. Each worker
of xdist, and each run of the tests, has an LSL session of its own: a decoder in one test is not found
by what looks for all decoders in another.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from rt_decoder.sinks.loopback import configure_loopback

_OWNER = "RT_DECODER_TESTS_WORKER"  # the worker whose configuration LSLAPICFG names


def _own_session() -> None:
    """Configure LSL, once a worker: it inherits the file of the process that started it.

    What a test starts inherits the worker's. A configuration of the user's is not kept: a decoder that
    runs on this machine would be seen by what looks for all decoders.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    if os.environ.get("LSLAPICFG") and os.environ.get(_OWNER) == worker:
        return
    os.environ.pop("LSLAPICFG", None)
    os.environ[_OWNER] = worker
    configure_loopback(f"tests-{uuid.uuid4().hex}")


_own_session()


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
