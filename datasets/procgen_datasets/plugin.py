"""What this package adds to d3rlpy-distill: the 16 games as tasks, the recipes as datasets. Imported as a plug-in."""

from __future__ import annotations

from d3rlpy_distill.catalogue import DATASETS, TASKS

from .games import GAMES, task_name
from .recipe import recipe_lines

for _game in GAMES:
    TASKS.add(task_name(_game), "procgen_datasets.task:ProcgenTask", f"Procgen's {_game}.", alias=_game)
for _name, _line in recipe_lines().items():
    DATASETS.add(_name, "procgen_datasets.recipe:make_recipe", _line)
