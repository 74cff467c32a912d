"""Networks by name, their initialization, their cost. `registry` is free of torch; import its modules."""
