"""What Airflow costs: the same experiment by `star run` and as DAG runs, in one go."""
