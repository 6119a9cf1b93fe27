"""What makes a round cheaper, measured beside the plain way."""
