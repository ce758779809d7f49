"""What there is by name: methods, students, tasks, datasets, executors, formats; built-in, and of plug-ins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .registry import Plugins, Registry

if TYPE_CHECKING:
    from .executors.base import Executor
    from .methods.base import Method
    from .report.contents import Report
    from .students.base import Student
    from .tasks.base import Task

__all__ = [
    "CORESET",
    "DATASETS",
    "EXECUTORS",
    "FORMATS",
    "METHODS",
    "STUDENTS",
    "TASKS",
    "register_coreset",
    "register_executor",
    "register_format",
    "register_method",
    "register_student",
    "register_task",
]

TaskFactory: TypeAlias = "Callable[[str], Task]"
"""Takes what follows the slash of a task's name: ``"starpilot"`` of ``"procgen/starpilot"``."""
DatasetMaker: TypeAlias = "Callable[[str, Path], Path]"
"""Takes a name and the directory of datasets; makes the file unless it is there, and returns its path."""
Format: TypeAlias = "Callable[[Report], str]"
"""Returns a report as text, without a newline at the end."""

CORESET = "coreset"

_PLUGINS = Plugins()
METHODS: Registry[type[Method]] = Registry("method", _PLUGINS)
STUDENTS: Registry[type[Student]] = Registry("student", _PLUGINS)
TASKS: Registry[TaskFactory] = Registry("task", _PLUGINS)
DATASETS: Registry[DatasetMaker] = Registry("dataset", _PLUGINS)
EXECUTORS: Registry[type[Executor]] = Registry("executor", _PLUGINS)
FORMATS: Registry[Format] = Registry("format", _PLUGINS)

register_method = METHODS.register
register_student = STUDENTS.register
register_task = TASKS.register
register_executor = EXECUTORS.register
register_format = FORMATS.register


def register_coreset(name: str) -> Callable[[type[Method]], type[Method]]:
    """Returns a decorator that registers a method of zero steps under a name."""
    return METHODS.register(name, group=CORESET)


_METHODS = "d3rlpy_distill.methods"
METHODS.add(
    "gradient", f"{_METHODS}.gradient:GradientMatchingConfig", "Match a learner's gradients (arXiv 2407.20299)."
)
METHODS.add(
    "unrolled",
    f"{_METHODS}.unrolled:UnrolledMatchingConfig",
    "Differentiate a student's real loss through its training on the samples (arXiv 2311.07025).",
)
METHODS.add(
    "kernel-actions",
    f"{_METHODS}.kernel_actions:ActionKernelConfig",
    "Fit continuous actions by ridge regression on networks' features (arXiv 2206.00719).",
)
METHODS.add(
    "labels",
    f"{_METHODS}.labels:LabelDistillationConfig",
    "Give few real observations the soft labels of students of all the data.",
)
METHODS.add(
    "views",
    f"{_METHODS}.views:ViewLabelsConfig",
    "Give few real images such labels, and thousands of composites of them their own (arXiv 2106.05237).",
)
METHODS.add(
    "hard-labels",
    f"{_METHODS}.hard_labels:HardLabelsConfig",
    "Give few real observations such labels as integer actions, several each: for stock DiscreteBC.",
)
METHODS.add(
    "unrolled-labels",
    f"{_METHODS}.unrolled_labels:UnrolledLabelsConfig",
    "Learn the labels of real observations through a student's training on them (arXiv 2311.07025, 1910.02551).",
)
METHODS.add(
    "kernel",
    f"{_METHODS}.kernel:KernelRegressionConfig",
    "Move samples by kernel regression on students' features (arXiv 2206.00719).",
)
METHODS.add("random", f"{_METHODS}.random:RandomCoreset", "Transitions drawn uniformly.", group=CORESET)
METHODS.add(
    "balanced",
    f"{_METHODS}.balanced:BalancedCoreset",
    "As many random transitions of every action.",
    group=CORESET,
)
METHODS.add(
    "prior",
    f"{_METHODS}.prior:PriorMethod",
    "Ten observations with every action: the action frequencies and nothing else.",
    group=CORESET,
)
METHODS.add(
    "herding",
    f"{_METHODS}.herding:HerdingCoreset",
    "Transitions whose mean feature is that of all (Welling 2009).",
    group=CORESET,
)
METHODS.add(
    "k-center",
    f"{_METHODS}.k_center:KCenterCoreset",
    "Transitions that leave none far from them (arXiv 1708.00489).",
    group=CORESET,
)

