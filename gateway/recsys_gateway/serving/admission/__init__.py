"""Which call goes next, which one waits and which one is refused: pure objects, like those of ``balancing``."""
