"""What the generators of the suite's own vectors share: SPEC.md written a second time, fixed inputs, shapes.

Nothing here imports `hushtag`: a vector that the library agrees with is an agreement of two implementations.
"""
