"""Accuracy of the shipped digit classifier on MNIST's 10,000 test digits; written into its metadata.

    python benchmarks/classifier_accuracy.py WEIGHTS
"""

import sys

import torch

from minidiff.learn import save
from minidiff.learn.checkpoint import read
from minidiff.run import load_classifier, mnist, scale


def main():
    path = sys.argv[1]
    judge, test = load_classifier(path), mnist("test")
    p = torch.cat([torch.softmax(judge(x), 1) for x in scale(test.images).split(500)])
    labels = torch.from_numpy(test.labels.astype("int64"))
    right = (p.argmax(1) == labels).float().mean().item()
    sure = (p.amax(1) > 0.9).float().mean().item()
    results = {"test_accuracy": round(right, 4), "test_share_above_0.9": round(sure, 4), "test_n": len(labels)}
    results["test_sha256"] = test.checksum
    print(results)
    save(path, judge, {**read(path)[1], "results": results})


if __name__ == "__main__":
    main()
