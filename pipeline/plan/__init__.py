"""What an experiment would give and cost, predicted from a short run of its own first round."""

from pipeline.plan.advice import Advice, advice_of
from pipeline.plan.estimate import Estimate
from pipeline.plan.measured import Measured, measure
from pipeline.plan.pilot import Pilot, run_pilot
from pipeline.plan.predict import Plan, RoundPlan, predict

__all__ = [
    "Advice",
    "Estimate",
    "Measured",
    "Pilot",
    "Plan",
    "RoundPlan",
    "advice_of",
    "measure",
    "predict",
    "run_pilot",
]
