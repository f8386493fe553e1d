"""Levers where requests come in: CloudFront, Lambda, Route 53, and the S3 buckets behind them.
A price class, memory, a health check's interval, and where objects are kept.
"""
