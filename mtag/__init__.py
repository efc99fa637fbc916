"""Hear what is in your own music files and write it where players look."""
