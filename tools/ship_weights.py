"""Put trained weights among those that ship: in half precision, into data/weights.

    python tools/ship_weights.py runs/mnist-label/mnist-label.safetensors

Half precision halves the file. What the model card says is measured afterwards, of the file that ships: `minidiff evaluate NAME --save`.
"""

import sys
from pathlib import Path

import torch

from minidiff.learn import save
from minidiff.learn.checkpoint import read

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    source = Path(sys.argv[1])
    tensors, metadata = read(source)
    target = Path(__file__).resolve().parents[1] / "data" / "weights" / source.name
    save(target, tensors, metadata, torch.float16)
    print(f"{target.name}: {target.stat().st_size:,} bytes, {metadata['steps']} steps")
