"""Folds are contiguous, whole and purged, for any grouping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.splits import blocks, encode_groups, final_block, leave_group_out


@given(n=st.integers(1, 200), n_blocks=st.integers(1, 200))
def test_blocks_are_contiguous_and_even(n, n_blocks):
    if n_blocks > n:
        with pytest.raises(ValueError, match="blocks"):
            blocks(n, n_blocks)
        return
    groups = blocks(n, n_blocks)
    sizes = np.bincount(groups)
    assert len(groups) == n
    assert len(sizes) == n_blocks
    assert np.all(np.diff(groups) >= 0)
    assert sizes.max() - sizes.min() <= 1


def test_encode_groups_numbers_by_first_appearance():
    assert encode_groups(["b", "b", "a", "c", "a"]).tolist() == [0, 0, 1, 2, 1]
    assert encode_groups(np.array([9, 3, 9])).tolist() == [0, 1, 0]


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=12),
    purge=st.floats(0, 3),
    interleaved=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_folds_test_every_item_once_and_purge_neighbours(sizes, purge, interleaved, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    if interleaved:
        groups = rng.permutation(groups)
    onsets = np.cumsum(rng.uniform(0.2, 1.0, len(groups)))
    shuffle = rng.permutation(len(groups))  # the order of the rows must not matter
    groups, onsets = groups[shuffle], onsets[shuffle]
    far = np.abs(onsets[:, None] - onsets)[:, :, None] > purge
    far = np.where(groups[:, None] == np.arange(len(sizes)), far, True).all(axis=1)
    if purge > 0 and not far.any(axis=0).all():
        with pytest.raises(ValueError, match="after purging"):
            leave_group_out(groups, onsets, purge)
        return
    folds = leave_group_out(groups, onsets, purge)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(groups)))
    for train, test in folds:
        assert len(np.unique(groups[test])) == 1
        distance = np.abs(onsets[:, None] - onsets[test]).min(axis=1)
        other = groups != groups[test[0]]
        expected = other & (distance > purge) if purge > 0 else other
        assert train.tolist() == np.flatnonzero(expected).tolist()


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=3, max_size=12),
    share=st.floats(0.1, 0.9),
    purge=st.floats(0, 0.5),
    seed=st.integers(0, 2**16),
)
def test_final_block_is_last_whole_and_purged(sizes, share, purge, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    onsets = np.cumsum(rng.uniform(0.6, 1.0, len(groups)))
    shuffle = rng.permutation(len(groups))
    groups, onsets = groups[shuffle], onsets[shuffle]
    train, final = final_block(groups, share, onsets, purge)
    rest = np.setdiff1d(np.arange(len(groups)), final)
    assert not set(groups[rest]) & set(groups[final])
    assert onsets[rest].max() < onsets[final].min()
    assert set(train) == set(rest)  # the purge is shorter than any gap
    reachable = np.cumsum(sizes)[:-1] / len(groups)
    assert abs(1 - len(final) / len(groups) - (1 - share)) == pytest.approx(
        np.abs(reachable - (1 - share)).min()
    )


def test_final_block_purges_by_time():
    train, final = final_block(10, 0.3, onsets=np.arange(10.0), purge=2.0)
    assert train.tolist() == [0, 1, 2, 3, 4]
    assert final.tolist() == [7, 8, 9]


def test_final_block_of_a_count_splits_anywhere():
    train, final = final_block(8, 0.25)
    assert train.tolist() == [0, 1, 2, 3, 4, 5]
    assert final.tolist() == [6, 7]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: final_block(np.array([0, 1, 0, 1]), 0.5), "splits no group"),
        (lambda: final_block(np.zeros(5, int), 0.5), "splits no group"),
        (lambda: final_block(5, 1.0), "between 0 and 1"),
        (lambda: final_block(5, 0.5, purge=1.0), "need onsets"),
        (lambda: final_block(5, 0.5, np.arange(5.0), 100.0), "got none after purging"),
        (lambda: leave_group_out(np.zeros(5)), "at least 2 groups"),
        (lambda: leave_group_out(np.arange(3), np.arange(2.0)), "finite onsets"),
        (lambda: leave_group_out(np.arange(2), np.array([0, np.nan])), "finite onsets"),
        (lambda: leave_group_out(np.arange(2), np.arange(2.0), -1.0), "0 s or more"),
    ],
)
def test_impossible_splits_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
