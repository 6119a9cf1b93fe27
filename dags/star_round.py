"""# STaR: one run is one round

Model n-1 writes rationales, graders verify them, failures are rationalized, the base is trained on what
was kept, and model n is evaluated. The last task triggers the next round. Runs are named
`{experiment}__r002`, so a round exists once.

A task whose stage is done with today's inputs is **skipped**. Clearing a task runs it and what follows
again, and computes only what changed; later rounds that then stand on something else are named in the
run's note.
"""

from pipeline.airflow.wiring import round_dag

dag = round_dag(__doc__)
