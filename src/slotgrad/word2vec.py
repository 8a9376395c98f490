"""word2vec: vectors of words from the company they keep.  May import the faces.

Skip-gram with negative sampling (Mikolov et al., "Distributed representations of words and
phrases and their compositionality", 2013): for a word w, a neighbour c and words n drawn at
random, maximise log s(u_c . v_w) + sum over n of log s(-u_n . v_w), s the logistic function.
"""

from __future__ import annotations

import pydoc_data.topics
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from . import data, optim
from .compile import compile
from .errors import OptionError
from .ops import random
from .ops.functions import softplus
from .ops.reduce import mean
from .tensor import Tensor, tensor

NEGATIVES = 5  # random words for each pair
SMOOTHING = 0.75  # words are drawn by their count to this power


def manual() -> str:
    """A text that every Python brings along: the topics of its manual, some 65 000 words."""
    return "\n".join(pydoc_data.topics.topics.values())


def tokens(text: str) -> list[str]:
    """The words of a text, in lower case.

    >>> tokens("The cat, the dog's cat.")
    ['the', 'cat', 'the', "dog's", 'cat']
    """
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower())


@dataclass
class Words:
    """A vocabulary and its vectors.

    words    most frequent first
    vectors  (words, dimension), float32
    losses   mean loss of each epoch
    """

    words: list[str]
    vectors: Tensor
    losses: list[float] = field(default_factory=list)
    pairs_per_second: float = 0.0

    def nearest(self, word: str, count: int = 5) -> list[tuple[str, float]]:
        """The words whose vectors point most nearly the same way, with the cosine."""
        if word not in self.words:
            raise OptionError(f"word2vec: {word!r} is not among the {len(self.words)} words")
        vectors = self.vectors.numpy()
        directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = directions @ directions[self.words.index(word)]
        best = [i for i in np.argsort(-cosines) if self.words[i] != word][:count]
        return [(self.words[i], float(cosines[i])) for i in best]


def skip_grams(ids: np.ndarray, window: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs (word, neighbour) of places at most `window` apart, near ones more often."""
    reach = rng.integers(1, window + 1, len(ids))
    pairs = []
    for distance in range(1, window + 1):
        left, right = ids[:-distance], ids[distance:]
        pairs.append(np.stack([left, right], 1)[reach[:-distance] >= distance])
        pairs.append(np.stack([right, left], 1)[reach[distance:] >= distance])
    return np.concatenate(pairs)


def train(
    words: Sequence[str],
    dimension: int = 48,
    window: int = 4,
    epochs: int = 5,
    min_count: int = 5,
    sample: float = 1e-3,
    seed: int = 0,
    batch_size: int = 1024,
    progress: Callable[[float], object] = lambda loss: None,
) -> Words:
    """Vectors for the words that occur at least min_count times; `progress` hears each loss.

    window  neighbours at most so many places away count
    sample  of words more frequent than this share of the text, some are left out; 1: none
    """
    counts = Counter(words)
    vocabulary = [w for w, n in counts.most_common() if n >= min_count]
    if len(vocabulary) < 2:
        raise OptionError(
            f"word2vec: got {len(counts)} different words, {len(vocabulary)} of them at least"
            f" {min_count} times; expected two or more, give a longer text or a smaller min_count"
        )
    number = {w: i for i, w in enumerate(vocabulary)}
    ids = np.array([number[w] for w in words if w in number])
    rng = np.random.default_rng(seed)
    ids = ids[rng.random(len(ids)) < _kept(np.bincount(ids), sample)[ids]]
    weights = np.array([counts[w] for w in vocabulary]) ** SMOOTHING
    noise = np.cumsum(weights / weights.sum())

    random.seed(seed)
    inner = random.uniform((len(vocabulary), dimension), -0.5, 0.5, requires_grad=True)
    outer = tensor(np.zeros((len(vocabulary), dimension), np.float32), requires_grad=True)
    opt = optim.Adam([inner, outer], lr=0.01)

    @compile
    def step(word: Tensor, company: Tensor) -> Tensor:
        """company: the true neighbour, then the words drawn at random."""
        scores = (inner.take(word, axis=0)[:, None] * outer.take(company, axis=0)).sum(axis=2)
        loss = mean(softplus(-scores[:, 0])) + mean(softplus(scores[:, 1:])) * NEGATIVES
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    found = Words(vocabulary, inner.detach())
    seen, start = 0, time.perf_counter()
    for epoch in range(epochs):
        opt.lr = 0.01 * (1 - epoch / epochs)
        pairs = skip_grams(ids, window, rng)
        losses = []
        for (batch,) in data.batches(pairs, batch_size=batch_size, shuffle=True, drop_last=True):
            drawn = np.searchsorted(noise, rng.random((batch_size, NEGATIVES)))
            company = np.concatenate([batch.numpy()[:, 1:], drawn], axis=1)
            losses.append(step(batch[:, 0], company))
        if not losses:
            raise OptionError(
                f"word2vec: got {len(pairs)} pairs of words; expected at least batch_size ="
                f" {batch_size}"
            )
        seen += len(losses) * batch_size
        found.losses.append(sum(loss.item() for loss in losses) / len(losses))
        progress(found.losses[-1])
    found.pairs_per_second = seen / (time.perf_counter() - start)
    return found


def _kept(counts: np.ndarray, sample: float) -> np.ndarray:
    """How likely each word stays: the most frequent ones say little about their neighbours."""
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    return np.minimum(1, np.sqrt(ratio) + ratio)
