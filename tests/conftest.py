"""Settings of the whole suite: one deterministic Hypothesis profile, one torch thread, a Ctrl-C that arrives."""

import signal

import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "minidiff", derandomize=True, deadline=None, max_examples=60, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("minidiff")
torch.set_num_threads(1)

# A shell starts its background jobs with SIGINT ignored, Python leaves it so, and the Ctrl-C of a test would be lost.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
