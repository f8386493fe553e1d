"""Joint planning at work: what is known goes in, a plan a minute comes out, and boards are hinted to it.

`settings` is the configuration; `metering`, `gathering` and `outlook` say what is known; `planning/` decides;
`rounds` does that each minute, by `group`, `napping` and `calling`, and within it as soon as more comes;
`saying` knows which hint must be said anew and `topic` says it; `nodes` proposes how many cloud nodes to
hold; `shown`, `book`, `explaining`, `cli`, `rest` and `metrics` show it.
"""
