"""The Python client (client/): against scripted servers, and against a real engine."""
