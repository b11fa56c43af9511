"""What stands behind `make`: the one-machine stack, the demo, the benches, and what is built."""
