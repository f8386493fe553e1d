"""What the coordinator shows of itself, and where Prometheus finds the agents.

http.py -> requests by route: how many, how many failed, how long
database.py -> statements: how many, how long; the server's connections
health.py -> ingest's queue and lag, devices that are missing
spending.py -> the last whole day's cost against the one before
discovery.py, rest.py, cli.py -> the agents' addresses, over HTTP or as a file
logs.py -> one event a line, for people or as JSON
tracing.py -> spans for OpenTelemetry, if it is installed and asked for
"""