_EXECUTORS = "d3rlpy_distill.executors"
EXECUTORS.add(
    "local", f"{_EXECUTORS}.local:LocalExecutor", "Processes of this machine; with one job, this process."
)
EXECUTORS.add("ray", f"{_EXECUTORS}.ray:RayExecutor", "A Ray cluster, or Ray on this machine; the extra 'ray'.")

_STUDENTS = "d3rlpy_distill.students"
for _name, _target, _line in (
    ("paper", "paper:PaperStudent", "The CNN of arXiv 2407.20299: 11,826 parameters on Procgen's frames."),
    ("impala", "impala:ImpalaStudent", "IMPALA, 16-32-32 channels: 626,256 parameters with its expert's heads."),
    ("impala-s2d", "impala:ImpalaS2dStudent", "IMPALA on 2x2 pixels folded into channels: four times as fast."),
    ("nature", "nature:NatureStudent", "d3rlpy's default network for pixels."),
    ("mlp", "mlp:MlpStudent", "d3rlpy's default network for vectors, two layers of 256."),
    ("bc", "bc:StockCloningStudent", "d3rlpy's own behaviour cloning, trained by its own fit."),
    ("cql", "cql:CqlStudent", "d3rlpy's conservative Q-learning."),
    ("bcq", "bcq:BcqStudent", "d3rlpy's batch-constrained Q-learning."),
    ("dqn", "dqn:DqnStudent", "d3rlpy's DQN; discrete actions."),
    ("sac", "sac:SacStudent", "d3rlpy's soft actor-critic."),
    ("iql", "iql:IqlStudent", "d3rlpy's implicit Q-learning; continuous actions."),
    ("td3-bc", "td3_bc:Td3BcStudent", "d3rlpy's TD3 with behaviour cloning; continuous actions."),
    ("dt", "dt:DecisionTransformerStudent", "d3rlpy's decision transformer of context 1; discrete actions."),
):
    STUDENTS.add(_name, f"{_STUDENTS}.{_target}", _line)

TASKS.add(
    "gym",
    "d3rlpy_distill.tasks.gymnasium:GymnasiumTask",
    "Every gymnasium id, for example gym/CartPole-v1; MuJoCo and Atari with the extras of these names.",
)

for _name in ("halfcheetah", "hopper", "walker2d"):
    for _kind, _line in (
        ("expert", "{}: 100,000 transitions of an expert of soft actor-critic's, actions sampled."),
        ("medium", "{}: 100,000 transitions of a policy a third of the way to the expert, actions sampled."),
        ("medium-replay", "{}: what was played in training until that policy, at least 100,000 transitions."),
        ("medium-expert", "{}: half the transitions each of medium and expert."),
    ):
        DATASETS.add(
            f"{_name}-{_kind}",
            "d3rlpy_distill.tasks.gymnasium_recipes:make_recipe",
            _line.format(_name),
        )

for _name, _line in (
    ("md", "Tables as Markdown."),
    ("latex", "Tables for LaTeX with the package booktabs."),
    ("csv", "One row for each arm, split and mode, numbers as numbers."),
    ("json", "The same as objects, with how and of what they were made."),
    ("html", "One page to look at: tables that sort, plots, galleries, films, provenance, commands."),
):
    _module = {"md": "markdown"}.get(_name, _name)
    FORMATS.add(_name, f"d3rlpy_distill.report.{_module}:write_{_module}", _line)
