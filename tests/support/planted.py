"""Samples of users who choose by weights that are planted, for the learner to find. By seed."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from app.core.ranking_samples import RankingSample
from app.core.weights import FEATURES, FROM_CONTENT, Weights, weights_of

CANDIDATES: Final = 200
PLANTED: Final = weights_of({"following": (3.0,) * 4, "popular_hours": (1.0,) * 4, "own": (-2.0,) * 4})
"""What followed the last item decides, and what is similar says nothing."""


def samples(seed: int, count: int, planted: Weights = PLANTED) -> Iterator[RankingSample]:
    """Each user chooses out of random candidates, with the probabilities of the softmax."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        features = random.exponential(1.0, (CANDIDATES, len(FEATURES))).astype(np.float32)
        features[:, FEATURES.index("own")] = random.random(CANDIDATES) < 0.1
        features[random.random(CANDIDATES) > 0.05, FROM_CONTENT] = 0.0  # as those of items that are not cold
        size = int(random.integers(0, 4))
        scores = features @ planted[size]
        yield RankingSample(features, int(np.argmax(scores + random.gumbel(size=CANDIDATES))), size, True)
