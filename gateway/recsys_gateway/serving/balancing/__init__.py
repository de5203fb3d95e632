"""Which pod gets a call: pure objects. Time and chance are passed in, so that a simulator drives the very same ones."""
