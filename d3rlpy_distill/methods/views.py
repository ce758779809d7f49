"""Views of few real images, each with the label that students of all the data give it."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from ..data import OfflineDataset, Views
from ..data.views import draw_views
from ..errors import SettingsError, UnsuitableDatasetError
from ..options import option
from .base import Run
from .distilled import Distilled
from .labels import LabelDistillationConfig

__all__ = ["ViewLabelsConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewLabelsConfig(LabelDistillationConfig):
    r"""Give few real images the labels of students of all the data, and many composites of them their own.

    Few images with a label each say little of a teacher's policy :math:`q`. But it can be asked about any image, and
    a label takes a hundredth of an image's bytes. So V views :math:`v_j` are made of M random images :math:`x_i`:
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

    def inner_distill(self, dataset: OfflineDataset, rng: np.random.Generator, run: Run) -> Distilled:
        """Trains the teachers and labels samples and views; see :meth:`~.base.Method.distill`.

        The samples' ``actions`` are those taken.

        Raises:
            UnsuitableDatasetError: If observations are no images.
        """
        if not dataset.has_images:
            raise UnsuitableDatasetError(
                f"views of observations of shape {dataset.observation_shape}: expected images; give --method labels or "
                "kernel."
            )
        data, rows = self.imitated(dataset)
        teachers = self.teach(data, rng, run)
        if teachers is None:
            raise SettingsError("steps=0 without given teachers: nobody labels; expected 1 or more.")
        chosen = rng.choice(len(data), self.n_samples, replace=False)
        samples = dataclasses.replace(data, probabilities=None).take(chosen)
        images, shape = samples.observations, dataset.observation_shape
        sources, geometry = draw_views(
            self.n_samples, shape, self.n_views, patches=self.patches, shift=self.shift, rng=rng
        )
        unlabelled = Views(sources, geometry, np.empty((self.n_views, 0), np.float16))
        labels = [teachers.label(piece) for piece in unlabelled.in_pieces(images)]
        views = dataclasses.replace(
            unlabelled,
            labels=np.concatenate([np.empty((0, data.action_size), np.float32), *labels]).astype(np.float16),
        )
        return Distilled(
            dataclasses.replace(samples, probabilities=teachers.label(images)),
            sources=rows[chosen],
            teachers=teachers,
            views=views if self.n_views else None,
        )
