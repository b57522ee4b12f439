"""What operators do to the simulation while it runs, for demonstrations and tests.

It may import all of `routing` but the admin and the commands, which are its doors.
"""
