"""What is measured: speed, how well drift is found, how often the gate errs."""
