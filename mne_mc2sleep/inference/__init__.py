"""Stage a night with a trained network."""
