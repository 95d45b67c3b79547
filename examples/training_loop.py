"""A training loop without any library: logistic regression by gradient descent, its loss recorded at each step.

python training_loop.py --lr 0.5
"""

import argparse
import math
import random

import gxt

Point = tuple[float, float, int]


def two_clouds(points: int, seed: int) -> list[Point]:
    """Points around two centres, each with the number of its cloud, 0 or 1."""
    rng = random.Random(seed)
    labels = [rng.randrange(2) for _ in range(points)]
    return [(rng.gauss(2 * label - 1, 1.0), rng.gauss(1 - 2 * label, 1.2), label) for label in labels]


def probability(weights: list[float], x: float, y: float) -> float:
    """How likely a point is of cloud 1."""
    return 1 / (1 + math.exp(-(weights[0] * x + weights[1] * y + weights[2])))


def step(weights: list[float], points: list[Point], lr: float) -> list[float]:
    """The weights after one step down the loss."""
    errors = [(probability(weights, x, y) - label, x, y) for x, y, label in points]
    gradient = (sum(e * x for e, x, _ in errors), sum(e * y for e, _, y in errors), sum(e for e, _, _ in errors))
    return [weight - lr * slope / len(points) for weight, slope in zip(weights, gradient, strict=True)]


def loss(weights: list[float], points: list[Point]) -> float:
    """The mean negative log-likelihood."""
    chances = [probability(weights, x, y) for x, y, _ in points]
    right = [p if label else 1 - p for p, (_, _, label) in zip(chances, points, strict=True)]
    return -sum(math.log(p) for p in right) / len(points)


def accuracy(weights: list[float], points: list[Point]) -> float:
    """The share of points that are taken for what they are."""
    return sum((probability(weights, x, y) > 0.5) == bool(label) for x, y, label in points) / len(points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=0.5, help="learning rate")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    train, valid = two_clouds(400, args.seed), two_clouds(200, args.seed + 1)
    weights = [0.0, 0.0, 0.0]
    gxt.set_experiment("two-clouds")
    with gxt.start_run() as run:
        gxt.log_params({"lr": args.lr, "steps": args.steps, "seed": args.seed})
        for number in range(1, args.steps + 1):
            weights = step(weights, train, args.lr)
            gxt.log_metrics({"loss": loss(weights, train), "valid_loss": loss(weights, valid)}, step=number)
        gxt.log_metric("accuracy", accuracy(weights, valid))
        gxt.log_dict({"weights": weights}, "weights.json")
    print(f"{run.name}: loss {loss(weights, train):.4f}, accuracy {accuracy(weights, valid):.3f}")


if __name__ == "__main__":
    main()
