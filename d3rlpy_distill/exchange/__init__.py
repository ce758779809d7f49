"""Datasets to and from other projects: d3rlpy's models, files and names, Minari, Hugging Face dataset repositories."""

from .d3rlpy_export import export_d3rlpy, save_d3
from .d3rlpy_import import import_d3rlpy
from .hub import Pulled, Pushed, preview_card, pull_from_hub, push_to_hub
from .minari_export import MinariExport, export_minari
from .minari_import import import_minari

__all__ = [
    "MinariExport",
    "Pulled",
    "Pushed",
    "export_d3rlpy",
    "export_minari",
    "import_d3rlpy",
    "import_minari",
    "preview_card",
    "pull_from_hub",
    "push_to_hub",
    "save_d3",
]
