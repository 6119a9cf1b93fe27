"""# STaR: start or continue an experiment

Names the experiment, prepares its problems and measures the base model (round 0), then triggers
round 1 as a run of `star_round`. Each round triggers the next until the loop decides to stop.

- **By hand**: *Trigger*, choose a config, change what the form offers.
- **By schedule**: `airflow.schedule` in the site's settings (`star config --site`); off unless set.
- **To go on** with an experiment, also after a cleared round made later ones stale: trigger with its name.
"""

from pipeline.airflow.wiring import launcher_dag

dag = launcher_dag(__file__, __doc__)
