"""How good a ranking is: the protocol, the metrics, the baselines, and the models run for real."""
