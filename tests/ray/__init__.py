"""Tests on a real Ray: real processes, real SIGKILL."""
