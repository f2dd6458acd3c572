"""What is said of reconstructions: PSNR and SSIM by slow loops, the use of codes by hand, and an autoencoder that loses nothing."""

import numpy as np
import pytest
import torch

from minidiff.gaussian import Gaussian
from minidiff.learn import LatentSpace
from minidiff.nn.autoencoder import VQAutoencoder
from minidiff.nn.classifier import PictureClassifier
from minidiff.run.first_stages import FirstStageFile
from minidiff.run.reconstruction import code_use, judge_reconstruction, psnr, ssim
from minidiff.run.store import Pictures


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_psnr_of_a_known_error():
    x = torch.zeros(3, 3, 8, 8)
    y = x + torch.tensor([0.2, 0.02, 0.0])[:, None, None, None]
    assert np.allclose(psnr(y, x)[:2], [20, 40], atol=1e-4) and psnr(y, x)[2] > 99


def test_ssim_by_a_loop_over_windows():
    x = noise(2, 3, 10, 9).clamp(-1, 1).double()
    y = (x + 0.3 * noise(2, 3, 10, 9, seed=1)).clamp(-1, 1)
    for b in range(2):
        values = []
        for c in range(3):
            for i in range(4):
                for j in range(3):
                    p, q = (a[b, c, i : i + 7, j : j + 7].flatten().numpy() for a in (x, y))
                    cov = np.cov(p, q)
                    top = (2 * p.mean() * q.mean() + 4e-4) * (2 * cov[0, 1] + 36e-4)
                    values.append(top / ((p.mean() ** 2 + q.mean() ** 2 + 4e-4) * (cov[0, 0] + cov[1, 1] + 36e-4)))
        assert abs(ssim(y, x)[b] - np.mean(values)) < 1e-10
    assert torch.allclose(ssim(x, x), torch.ones(2, dtype=torch.float64))


def test_the_use_of_codes():
    model = VQAutoencoder(2, 2, (8,), 1, codes=4)
    model.codebook.codes.data = torch.tensor([[0.0, 0.0], [9.0, 9.0], [50.0, 50.0], [-50.0, 50.0]])
    model.encode = lambda x: Gaussian(x, 0.0)
    x = torch.zeros(1, 2, 2, 2)
    x[:, :, 0] = 9.0
    assert code_use(model, x) == {"codes_used": 0.5, "perplexity": 2.0}


class Itself:
    """An autoencoder that loses nothing, but for what is added."""

    factor, z_channels = 1, 3

    def __init__(self, error=0.0):
        self.error = error

    def encode(self, x):
        return Gaussian(x, 0.01)

    def decode(self, z):
        return z + self.error * noise(*z.shape)


@pytest.fixture(scope="module")
def setting():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (110, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 110, dtype=np.uint8)
    train, test = Pictures(images[:60], labels[:60], "noise"), Pictures(images[60:], labels[60:], "noise")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return train, test, PictureClassifier(8).eval()


def test_what_loses_nothing_is_found_perfect(setting):
    train, test, judge = setting
    found = judge_reconstruction(FirstStageFile("itself", "", LatentSpace(Itself(), 2.0), Itself()), judge, train, test, 40)
    assert found["n"] == 40 and found["psnr"]["value"] > 90 and abs(found["ssim"]["value"] - 1) < 1e-4 and found["kept_label"]["value"] == 1
    assert found["frechet"]["value"] < 1e-3 < found["frechet"]["floor"]
    x = test.images / 127.5 - 1
    assert abs(found["latent_std"] - np.sqrt(x.var() + 0.01)) < 0.02
    assert np.allclose(found["scaled_std_by_channel"], 2 * np.sqrt(x.var() + 0.01), atol=0.05)


def test_an_error_of_known_size_is_found(setting):
    train, test, judge = setting
    model = Itself(0.05)
    found = judge_reconstruction(FirstStageFile("itself", "", LatentSpace(model, 1.0), model), judge, train, test, 500)
    assert found["n"] == 50 and abs(found["psnr"]["value"] - 10 * np.log10(4 / 0.05**2)) < 0.5  # clipping helps a little
    low, high = found["psnr"]["interval_95"]
    assert low < found["psnr"]["value"] < high
