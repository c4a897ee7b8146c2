"""Read recordings and hypnograms, and write hypnograms."""
