"""`python -m config.stack`: starts, watches and stops our servers and processes.

It knows neither Django nor orders, because it starts the processes that do.
"""
