"""What samples and scores: the protocol, vLLM behind it, EDT in its sampler."""
