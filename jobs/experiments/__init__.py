"""The study's experiments: a file each, with `steps(config)`, whose last one ends in a reading."""
