"""A real Kubernetes control plane on this machine, for tests and for playing: built once, started in seconds."""
