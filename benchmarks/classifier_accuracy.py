"""Accuracy of a classifier on the 10,000 test pictures of its data set; written into its metadata.

    python benchmarks/classifier_accuracy.py WEIGHTS
"""

import sys

import torch

from minidiff.learn import save
from minidiff.learn.checkpoint import read
from minidiff.run import load_classifier, scale
from minidiff.run.batches import PICTURES


def main():
    path = sys.argv[1]
    tensors, metadata = read(path)
    judge, test = load_classifier(path), PICTURES[metadata["recipe"]["data"]]("test")
    p = torch.cat([torch.softmax(judge(scale(test.images[i : i + 500])), 1) for i in range(0, len(test), 500)])
    labels = torch.from_numpy(test.labels.astype("int64"))
    right = (p.argmax(1) == labels).float().mean().item()
    sure = (p.amax(1) > 0.9).float().mean().item()
    results = {"test_accuracy": round(right, 4), "test_share_above_0.9": round(sure, 4), "test_n": len(labels)}
    results["test_sha256"] = test.checksum
    print(results)
    save(path, tensors, {**metadata, "results": results})


if __name__ == "__main__":
    main()
