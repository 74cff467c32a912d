"""Networks by name, their initialisation, their cost. `registry` is free of torch; import its modules."""
