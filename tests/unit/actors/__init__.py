"""Tests of the parts of `actors`."""
