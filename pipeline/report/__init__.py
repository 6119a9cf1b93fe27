"""Tables, plots and pages of what an experiment did, read from the store."""
