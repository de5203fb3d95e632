"""Pure builders: the spec of a system, and what was observed of its cluster, become the manifests of its children."""
