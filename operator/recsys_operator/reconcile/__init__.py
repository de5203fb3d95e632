"""Level-triggered reconciling: dirty keys -> what is observed -> plan -> apply and prune -> status."""
