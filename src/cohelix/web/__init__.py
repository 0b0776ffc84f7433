"""What every endpoint shares: problems, request ids, logs, metrics."""
