"""Views of few real images, each with the label that students of all the data give it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from ..data import OfflineDataset, Views
from ..data.views import draw_views
from ..options import option
from ..students.teachers import Teachers
from .after_teaching import AfterTeaching
from .base import Run
from .distilled import Distilled
from .labels import SMALLEST, LabelDistillationConfig

__all__ = ["ViewLabelsConfig"]

PIECE = 1024
"""Observations that a step labels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewLabelsConfig(LabelDistillationConfig):
    r"""Give few real images the labels of students of all the data, and many composites of them their own.

    Few images with a label each say little of a teacher's policy :math:`q`. But it can be asked about any image, and
    a label takes little beside an image's bytes. So V views :math:`v_j` are made of M random images :math:`x_i`:
    parts of several images, each shifted, pasted over each other (:class:`~..data.views.Views`). The set keeps the
    images, how each view is made, and what the teachers do there. A student minimises

    .. math::

        - \frac{1}{M + V} \Big[ \sum_{i=1}^{M} \sum_a q(a|x_i) \log \pi_\theta(a|x_i)
            + \sum_{j=1}^{V} \sum_a q(a|v_j) \log \pi_\theta(a|v_j) \Big]

    The observations are real ones, chosen at random, and stay as they are: what is distilled are labels. Teachers are
    those of :class:`~.labels.LabelDistillationConfig`, trained or given.

    References:
        * `Beyer et al., Knowledge Distillation: A Good Teacher Is Patient and Consistent
          <https://arxiv.org/abs/2106.05237>`_
        * `Asano and Saeed, Extrapolating from a Single Image to a Thousand Classes using Distillation
          <https://arxiv.org/abs/2112.00725>`_
        * `Shen and Xing, A Fast Knowledge Distillation Framework for Visual Recognition (a label for each view)
          <https://arxiv.org/abs/2112.01528>`_
        * `Yun et al., CutMix <https://arxiv.org/abs/1905.04899>`_

    Args, beside those of :class:`~.labels.LabelDistillationConfig`:
        n_views: How many, V.
        patches: Patches that are pasted over the first one of a view, at most.
        shift: Largest shift of a patch's image in pixels, to each side.

    Teachers have more steps than in label distillation by default: many views carry more of what they know.
    """

    seeds_teachers_alone: ClassVar[bool] = False

    teacher_steps: int = option(8000, "Steps of each teacher.", minimum=1)
    n_teachers: int = option(2, "Teachers.", minimum=1)
    n_views: int = option(16_000, "Composites of the samples' images, each with a label.", minimum=0)
    patches: int = option(3, "Patches that are pasted over a view's image, at most.", minimum=0)
    shift: int = option(8, "Largest shift of a patch's image in pixels, to each side.", minimum=0)

    @property
    def further_steps(self) -> int:
        """Steps that label samples and views."""
        return -(-(self.n_samples + self.n_views) // PIECE)

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Trains the teachers and labels samples and views; see :meth:`~.base.Method.distill`.

        The samples' ``actions`` are those taken.

        Raises:
            UnsuitableDatasetError: If observations are no images.
        """
        data, rows = self.imitated(dataset)
        chosen = rng.choice(len(data), self.n_samples, replace=False)
        samples = dataclasses.replace(data, probabilities=None).take(chosen)
        shape = dataset.observation_shape
        views = draw_views(self.n_samples, shape, self.n_views, patches=self.patches, shift=self.shift, rng=rng)

        def begin(teachers: Teachers) -> _Labelling:
            return _Labelling(teachers, samples.observations, views)

        labelling = AfterTeaching(self, data, rng, run, begin).finished()
        labels = labelling.labels()
        labelled = dataclasses.replace(views, labels=labels[self.n_samples :].astype(np.float16))
        return Distilled(
            dataclasses.replace(samples, probabilities=labels[: self.n_samples]),
            sources=rows[chosen],
            teachers=labelling.teachers,
            views=labelled if self.n_views else None,
        )


class _Labelling:
    """Images and their views while teachers label them, a piece a step."""

    def __init__(self, teachers: Teachers, images: npt.NDArray[Any], views: Views) -> None:
        self.teachers, self._images, self._views = teachers, images, views
        self._done: list[npt.NDArray[np.float32]] = []

    def step(self) -> float:
        """Labels a piece and returns the mean entropy of its labels, the least loss that a student can have there."""
        start, count = len(self._done) * PIECE, len(self._images)
        of_images, of_views = (
            slice(start, start + PIECE),
            slice(max(0, start - count), max(0, start + PIECE - count)),
        )
        views = self._views.only(of_views).of(self._images)
        labels = self.teachers.label(np.concatenate([self._images[of_images], views]))
        self._done.append(labels)
        return float(-(labels * np.log(np.maximum(labels, SMALLEST))).sum(1).mean())

    def labels(self) -> npt.NDArray[np.float32]:
        """Returns the labels so far, those of images first."""
        return np.concatenate(self._done)

    def state(self) -> dict[str, Any]:
        """Returns what :meth:`load_state` takes."""
        return {"labels": [torch.from_numpy(one) for one in self._done]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._done = [one.numpy() for one in state["labels"]]
