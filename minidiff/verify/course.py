"""Where the course teaches each equation: EQUATIONS.md prints it. Each notebook says the same under its references ("In the ledger").

An equation stands here only if the notebook states or derives it *and* checks it; tests/test_verify.py compares the two lists.
"""

from __future__ import annotations

TAUGHT: dict[str, tuple[str, ...]] = {
    "00": ("families VAE", "families flow", "families coupling", "families chain", "families GAN", "families D*"),
    "01": ("ledger power",),
    "02": ("ddpm 2", "ddpm 4", "ddpm L_T", "improved_ddpm 17", "vdm 1-2", "mixture B01"),
    "03": ("ddpm 6-7", "ddpm 9-10", "ddpm 11", "mixture B07"),
    "04": (
        "ddpm 1", "ddpm 3", "ddpm 5", "ddpm 8", "ddpm 13", "ddpm 16", "ddpm L_T", "ddpm section 3.2", "ddpm section 4.3", "ddpm bits/dim",
        "ddpm bound of a pixel", "vdm 13", "vdm 17-18", "vdm doubling", "vdm invariance", "gaussian B08", "gaussian B09", "gaussian B10",
        "gaussian B11", "gaussian B12", "gaussian B13", "gaussian B14", "mixture B15", "mixture B16", "mixture B18", "mixture B21",
    ),
    "05": (
        "ddpm 12", "ddpm 14", "ddpm 15", "ddpm implied weights", "mixture B02", "mixture B04", "score DSM", "score Tweedie", "score v",
        "score weights", "vdm 14",
    ),
    "06": ("ddpm 14", "ddpm Alg. 1"),
    "07": ("ddpm 14", "ddpm Alg. 1", "ddpm Alg. 2", "ddpm bits/dim"),
    "08": (
        "ddim 1-5", "ddim 6-7", "ddim 8", "ddim 9-10", "ddim 11", "ddim 12", "ddim 13", "ddim 14", "ddim 15", "ddim 16",
        "improved_ddpm 19", "sde 13", "sde 39", "sde 40", "solvers 2M", "solvers Heun", "solvers order", "solvers strided", "guidance 6",
        "guidance tilted", "guidance ODE", "guidance ancestral",
    ),
    "09": ("improved_ddpm 4-7", "improved_ddpm 15", "improved_ddpm 15 optimum", "improved_ddpm 16", "improved_ddpm 18", "improved_ddpm 19"),
    "10": ("ddpm 13", "ddpm 14", "ddpm 15", "ddpm Alg. 1", "ddpm bits/dim"),
    "11": (
        "guidance 6", "inpainting exact", "inpainting replacement", "inpainting resampling", "inpainting last step",
        "inpainting independent", "inpainting sdedit",
    ),
    "12": ("latent 1-2", "latent 25", "latent factor", "latent KL", "latent VQ"),
    "13": ("latent 3", "latent frozen"),
    "14": ("latent attention", "latent cross-attention"),
    "15": ("latent windows", "latent windows law"),
}  # fmt: skip


def notebooks_of(name: str) -> list[str]:
    """The numbers of the notebooks that teach the equation of this name, such as "ddpm 6-7"."""
    return [notebook for notebook, names in TAUGHT.items() if name in names]
