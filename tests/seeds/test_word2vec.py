"""The project: word2vec embeddings, and seeing them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import slotgrad as sg
from slotgrad import errors, word2vec


@pytest.fixture(scope="module")
def learned():
    """A made language: animals eat, colours paint; words of a kind stand in the same places."""
    rng = np.random.default_rng(0)
    animals, colours = ["cat", "dog", "cow", "hen"], ["red", "blue", "green", "pink"]
    text = []
    for _ in range(3000):
        text += ["the", str(rng.choice(animals)), "eats", "grass"]
        text += ["paint", str(rng.choice(colours)), "walls", "today"]
    return word2vec.train(text, dimension=16, window=2, epochs=3, sample=1.0)


def test_loss_falls(learned):
    assert learned.losses[-1] < learned.losses[0]


def test_words_of_a_kind_are_near_each_other(learned):
    for word, kind in (("cat", {"dog", "cow", "hen"}), ("red", {"blue", "green", "pink"})):
        assert {w for w, _ in learned.nearest(word, 3)} == kind


def test_skip_grams_are_the_neighbours():
    pairs = word2vec.skip_grams(np.arange(6), 1, np.random.default_rng(0))
    expected = [(i, j) for i in range(6) for j in range(6) if abs(i - j) == 1]
    assert sorted(map(tuple, pairs.tolist())) == expected


def test_map_of_the_embedding(learned, tmp_path):
    path = sg.viz.embedding(learned.vectors, learned.words, tmp_path / "map.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(errors.ShapeError, match="labels"):
        sg.viz.embedding(learned.vectors, ["one"], tmp_path / "map.png")


def test_bad_input_is_explained():
    with pytest.raises(errors.OptionError, match="at least"):
        word2vec.train(["only", "rare", "words"])
    with pytest.raises(errors.OptionError, match="batch_size"):
        word2vec.train(["a", "b"] * 10, min_count=1)


def test_command_learns_from_the_manual(tmp_path):
    command = [sys.executable, "-m", "slotgrad", "word2vec", "--epochs", "2"]
    command += ["--out", str(tmp_path / "out"), "--like", "raised"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "raised: " in done.stdout and "pairs a second" in done.stdout
    saved = sg.load(tmp_path / "out" / "vectors.safetensors")
    assert saved["vectors"].shape == (len(saved["words"]), 48)
    assert (tmp_path / "out" / "map.png").exists()
    missing = subprocess.run([*command[:4], "nowhere.txt"], capture_output=True, text=True)
    assert missing.returncode == 2 and "nowhere.txt" in missing.stderr
