"""What the library costs, compared with code that people write by hand: ``python -m benchmarks``.

Every figure is a ratio within one run. The blocks of its sides take turns, so that a noisy machine disturbs all of them
alike. The gateway is a canned server in another process. No run fails: a missed target is a line in the table.
"""
