"""The commands of the guides, run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from calibration.demo import save_recording
from tests.documents import in_lines
from tests.small import REPO, small_recording
from tests.test_documents import in_a_shell

GUIDES = REPO / "scripts" / "examples" / "README.md"


def guide(title: str) -> list[str]:
    """Commands of the first block of a guide, a line each."""
    text = GUIDES.read_text("utf-8")
    (block,) = re.findall(rf"^### {title}\n(?:(?!^###).)*?```sh\n(.*?)```", text, re.DOTALL | re.M)
    return in_lines(block)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_people_on_dask_go_as_they_are_told(tmp_path: Path) -> None:
    """On this computer, then on a cluster of one worker, which goes on where the first call was."""
    distributed = pytest.importorskip("distributed")
    for session in (1, 2):
        save_recording(small_recording(session=session), tmp_path / f"rec{session}.xdf")
    (tmp_path / "people.tsv").write_text(
        "person\trecordings\tevents\nS1\trec1.xdf\trec1.tsv\nS2\trec2.xdf\trec2.tsv\n"
    )
    alone, cluster = [line for line in guide("Many people, on Dask") if "--people" in line]
    assert "--jobs 4" in alone
    in_a_shell(alone, tmp_path, 900.0)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as workers:
        told = cluster.replace("tcp://head:8786", workers.scheduler_address)
        assert told != cluster
        out = in_a_shell(told, tmp_path, 900.0)
    assert ": fitted" in out
    rows = (tmp_path / "study" / "people.tsv").read_text().splitlines()
    assert {row.split("\t")[0] for row in rows[1:]} >= {"S1", "S2"}
    assert len([row for row in rows if row.startswith("S1\t")]) == 3  # layers 0, 3, 6
