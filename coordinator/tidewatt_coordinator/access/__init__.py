"""Who may do what over REST and on the page.

roles.py    -> viewer < operator < approver < admin, and the caller as everybody else sees him
least.py    -> what a route asks of its caller: every route says it, or the application isn't built
gate.py     -> from a request to its caller: key, provider's token, session, or nobody
keys.py, sessions.py, logins.py -> what is kept in the database: hashes, never a secret
provider.py, tokens.py -> OpenID Connect: its keys over HTTP, and the judging of a token, pure
caller.py, origin.py, throttle.py -> address, place of origin and patience, pure
rest.py     -> the login page and its routes
"""
