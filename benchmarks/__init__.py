"""Measurements of whole runs; no part of the tests or of the package."""
