"""Procgen trajectories as d3rlpy datasets: environments, experts, rollouts, HDF5 files and recipes."""

from .collect import CollectConfig, collect
from .env import ProcgenVecEnv
from .errors import (
    DatasetError,
    DatasetFormatError,
    ExpertError,
    OutputExistsError,
    UnknownGameError,
    UnknownRecipeError,
)
from .games import ALL_LEVELS, GAMES, N_ACTIONS, TRAIN_LEVELS, VALIDATION_LEVELS, Game, Levels, get_game
from .gymnasium_env import ProcgenGymnasiumEnv
from .hdf5 import load_dataset, read_info
from .policies import Expert, ImpalaEncoderFactory, load_expert
from .recipe import Recipe, get_procgen, get_recipe, list_recipes
from .rollout import rollout

__all__ = [
    "ALL_LEVELS",
    "GAMES",
    "N_ACTIONS",
    "TRAIN_LEVELS",
    "VALIDATION_LEVELS",
    "CollectConfig",
    "DatasetError",
    "DatasetFormatError",
    "Expert",
    "ExpertError",
    "Game",
    "ImpalaEncoderFactory",
    "Levels",
    "OutputExistsError",
    "ProcgenGymnasiumEnv",
    "ProcgenVecEnv",
    "Recipe",
    "UnknownGameError",
    "UnknownRecipeError",
    "collect",
    "get_game",
    "get_procgen",
    "get_recipe",
    "list_recipes",
    "load_dataset",
    "load_expert",
    "read_info",
    "rollout",
]
