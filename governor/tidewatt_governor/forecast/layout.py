"""What goes into a forecasting model and what comes out: the one description that both sides share.

In, one row set per forecast:
    minutes   float32 [n, 1 + lags, 75]  raw requests/s; row 0 is the present (60 minutes known, 15 to
              come, NaN), row k the same 75 minutes LAGS[k] minutes earlier; NaN where not known
    calendar  float32 [n, 3]             local minute of the day 0..1439, weekday 0..6 (Monday 0), and
              1 on Saturday and Sunday, all of the last known minute
Out:
    quantiles float32 [n, 17, 3]         requests/s: each of the next 15 minutes, the peak of the next 3
              and of the next 15; each as p50, p90, p99
    features  float32 [n, 15, d]         optional: what the head on the device learns from, by minute
    scale     float32 [n]                optional: requests/s that `features` are shares of

Normalisation is inside the graph: nothing but requests/s and the calendar ever crosses.
"""

#: Minutes known and minutes ahead.
PAST, AHEAD = 60, 15
#: Minutes that the earlier rows lie back: hours, half days, days, a week.
LAGS = (60, 120, 180, 360, 720, 1080, 1380, 1440, 2880, 4320, 10080)
QUANTILES = (0.5, 0.9, 0.99)
#: Rows of the output after the 15 minutes.
PEAK_3, PEAK_15 = 15, 16
OUTPUTS = AHEAD + 2
#: Minutes over which the first of the two peaks is taken.
SOON = 3

#: Under this many requests/s on the mean of an hour nobody is there: nothing can be told from nothing.
FLOOR_RPS = 1e-3

#: The opset of exported models: onnxruntime 1.17 and later read it, which JetPack 6 has.
OPSET = 17
