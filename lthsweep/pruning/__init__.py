"""Which weights are pruned, and how masks are made, applied, and audited.

`registry` and `counts` are free of torch; import modules directly.
"""
