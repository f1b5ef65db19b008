"""Small servers on loopback that behave as AWS does on a bad day.

Each is a context manager. A test changes its attributes while service processes talk to it.
"""
