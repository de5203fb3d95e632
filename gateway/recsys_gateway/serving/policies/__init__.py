"""Ways of choosing a pod, one a file. Each is pure: the pods and a random source go in, a pod or None comes out."""
