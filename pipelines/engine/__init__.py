"""What samples and scores: the protocol, vLLM behind it, EDT in its sampler."""

import os

# Read when vllm is imported, here and in the process that it starts.
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
# vLLM would fork its engine where it sees no sign of CUDA in this process, but to have asked how
# many GPUs there are is enough for CUDA to refuse a fork.
os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
