"""The pages of `star ui`, which Airflow mounts as well: what a model wrote, what came of it.

Rendered on the server, without assets from elsewhere. Every text of a model is escaped by the templates.
"""
