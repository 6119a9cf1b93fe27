"""STaR: a language model teaches itself to reason, in recorded rounds.

Zelikman et al. 2022, "STaR: Bootstrapping Reasoning With Reasoning", https://arxiv.org/abs/2203.14465.
"""

__version__ = "0.1.0"
