"""Settings of the whole suite: one deterministic Hypothesis profile, one torch thread."""

import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "minidiff", derandomize=True, deadline=None, max_examples=60, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("minidiff")
torch.set_num_threads(1)
