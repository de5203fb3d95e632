"""A discrete-event model of pods and clients around the gateway's own dispatchers."""
