"""The engine on servers as Debian packages them, for what the embedded ones cannot show.

A test whose server is not installed is skipped and says which package it lacks.
"""
