"""The HTTP applications: `board` shows and controls trainings, `inference` answers for nets.

Needs the extra "web". Both share the server, the checks of requests and the answers to errors.
"""
