"""Datasets to and from other projects: d3rlpy's models, files and names, Minari, Hugging Face dataset repositories."""

from .d3rlpy_export import check_export_d3rlpy, export_d3rlpy, save_d3
from .d3rlpy_import import check_import_d3rlpy, import_d3rlpy
from .hub import Pulled, Pushed, check_pull, preview_card, pull_from_hub, push_to_hub
from .minari_export import MinariExport, check_export_minari, export_minari
from .minari_import import check_import_minari, import_minari
from .transfer import Transfer

__all__ = [
    "MinariExport",
    "Pulled",
    "Pushed",
    "Transfer",
    "check_export_d3rlpy",
    "check_export_minari",
    "check_import_d3rlpy",
    "check_import_minari",
    "check_pull",
    "export_d3rlpy",
    "export_minari",
    "import_d3rlpy",
    "import_minari",
    "preview_card",
    "pull_from_hub",
    "push_to_hub",
    "save_d3",
]
