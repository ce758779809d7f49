"""Tables, figures, galleries and pages from results files and datasets."""

from ..catalogue import FORMATS
from .contents import Report
from .files import find_distilled, find_films
from .formats import write_report
from .gallery import need_images, save_gallery
from .games import games_table
from .markdown import render
from .read import read_report
from .returns import SIZE_CURVE, figure_paths, save_figures
from .size_curve import save_size_curve
from .sweep import sweep_tables
from .table import Table
from .tables import build_tables
from .training import find_training

__all__ = [
    "FORMATS",
    "SIZE_CURVE",
    "Report",
    "Table",
    "build_tables",
    "figure_paths",
    "find_distilled",
    "find_films",
    "find_training",
    "games_table",
    "need_images",
    "read_report",
    "render",
    "save_figures",
    "save_gallery",
    "save_size_curve",
    "sweep_tables",
    "write_report",
]
