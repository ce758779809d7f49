"""Procgen trajectories as d3rlpy datasets: environments, experts, rollouts, HDF5 files and recipes."""

from .collect import CollectConfig, collect
from .env import ProcgenVecEnv
from .errors import ExpertError, UnknownGameError, UnknownRecipeError
from .expert import Expert, load_expert
from .games import ALL_LEVELS, GAMES, N_ACTIONS, TRAIN_LEVELS, VALIDATION_LEVELS, Game, Levels, get_game
from .gymnasium_env import ProcgenGymnasiumEnv
from .player import ProcgenPlayer
from .recipe import Recipe, get_procgen, get_recipe, list_recipes
from .rollout import rollout
from .task import ProcgenTask

__all__ = [
    "ALL_LEVELS",
    "GAMES",
    "N_ACTIONS",
    "TRAIN_LEVELS",
    "VALIDATION_LEVELS",
    "CollectConfig",
    "Expert",
    "ExpertError",
    "Game",
    "Levels",
    "ProcgenGymnasiumEnv",
    "ProcgenPlayer",
    "ProcgenTask",
    "ProcgenVecEnv",
    "Recipe",
    "UnknownGameError",
    "UnknownRecipeError",
    "collect",
    "get_game",
    "get_procgen",
    "get_recipe",
    "list_recipes",
    "load_expert",
    "rollout",
]
