"""Joint planning: which device needs which envelope, and what share of the traffic each gets. Pure.

    telemetry, forecast -> demand.py -> the demand to be ready for
                        -> fresh.py -> the same by what devices know already
    devices             -> envelopes.py -> who stands at which point
                        -> shares.py -> who serves how much
                        -> rungs.py -> what each device is asked for by its own rate
                        -> plan.py -> the Plan: hints and shares, and why
    demand to come      -> outlook.py -> naps.py -> who sleeps, and when each must serve again
                        -> resting.py -> the Plan of those who are awake, with the sleepers in it

A plan is made each minute or every few. It is a hint: an agent's own rules may raise its board beyond it
at any time, and never sink it below what its own reactive rule asks for (`decide(..., hint=)`).
"""
