"""What `jobs.bench` measures: a module a group of figures, each with `run(quick)`."""
