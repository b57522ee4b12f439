"""What operators do while the engine runs: to the simulation, and to the list of live pools.

It may import all of `routing` but the admin and the commands, which are its doors.
"""
