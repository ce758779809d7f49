"""Tables, figures and galleries from results files and datasets."""

from .figures import save_figures
from .gallery import save_gallery
from .games import games_table
from .read import read_report
from .render import FORMATS, render
from .sweep import save_size_curve, sweep_tables
from .table import Table
from .tables import build_tables

__all__ = [
    "FORMATS",
    "Table",
    "build_tables",
    "games_table",
    "read_report",
    "render",
    "save_figures",
    "save_gallery",
    "save_size_curve",
    "sweep_tables",
]
