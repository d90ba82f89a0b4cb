"""Shared parts of the LLM-enhanced recommender systems tutorial.

Four subpackages, and an import only ever points left:
``data`` -> ``language`` -> ``recommenders`` -> ``tutorial``.
"""

__version__ = "0.1.0"
