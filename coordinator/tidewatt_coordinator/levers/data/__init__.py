"""Levers on data, and on what stands around it: DynamoDB, EBS, Aurora's nights, and what nobody uses.
Advice on Athena, workflows, rules, NAT gateways and egress.
"""
