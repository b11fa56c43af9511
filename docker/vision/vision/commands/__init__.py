"""What the container does: a module a command, with a `run` that takes its request and returns its sealed result."""
