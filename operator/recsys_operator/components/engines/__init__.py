"""How each inference engine runs in a pod: image, command line, probes. One file an engine; ``registry`` has all."""
