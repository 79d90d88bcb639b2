from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.evaluator.clip.texts.packing import Pass, Text, pack

CPU = torch.device("cpu")


@st.composite
def texts(draw: st.DrawFn) -> list[Text]:
    rows = draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12))
    found = [Text(tuple(row), draw(st.integers(0, len(row) - 1))) for row in rows]
    return list(dict.fromkeys(found))


def read_back(batch: Pass) -> list[tuple[int, ...]]:
    """The texts that a pass holds, token by token along the rows that each end attends to."""
    found = []
    for group in batch.answers:
        for rows in group.keys.tolist():
            assert batch.positions[rows].tolist() == list(range(len(rows)))
            found.append(tuple(batch.tokens[rows].tolist()))
    return found


@given(texts(), st.integers(1, 30), st.sampled_from([1, 8]))
@settings(max_examples=200, deadline=None)
def test_every_text_is_packed_once_and_whole(chosen: list[Text], max_rows: int, quantum: int) -> None:
    """Passes hold each text exactly once, no token out of place, and as many rows as asked for."""
    seen: list[int] = []
    for batch in pack(chosen, max_rows=max_rows, quantum=quantum, device=CPU):
        order = batch.order.tolist()
        assert read_back(batch) == [chosen[index].tokens for index in order]
        assert len(batch.tokens) % quantum == 0
        assert len(order) == 1 or len(batch.tokens) - quantum < max_rows
        covered = sorted(
            row
            for group in batch.groups
            for row in range(group.start, group.start + group.count * group.length)
        )
        assert covered == list(range(len(covered)))
        seen += order
    assert sorted(seen) == list(range(len(chosen)))


def test_shared_beginnings_are_stored_once() -> None:
    """Three texts behind one beginning of four tokens take four rows and their own."""
    chosen = [Text((1, 2, 3, 4, own, 9), 4) for own in (5, 6, 7)]
    (batch,) = pack(chosen, max_rows=100, quantum=1, device=CPU)
    assert len(batch.tokens) == 4 + 3 * 2
