"""Scale recordings and compare them with the training data."""
