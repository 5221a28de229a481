"""Benchmarks: ratios against a floor taken in the same run, because machines are shared and noisy."""
