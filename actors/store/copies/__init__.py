"""Copies of whole stores: backing up, restoring, moving to another database."""
