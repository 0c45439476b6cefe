"""What vLLM reads when it is imported, here and in processes that it starts: import this first.

Not in the package itself: the plugin is loaded by servers whose environment is their own.
"""

import logging
import os

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
# vLLM would fork its engine where it sees no sign of CUDA in this process, but to have asked how
# many GPUs there are is enough for CUDA to refuse a fork.
os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
# On a CPU it warns that Triton, which its own package asks for, is of no use there.
logging.getLogger("vllm.triton_utils.importing").setLevel(logging.ERROR)
