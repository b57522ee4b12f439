"""The cluster's JSON-RPC over HTTP and WebSocket, with the methods, shapes and codes of real nodes.

A path names a node: `/` is the first, `/node/NAME` any other. All nodes see one chain, each with
the faults that it was given.
"""
