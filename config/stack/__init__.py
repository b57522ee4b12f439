"""`python -m config.stack`: our servers and processes, started, watched and stopped.

Knows neither Django nor orders, because it starts what does.
"""
