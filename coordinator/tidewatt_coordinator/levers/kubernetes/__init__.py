"""Levers on a cluster: node pools that are split over spot and on demand, replicas ahead of demand, requests
by what is used. Every write is a server-side apply under our own field manager; the sums are pure.
"""
