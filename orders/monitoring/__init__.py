"""Whether the engine works, as numbers.

May read everything that is stored; writes nothing but heartbeats.
"""
