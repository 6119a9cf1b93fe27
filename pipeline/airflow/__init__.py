"""Airflow: stages as tasks, rounds as DAG runs. With `dags/` the only place that imports it."""
