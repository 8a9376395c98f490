"""Batches, parts, and the digits."""

from __future__ import annotations

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import data, errors


def test_batches_cover_every_row_once():
    x = sg.arange(10)
    for shuffle in (False, True):
        parts = [b for (b,) in data.batches(x, batch_size=3, shuffle=shuffle)]
        assert [len(p) for p in parts] == [3, 3, 3, 1]
        assert sorted(sg.concat(parts).tolist()) == list(range(10))
    assert len(list(data.batches(x, batch_size=3, drop_last=True))) == 3


def test_batches_keep_rows_together_and_are_reproducible():
    x = sg.arange(20)
    orders = []
    for _ in range(2):
        sg.random.seed(4)
        rows = [
            (a.tolist(), b.tolist()) for a, b in data.batches(x, x * 2, batch_size=6, shuffle=True)
        ]
        assert all(b == [2 * i for i in a] for a, b in rows)
        orders.append(rows)
    assert orders[0] == orders[1] != [(list(range(6)), list(range(0, 12, 2)))]


def test_split_parts_are_disjoint():
    a, b = data.split(sg.arange(10), fraction=0.7)
    assert (len(a), len(b)) == (7, 3)
    assert sorted(a.tolist() + b.tolist()) == list(range(10))


def test_bad_arguments():
    with pytest.raises(errors.OptionError, match="batch_size=0"):
        list(data.batches(sg.ones(3), batch_size=0))
    with pytest.raises(errors.ShapeError, match="equally many rows"):
        list(data.batches(sg.ones(3), sg.ones(4), batch_size=1))
    with pytest.raises(errors.OptionError, match="fraction"):
        data.split(sg.ones(3), fraction=1.5)


def test_digits():
    images, labels = data.digits()
    assert images.shape == (1797, 64) and images.dtype == sg.float32
    assert labels.shape == (1797,) and set(labels.tolist()) == set(range(10))
    assert images.min().item() == 0 and images.max().item() == 1


def test_digit_from_image_finds_the_digit_wherever_it_is(tmp_path):
    from PIL import Image

    images, _ = data.digits()
    ink = images[0].numpy().reshape(8, 8)
    seen = []
    for pad in (((5, 40), (60, 3)), ((30, 30), (30, 30))):
        grey = np.pad(np.kron(ink, np.ones((9, 9))), pad)
        path = tmp_path / "digit.png"
        Image.fromarray((grey * 255).astype(np.uint8)).save(path)
        seen.append(data.digit_from_image(path).numpy())
    np.testing.assert_allclose(seen[0], seen[1])
    assert np.corrcoef(seen[0], images[0].numpy())[0, 1] > 0.5
