"""Traffic steered by the optimiser: what is known goes in, a sealed table that was checked comes out.

`settings` is the configuration; `edge`, `pools`, `demand` and `readings` say what is known; `orders` are what
operators and the cloud ask; `choosing` decides and checks; `publishing` writes it as the wire has it; `wheel`
does that again and again; `book` keeps orders and the last table, so that several coordinators steer as one;
`interruptions` and `queue` hear of spot instances that end; `explaining`, `preview`, `cli`, `rest` and
`metrics` show it.
"""
