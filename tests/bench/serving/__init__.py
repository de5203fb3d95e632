"""The gateway beside nginx and haproxy: the same traces against the same fake pods, for real.

``PYTHONPATH=tests python -m bench.serving --help`` (or ``make bench-serving``) says how it is run.
"""
